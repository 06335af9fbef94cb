"""aioquic's HTTP/3 framing, with what WebTransport and a public server need.

Adds the WebTransport settings of every draft that browsers ship, GOAWAY, a
bound on header blocks, and news of a WebTransport stream before its first
byte.  Knows no sockets, no requests and no sessions: events in, events out.
"""

from __future__ import annotations

import attrs
import pylsqpack
from aioquic.buffer import encode_uint_var
from aioquic.h3.connection import (
    ErrorCode,
    FrameType,
    H3Connection,
    HeadersState,
    Setting,
    encode_frame,
)
from aioquic.h3.events import H3Event, WebTransportStreamDataReceived
from aioquic.quic.events import QuicEvent, StreamDataReceived, StreamReset

from takotwist.streams.http.limits import HEAD_FACTOR
from takotwist.streams.http3.quic import BoundedQuic

#: draft-ietf-webtrans-http3-07, SETTINGS_WEBTRANSPORT_MAX_SESSIONS.
WEBTRANSPORT_MAX_SESSIONS = 0xC671706A
#: drafts 13 and 14, SETTINGS_WT_MAX_SESSIONS.  More than one would promise the
#: drafts' own flow control, which no browser asks for.
WT_MAX_SESSIONS = 0x14E9CD29
#: draft 15, SETTINGS_WT_ENABLED.
WT_ENABLED = 0x2C7CF000

#: A peer's dynamic table larger than this is not used at all: a smaller one
#: than announced would be against RFC 9204 section 3.2.3, which ties the
#: encoding of references to the announced size.
MAX_PEER_TABLE = 65536


@attrs.frozen
class HeadTooLarge(H3Event):
    """A request's head is larger than one may be; nothing more of the stream is read."""

    stream_id: int


class Http3Framing(H3Connection):
    """The HTTP/3 layer of one server side connection.

    :param max_header_bytes: past this an unfinished head is `HeadTooLarge`; one of more than
        `HEAD_FACTOR` times as many, and anything else that is kept until it is whole, closes
        the connection.
    :param webtransport: whether to offer WebTransport.
    """

    _quic: BoundedQuic

    def __init__(self, quic: BoundedQuic, *, max_header_bytes: int, webtransport: bool) -> None:
        self._max_header_bytes = max_header_bytes
        super().__init__(quic, enable_webtransport=webtransport)
        # No dynamic table for requests: 16 KiB of one-byte references to a
        # 4 KiB entry are 64 MiB of headers, and our requests repeat little.
        self._decoder = pylsqpack.Decoder(0, 0)
        #: Requests of whose streams nothing more is read, until they end.
        self._passed_over: set[int] = set()

    def _get_local_settings(self) -> dict[int, int]:
        settings = super()._get_local_settings()
        settings[Setting.QPACK_MAX_TABLE_CAPACITY] = 0
        settings[Setting.QPACK_BLOCKED_STREAMS] = 0
        settings[Setting.MAX_FIELD_SECTION_SIZE] = self._max_header_bytes
        if self._enable_webtransport:
            settings[WEBTRANSPORT_MAX_SESSIONS] = 1
            settings[WT_MAX_SESSIONS] = 1
            settings[WT_ENABLED] = 1
        return settings

    def _validate_settings(self, settings: dict[int, int]) -> None:
        super()._validate_settings(settings)
        if settings.get(Setting.QPACK_MAX_TABLE_CAPACITY, 0) > MAX_PEER_TABLE:
            settings[Setting.QPACK_MAX_TABLE_CAPACITY] = 0

    def handle_event(self, event: QuicEvent) -> list[H3Event]:
        """Like aioquic's, with a bound on what it keeps and word of streams still empty."""
        if isinstance(event, StreamReset):
            self._passed_over.discard(event.stream_id)
        if isinstance(event, StreamDataReceived) and event.stream_id in self._passed_over:
            if event.end_stream:
                self._passed_over.discard(event.stream_id)
            return []
        events = super().handle_event(event)
        if isinstance(event, StreamDataReceived):
            stream = self._stream.get(event.stream_id)
            if stream is not None:
                if len(stream.buffer) > self._max_header_bytes:
                    if self._is_near(event.stream_id):
                        # Heads are written without those before them here (no dynamic table),
                        # so the rest of this one can be passed over.
                        self._passed_over.add(event.stream_id)
                        self.forget(event.stream_id)
                        return [*events, HeadTooLarge(event.stream_id)]
                    stream.buffer = b""
                    self.refuse(ErrorCode.H3_EXCESSIVE_LOAD, "header block too large")
                    return []
                if stream.session_id is not None and not events:
                    # aioquic is silent until the first byte; a peer may wait for ours.
                    events.append(
                        WebTransportStreamDataReceived(
                            data=b"",
                            stream_id=event.stream_id,
                            stream_ended=False,
                            session_id=stream.session_id,
                        )
                    )
        return events

    def _is_near(self, stream_id: int) -> bool:
        """Whether an unfinished head is one that a client could have meant."""
        size = self._stream[stream_id].frame_size
        largest = HEAD_FACTOR * self._max_header_bytes
        return self.unfinished_head(stream_id) is not None and (size or 0) <= largest

    def unfinished_head(self, stream_id: int) -> int | None:
        """Bytes of a head that has begun on a client's two-way stream; `None` where none has."""
        stream = self._stream.get(stream_id)
        if (
            stream is None
            or stream_id in self._passed_over
            or stream_id & 3
            or stream.headers_recv_state is not HeadersState.INITIAL
            or stream.session_id is not None
            or stream.receiving_ended
        ):
            return None
        return len(stream.buffer)

    def refuse(self, code: int, reason: str) -> None:
        """Close the connection for what the peer did."""
        self._is_done = True
        self._quic.close(error_code=code, reason_phrase=reason)

    def forget(self, stream_id: int) -> None:
        """Drop the framing state of a WebTransport stream: its bytes are no frames from now on."""
        self._stream.pop(stream_id, None)

    def send_goaway(self, stream_id: int) -> None:
        """Say that requests from `stream_id` on will not be served (RFC 9114 section 5.2)."""
        assert self._local_control_stream_id is not None
        self._quic.send_stream_data(
            self._local_control_stream_id,
            encode_frame(FrameType.GOAWAY, encode_uint_var(stream_id)),
        )
