"""What came before its session: QUIC orders no two streams, so a stream may overtake its CONNECT.

Held for a short time and up to a bound, then reset; a session that is gone
gets nothing held.  An `EarlyStream` stays with the connection until the peer is
done with it, so that its bytes are never taken for HTTP/3.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall

from takotwist.streams.http3.link import Link
from takotwist.streams.webtransport.error_codes import BUFFERED_STREAM_REJECTED, SESSION_GONE

#: Sessions of the past that a connection remembers, to reject their late streams at once.
REMEMBERED = 64


class EarlyStream:
    """A stream without a session; provides `StreamReceiver`."""

    def __init__(self, link: Link, stream_id: int, session_id: int) -> None:
        self._link, self.id, self.session_id = link, stream_id, session_id
        self._chunks: list[bytes] = []
        self._size = 0
        self._ended = False
        self._rejected = False

    def data_received(self, data: bytes, ended: bool) -> None:
        """The next bytes: kept, and the peer's credit with them."""
        if data and not self._rejected:
            self._link.hold(self.id, len(data))
            self._size += len(data)
            self._chunks.append(data)
        self._ended = self._ended or ended
        if ended and self._rejected:
            self._link.forget(self.id)

    def reset_received(self, code: int) -> None:
        """The peer gave up: nothing is kept of it."""
        self._ended = True
        self.reject(code)

    def stop_received(self, code: int) -> None:
        """The peer wants no answer; what it sends may still come."""

    def connection_lost(self, reason: str) -> None:
        """The connection is over."""
        self.take()

    def take(self) -> tuple[bytes, bool]:
        """What came so far, and whether it was all."""
        data = b"".join(self._chunks)
        self._chunks.clear()
        if self._size:
            self._link.release(self.id, self._size)
            self._size = 0
        return data, self._ended

    def reject(self, code: int) -> None:
        """Reset the stream; drop what came and what may come."""
        if not self._rejected:
            self._rejected = True
            self.take()
            if not self.id & 2:
                self._link.reset(self.id, code)
            if not self._ended:
                self._link.stop(self.id, code)
        if self._ended:
            self._link.forget(self.id)


class EarlyArrivals:
    """The streams and datagrams of one connection that wait for their sessions.

    :param max_streams: streams held at once.
    :param max_datagrams: datagrams held at once.
    :param seconds: for how long.
    """

    def __init__(self, link: Link, *, max_streams: int, max_datagrams: int, seconds: float) -> None:
        self._link, self._max_streams, self._seconds = link, max_streams, seconds
        self._streams: dict[int, EarlyStream] = {}
        self._datagrams: deque[tuple[int, bytes]] = deque(maxlen=max_datagrams)
        self._gone: deque[int] = deque(maxlen=REMEMBERED)
        self._timer: IDelayedCall | None = None

    def stream_arrived(self, session_id: int, stream_id: int, data: bytes, ended: bool) -> None:
        """A stream of a session that is not there."""
        stream = EarlyStream(self._link, stream_id, session_id)
        self._link.attach(stream_id, stream)
        stream.data_received(data, ended)
        if session_id in self._gone or self._link.is_request(session_id):
            stream.reject(SESSION_GONE)
        elif len(self._streams) >= self._max_streams:
            stream.reject(BUFFERED_STREAM_REJECTED)
        else:
            self._streams[stream_id] = stream
            self._expire_later()

    def datagram_received(self, session_id: int, data: bytes) -> None:
        """A datagram likewise; the oldest is dropped where there are too many."""
        if session_id not in self._gone:
            self._datagrams.append((session_id, data))
            self._expire_later()

    def claim(
        self,
        session_id: int,
        give_stream: Callable[[int, bytes, bool], object],
        give_datagram: Callable[[bytes], None],
    ) -> None:
        """The session is there: give it what is its own."""
        for stream in [each for each in self._streams.values() if each.session_id == session_id]:
            del self._streams[stream.id]
            data, ended = stream.take()
            give_stream(stream.id, data, ended)
        for _ in range(len(self._datagrams)):
            owner, data = self._datagrams.popleft()
            if owner == session_id:
                give_datagram(data)
            else:
                self._datagrams.append((owner, data))

    def forget(self, session_id: int) -> None:
        """The session is over, or was refused: reject what waits for it, and what will come."""
        self._gone.append(session_id)
        for stream in [each for each in self._streams.values() if each.session_id == session_id]:
            del self._streams[stream.id]
            stream.reject(SESSION_GONE)

    def clear(self) -> None:
        """The connection is over, or time is up."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        self._datagrams.clear()
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            stream.reject(BUFFERED_STREAM_REJECTED)

    def _expire_later(self) -> None:
        # One timer, from the first that came: some wait less than `seconds`,
        # none longer.
        if self._timer is None:
            self._timer = self._link.clock.callLater(self._seconds, self.clear)
