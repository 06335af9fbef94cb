"""The streams of one connection, and what they may do to it: the `Link` of HTTP/3.

Two kinds live here: requests, whose bytes HTTP/3 frames, and WebTransport
streams, whose bytes it must not touch.  The table forgets a stream when both
its directions are over, or when the connection is.
"""

from __future__ import annotations

from collections.abc import Callable

from aioquic.h3.connection import FrameUnexpected
from twisted.internet.interfaces import IAddress, IReactorTime

from takotwist.streams.http3.framing import Http3Framing
from takotwist.streams.http3.link import Header, StreamReceiver, Watcher
from takotwist.streams.http3.quic import BoundedQuic


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
        """Whether a request is under way, or the end of its response not with the client yet."""
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
