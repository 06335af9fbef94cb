"""Streams of one connection: HTTP/3 framing, and the table of streams that provides `Link`.

`Http3Framing` is aioquic's framing with what WebTransport and a public server need: the
WebTransport settings of every draft that browsers ship, GOAWAY, a bound on header blocks, and
news of a WebTransport stream before its first byte.  It knows no sockets, no requests and no
sessions: events in, events out.

`StreamTable` holds two kinds: requests, whose bytes HTTP/3 frames, and WebTransport streams,
whose bytes it must not touch.  It forgets a stream when both its directions are over, or when
the connection is.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pylsqpack
from aioquic.buffer import encode_uint_var
from aioquic.h3.connection import (
    ErrorCode,
    FrameType,
    FrameUnexpected,
    H3Connection,
    HeadersState,
    Setting,
    encode_frame,
)
from aioquic.h3.events import H3Event, WebTransportStreamDataReceived
from aioquic.quic.events import QuicEvent, StreamDataReceived, StreamReset
from twisted.internet.interfaces import IAddress, IReactorTime

from takotwist.streams.http.limits import HEAD_FACTOR
from takotwist.streams.http3.link import Header, StreamReceiver, Watcher
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
        """True where an unfinished head is one that a client could have meant."""
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


class StreamTable:
    """Provides `Link`.

    :param flush_soon: called after whatever needs to go to the wire.
    :param max_datagrams: datagrams that may wait to leave.
    """

    def __init__(
        self,
        quic: BoundedQuic,
        *,
        clock: IReactorTime,
        peer: IAddress,
        host: IAddress,
        flush_soon: Callable[[], None],
        max_datagrams: int,
    ) -> None:
        self.clock, self.peer, self.host = clock, peer, host
        self.framing: Http3Framing | None = None
        self.requests: dict[int, StreamReceiver] = {}
        self.raw: dict[int, StreamReceiver] = {}
        self._quic, self._flush_soon = quic, flush_soon
        self._max_datagrams = max_datagrams
        self._watchers: dict[int, Watcher] = {}
        self._resets: dict[int, int] = {}
        self._leaving: set[int] = set()
        self._over = False

    @property
    def busy(self) -> bool:
        """True while a request is under way, or the end of its response not with the client yet."""
        return bool(self.requests) or bool(self._leaving)

    def flushed(self) -> None:
        """Bytes have left, and acknowledgements may have made room: tell who waits for it."""
        self._leaving = {each for each in self._leaving if not self._quic.delivered(each)}
        for stream_id, code in list(self._resets.items()):
            if self._quic.begun(stream_id):
                del self._resets[stream_id]
                self.reset(stream_id, code)
        for watcher in list(self._watchers.values()):
            watcher.drained()

    def end(self) -> list[StreamReceiver]:
        """Nothing can be sent any more; returns, and forgets, everybody who must be told."""
        self._over = True
        receivers = [*self.requests.values(), *self.raw.values()]
        self.requests.clear()
        self.raw.clear()
        self._watchers.clear()
        self._resets.clear()
        self._leaving.clear()
        return receivers

    # Link

    def serve(self, stream_id: int, receiver: StreamReceiver) -> None:
        self.requests[stream_id] = receiver

    def send_headers(self, stream_id: int, headers: list[Header], *, ended: bool) -> None:
        self._send(lambda h3: h3.send_headers(stream_id, headers, end_stream=ended))

    def send_data(self, stream_id: int, data: bytes, *, ended: bool) -> None:
        self._send(lambda h3: h3.send_data(stream_id, data, end_stream=ended))

    def write(self, stream_id: int, data: bytes, *, ended: bool) -> None:
        self._send(lambda _: self._quic.send_stream_data(stream_id, data, end_stream=ended))

    def reset(self, stream_id: int, code: int) -> None:
        if stream_id & 1 and not self._quic.begun(stream_id):
            # A reset overtakes all that was written.  A WebTransport stream of
            # ours whose head, with the session's id, has not left would be
            # nobody's: the peer would never hear of it, nor of the code.
            self._resets[stream_id] = code
            self._flush_soon()
        else:
            self._send(lambda _: self._quic.reset_stream(stream_id, code))

    def stop(self, stream_id: int, code: int) -> None:
        self._send(lambda _: self._quic.stop_stream(stream_id, code))

    def _send(self, send: Callable[[Http3Framing], None]) -> None:
        if self._over or self.framing is None:
            return
        try:
            send(self.framing)
        except (RuntimeError, ValueError, FrameUnexpected):
            # The peer has stopped the stream, and the event that says so is
            # still in aioquic's queue.
            return
        self._flush_soon()

    def open_stream(self, session_id: int, *, one_way: bool) -> int:
        assert self.framing is not None
        stream_id = self.framing.create_webtransport_stream(session_id, is_unidirectional=one_way)
        self._flush_soon()
        return stream_id

    def attach(self, stream_id: int, receiver: StreamReceiver) -> None:
        self.raw[stream_id] = receiver

    def forget(self, stream_id: int) -> None:
        self.raw.pop(stream_id, None)
        if self.requests.pop(stream_id, None) is not None and not self._over:
            self._leaving.add(stream_id)
        self._flush_soon()

    def hold(self, stream_id: int, count: int) -> None:
        self._quic.hold(stream_id, count)

    def release(self, stream_id: int, count: int) -> None:
        self._quic.release(stream_id, count)
        self._flush_soon()

    def unacknowledged(self, stream_id: int) -> int:
        return self._quic.unacknowledged(stream_id)

    def delivered(self, stream_id: int) -> bool:
        return self._quic.delivered(stream_id)

    def watch(self, stream_id: int, watcher: Watcher) -> None:
        if not self._over:
            self._watchers[stream_id] = watcher

    def unwatch(self, stream_id: int) -> None:
        self._watchers.pop(stream_id, None)

    def send_datagram(self, session_id: int, data: bytes) -> bool:
        if self._quic.waiting_datagrams >= self._max_datagrams:
            return False
        self._send(lambda h3: h3.send_datagram(session_id, data))
        return True

    def max_datagram(self) -> int:
        return self._quic.max_datagram_payload

    def is_request(self, stream_id: int) -> bool:
        return stream_id in self.requests

    def abort(self, code: int, reason: str) -> None:
        if self.framing is not None:
            self.framing.refuse(code, reason)
        else:
            self._quic.close(error_code=code, reason_phrase=reason)
        self._flush_soon()
