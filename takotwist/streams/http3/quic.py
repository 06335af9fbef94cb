"""aioquic's QUIC connection with bounds, and its driver: datagrams in, datagrams out, one timer.

aioquic grants a peer more credit as soon as bytes arrive, read or not, and buffers what we
write without limit or report.  `BoundedQuic` ties credit to what was read and tells how much
is buffered.  It and `streams.Http3Framing` are the only users of aioquic's private names;
`setup.cfg` pins the range of its versions.

`QuicDriver` moves a connection through time.  Whatever touches the connection ends in
`flush_soon`, so all that was written in one turn of the reactor leaves together.  It knows no
streams and no HTTP.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from aioquic.buffer import Buffer
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import Limit, QuicConnection
from aioquic.quic.events import QuicEvent
from aioquic.quic.packet import QuicErrorCode, QuicFrameType
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from takotwist.streams.http3.config import Http3Config
from takotwist.streams.http3.stateless import Address

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
    :param new_id: makes connection ids; random ones where absent.
    """

    def __init__(
        self,
        *,
        configuration: QuicConfiguration,
        original_destination_connection_id: bytes,
        retry_source_connection_id: bytes | None,
        max_streams: int,
        reset_token: Callable[[bytes], bytes],
        new_id: Callable[[], bytes] | None = None,
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
        self._reset_token, self._new_id = reset_token, new_id
        if new_id is not None:
            self.host_cid = self._host_cids[0].cid = new_id()
            self._local_initial_source_connection_id = self.host_cid
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
                if self._new_id is not None:
                    one.cid = self._new_id()
                # aioquic's own are random, and nobody knows them after a restart.
                one.stateless_reset_token = self._reset_token(one.cid)

    def refuse(self, reason: str) -> None:
        """Close during the handshake.

        By a code of QUIC's, because one of the application's does not leave before the handshake
        is over: the client would see APPLICATION_ERROR and no reason (RFC 9000 section 10.2.3).
        """
        self.close(QuicErrorCode.CONNECTION_REFUSED, QuicFrameType.PADDING, reason)

    # Receiving

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

    # Sending

    def unacknowledged(self, stream_id: int) -> int:
        """Bytes of the stream that are in our memory: not sent, or not acknowledged."""
        stream = self._streams.get(stream_id)
        return 0 if stream is None else len(stream.sender._buffer)

    def delivered(self, stream_id: int) -> bool:
        """True once all that was written, the end included, is acknowledged."""
        stream = self._streams.get(stream_id)
        return stream is None or stream.sender.is_finished

    def begun(self, stream_id: int) -> bool:
        """True once any byte of the stream has left, or none ever will."""
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
    def round_trip(self) -> float:
        """Seconds in which an answer would come, with what may be lost and sent again."""
        probe: float = self._loss.get_probe_timeout()
        return 3 * probe

    @property
    def is_over(self) -> bool:
        """True once the connection is closing or gone: nothing more can be sent."""
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


# The driver

#: What floating point may take off a delay.
ROUNDING = 1e-6


class QuicDriver:
    """The clock and the wire of one connection.

    :param transmit: sends one datagram to an address.
    :param on_event: called with each event; it does not raise.
    :param on_flushed: called after each flush, when acknowledgements may have made room.
    :param is_busy: whether the connection must be kept alive while it is quiet.
    """

    def __init__(
        self,
        quic: BoundedQuic,
        clock: IReactorTime,
        transmit: Callable[[bytes, Address], None],
        config: Http3Config,
        *,
        on_event: Callable[[QuicEvent], None],
        on_flushed: Callable[[], None],
        is_busy: Callable[[], bool],
    ) -> None:
        self._quic, self._clock, self._transmit = quic, clock, transmit
        self._on_event, self._on_flushed, self._is_busy = on_event, on_flushed, is_busy
        self._keepalive = config.keepalive
        self._timer: IDelayedCall | None = None
        self._flush_call: IDelayedCall | None = None
        self._discarded = False
        self._now = self._heard = self._probed = clock.seconds()
        self._handshake_by: float | None = self._now + config.handshake_timeout
        self._wake_at: float | None = None

    def datagram_received(self, data: bytes, address: Address) -> None:
        """One UDP datagram for this connection."""
        self._heard = self._tick()
        self._quic.receive_datagram(data, address, now=self._heard)
        self._process_events()
        self.flush_soon()

    @property
    def now(self) -> float:
        """The time of this turn."""
        return self._now

    def wake_at(self, when: float) -> None:
        """From `on_flushed`: have the next flush then at the latest."""
        self._wake_at = when

    @property
    def in_handshake(self) -> bool:
        """True until `handshake_ended`."""
        return self._handshake_by is not None

    def hasten_handshake(self, seconds: float) -> None:
        """Have the handshake end in `seconds`, where it is under way; flush then."""
        if self._handshake_by is not None:
            self._handshake_by = min(self._handshake_by, self._tick() + seconds)

    def handshake_ended(self) -> bool:
        """The handshake needs no deadline any more; whether it had one until now."""
        had, self._handshake_by = self._handshake_by is not None, None
        return had

    def flush_soon(self) -> None:
        """Send, once, at the end of this turn of the reactor."""
        if self._flush_call is None and not self._discarded:
            self._flush_call = self._clock.callLater(0, self.flush)

    def flush(self) -> None:
        """Send what there is, and set the timer."""
        if self._flush_call is not None and self._flush_call.active():
            self._flush_call.cancel()
        self._flush_call = None
        if self._discarded:
            return
        now = self._tick()
        if self._quic.get_peer_address() is not None:
            datagrams = self._quic.datagrams_to_send(now=now)
            # Sending makes events too: the ids that these datagrams give out must
            # be known before the peer can use them.
            self._process_events()
            for data, address in datagrams:
                self._transmit(data, address)
        self._wake_at = None
        self._on_flushed()
        self._arm()

    def discard(self) -> None:
        """Stop the timer and send nothing more."""
        self._discarded = True
        for call in (self._timer, self._flush_call):
            if call is not None and call.active():
                call.cancel()
        self._timer = self._flush_call = None

    def _tick(self) -> float:
        # The reactor's clock is the wall's; a step back must not stop the timers.
        self._now = max(self._now, self._clock.seconds())
        return self._now

    def _process_events(self) -> None:
        while (event := self._quic.next_event()) is not None:
            self._on_event(event)

    def _keepalive_at(self) -> float | None:
        if not self._is_busy():
            return None
        return max(self._heard, self._probed) + self._keepalive

    def _arm(self) -> None:
        wishes = (self._quic.get_timer(), self._handshake_by, self._keepalive_at(), self._wake_at)
        due = min((wish for wish in wishes if wish is not None), default=None)
        if due is None or self._discarded:
            return
        delay = max(0.0, due - self._now)
        if self._timer is not None and self._timer.active():
            # A timer that fires too early costs less than one set anew for each packet.
            if self._timer.getTime() <= self._clock.seconds() + delay:
                return
            self._timer.cancel()
        self._timer = self._clock.callLater(delay, self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        now = self._tick() + ROUNDING
        if self._handshake_by is not None and now >= self._handshake_by:
            self._quic.refuse("handshake too slow")
        due = self._quic.get_timer()
        if due is not None and now >= due:
            self._quic.handle_timer(now=max(self._now, due))
            self._process_events()
        probe_at = self._keepalive_at()
        if probe_at is not None and now >= probe_at:
            self._probed = self._now
            self._quic.send_ping(0)
        self.flush()
