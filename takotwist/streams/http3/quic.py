"""aioquic's QUIC connection, with the bounds that it leaves to nobody.

aioquic grants a peer more credit as soon as bytes arrive, read or not, and
buffers what we write without limit or report.  This subclass ties credit to
what was read and tells how much is buffered.  All use of aioquic's private
names in the project is here and in `framing`; `setup.cfg` pins its version.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from aioquic.buffer import Buffer
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import Limit, QuicConnection
from aioquic.quic.packet import QuicFrameType

# aioquic warns of what peers do wrong, and without a handler Python prints that
# on stderr: a stranger must not be able to fill a log.
logging.getLogger("quic").addHandler(logging.NullHandler())

#: What one packet and one DATAGRAM frame add around a payload at most: short
#: header with a 20-byte connection id, packet number, AEAD tag, frame type,
#: length (RFC 9000 section 17.3, RFC 9221 section 4), and the session's
#: quarter stream id (RFC 9297 section 2.1).
DATAGRAM_OVERHEAD = 1 + 20 + 2 + 16 + 1 + 2 + 8


class BoundedQuic(QuicConnection):
    """One server side connection.

    :param configuration: `max_stream_data` and `max_data` are the windows: how
        many unread bytes a peer may have under way on a stream and in all.
    :param max_streams: streams of each kind that the peer may have open at once.
    :param reset_token: of a connection id, told to the peer with it (RFC 9000 section 10.3).
    """

    def __init__(
        self,
        *,
        configuration: QuicConfiguration,
        original_destination_connection_id: bytes,
        retry_source_connection_id: bytes | None,
        max_streams: int,
        reset_token: Callable[[bytes], bytes],
    ) -> None:
        super().__init__(
            configuration=configuration,
            original_destination_connection_id=original_destination_connection_id,
            retry_source_connection_id=retry_source_connection_id,
        )
        self._local_max_streams_bidi = Limit(
            frame_type=QuicFrameType.MAX_STREAMS_BIDI, name="max_streams_bidi", value=max_streams
        )
        self._local_max_streams_uni = Limit(
            frame_type=QuicFrameType.MAX_STREAMS_UNI, name="max_streams_uni", value=max_streams
        )
        self._reset_token = reset_token
        self._host_cids[0].stateless_reset_token = reset_token(self.host_cid)
        self._unread: dict[int, int] = {}
        self._unread_in_all = 0

    def forget_handshake(self) -> None:
        """Give back the 48 KiB that the handshake's messages were written in.

        Nothing is written there any more: we send no session tickets.
        """
        self._crypto_buffers = {epoch: Buffer(capacity=64) for epoch in self._crypto_buffers}

    def _replenish_connection_ids(self) -> None:
        super()._replenish_connection_ids()
        for one in self._host_cids:
            if not one.was_sent:
                # aioquic's own are random, and nobody knows them after a restart.
                one.stateless_reset_token = self._reset_token(one.cid)

    # What the reader says

    def hold(self, stream_id: int, count: int) -> None:
        """`count` received bytes of the stream are not read yet: grant no credit for them."""
        self._unread[stream_id] = self._unread.get(stream_id, 0) + count
        self._unread_in_all += count

    def release(self, stream_id: int, count: int) -> None:
        """`count` held bytes of the stream were read, or thrown away."""
        left = self._unread.pop(stream_id, 0) - count
        self._unread_in_all -= count
        if left > 0:
            self._unread[stream_id] = left

    @property
    def unread(self) -> int:
        """Received bytes that are held, over all streams."""
        return self._unread_in_all

    @property
    def received(self) -> int:
        """Bytes of streams that have come so far, those behind a gap and the gap included."""
        used: int = self._local_max_data.used
        return used

    def drop_undelivered(self, stream_id: int) -> int:
        """Forget what came of a stream that was reset, behind a gap; how many bytes it was."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return 0
        receiver = stream.receiver
        undelivered: int = receiver.highest_offset - receiver.starting_offset()
        receiver._buffer.clear()
        return undelivered

    # What the writer asks

    def unacknowledged(self, stream_id: int) -> int:
        """Bytes of the stream that are in our memory: not sent, or not acknowledged."""
        stream = self._streams.get(stream_id)
        return 0 if stream is None else len(stream.sender._buffer)

    def delivered(self, stream_id: int) -> bool:
        """Whether all that was written, the end included, is acknowledged."""
        stream = self._streams.get(stream_id)
        return stream is None or stream.sender.is_finished

    def begun(self, stream_id: int) -> bool:
        """Whether any byte of the stream has left, or none ever will."""
        stream = self._streams.get(stream_id)
        return stream is None or stream.sender.highest_offset > 0

    @property
    def waiting_datagrams(self) -> int:
        """Datagrams that wait for room on the wire."""
        return len(self._datagrams_pending)

    @property
    def max_datagram_payload(self) -> int:
        """The largest HTTP datagram payload that fits one packet; 0 where the peer takes none."""
        remote = self._remote_max_datagram_frame_size
        if not remote:
            return 0
        return max(0, min(self._max_datagram_size, remote) - DATAGRAM_OVERHEAD)

    @property
    def is_over(self) -> bool:
        """Whether the connection is closing or gone: nothing more can be sent."""
        return self._close_event is not None

    # Credit.  aioquic doubles a limit once half of it has been received; these
    # two show it "nothing received", so that it only announces what we set.

    def _write_stream_limits(self, builder: Any, space: Any, stream: Any) -> None:
        receiver = stream.receiver
        if not stream.max_stream_data_local or receiver.is_finished:
            return
        window = self._configuration.max_stream_data
        read = receiver.starting_offset() - self._unread.get(stream.stream_id, 0)
        if read + window - stream.max_stream_data_local >= window // 2:
            stream.max_stream_data_local = read + window
        received, receiver.highest_offset = receiver.highest_offset, 0
        try:
            super()._write_stream_limits(builder=builder, space=space, stream=stream)
        finally:
            receiver.highest_offset = received

    def _write_connection_limits(self, builder: Any, space: Any) -> None:
        limit = self._local_max_data
        window = self._configuration.max_data
        if limit.used - self._unread_in_all + window - limit.value >= window // 2:
            limit.value = limit.used - self._unread_in_all + window
        received, limit.used = limit.used, 0
        try:
            super()._write_connection_limits(builder=builder, space=space)
        finally:
            limit.used = received
