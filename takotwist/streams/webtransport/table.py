"""Session table of one connection, and the streams and datagrams that come before their session.

Provides `takotwist.streams.http3.link.Sessions`.  A session is in the table from
its CONNECT on, so that what comes while `admit` is asked waits within its bounds.

QUIC orders no two streams, so a stream may overtake its CONNECT.  It is held for a short time
and up to a bound, then reset; a session that is gone gets nothing held.  An `EarlyStream` stays
with the connection until the peer is done with it, so that its bytes are never taken for HTTP/3.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from inspect import isawaitable

from aioquic.h3.connection import ErrorCode
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from takotwist.streams.http3.link import Header, Link
from takotwist.streams.webtransport.errors import BUFFERED_STREAM_REJECTED, SESSION_GONE
from takotwist.streams.webtransport.request import SessionRequest, choose_protocol
from takotwist.streams.webtransport.route import WebTransportRoute
from takotwist.streams.webtransport.session import WebTransportSession

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
        """The bytes that came so far, and whether they are all."""
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


class Routes:
    """The WebTransport of a server: makes the table of each connection.

    :param routes: as `takotwist.streams.webtransport.webtransport` makes them.
    :raises ValueError: there is none, or two have the same path.
    """

    def __init__(self, routes: Iterable[WebTransportRoute]) -> None:
        self._routes: dict[str, WebTransportRoute] = {}
        for route in routes:
            if self._routes.setdefault(route.path, route) is not route:
                raise ValueError(f"two WebTransport routes have the path {route.path}")
        if not self._routes:
            raise ValueError("no WebTransport route was given")

    def __call__(self, link: Link) -> SessionTable:
        """The sessions of a new connection."""
        return SessionTable(link, self._routes)

    def stop(self) -> None:
        """Cancel the handlers of sessions that are over: the server is gone."""
        for route in self._routes.values():
            for session in list(route.ending):
                session.cancel()


class SessionTable:
    """Sessions by id.

    :param routes: by path; at least one.
    """

    log = Logger()

    def __init__(self, link: Link, routes: Mapping[str, WebTransportRoute]) -> None:
        self._link, self._routes = link, routes
        configs = [route.config for route in routes.values()]
        # What comes early comes before its route is known: the widest bound counts.
        self._early = EarlyArrivals(
            link,
            max_streams=max(config.early_streams for config in configs),
            max_datagrams=max(config.early_datagrams for config in configs),
            seconds=max(config.early_seconds for config in configs),
        )
        self._sessions: dict[int, WebTransportSession] = {}

    @property
    def busy(self) -> bool:
        """True while any session is open."""
        return bool(self._sessions)

    # From the connection

    def connect(self, stream_id: int, headers: list[Header]) -> None:
        """An extended CONNECT arrived."""
        request = SessionRequest.of(headers, self._link.peer)
        route = self._routes.get(request.path)
        if route is None:
            self._refuse(stream_id, 404)
        elif not request.origin_allowed(route.config.allowed_origins):
            self._refuse(stream_id, 403)
        elif (
            route.sessions >= route.config.max_sessions
            or len(self._sessions) >= route.config.max_sessions_per_connection
        ):
            self._refuse(stream_id, 429)
        else:
            self._begin(stream_id, request, route)

    def stream_arrived(self, session_id: int, stream_id: int, data: bytes, ended: bool) -> None:
        """The client opened a stream."""
        session = self._sessions.get(session_id)
        if session is None:
            self._early.stream_arrived(session_id, stream_id, data, ended)
        else:
            session.stream_arrived(stream_id, data, ended)

    def datagram_received(self, session_id: int, data: bytes) -> None:
        """A datagram came."""
        session = self._sessions.get(session_id)
        if session is None:
            self._early.datagram_received(session_id, data)
        else:
            session.datagrams.received(data)

    def drain(self) -> None:
        """Ask every session to come to its end."""
        for session in list(self._sessions.values()):
            session.drain()

    def stop(self) -> None:
        """Close every session: the server goes."""
        for session in list(self._sessions.values()):
            session.close(1001, "shutting-down")

    def connection_lost(self, reason: str) -> None:
        """The connection is over; its sessions were told as its requests."""
        self._early.clear()

    # Opening a session

    def _begin(self, stream_id: int, request: SessionRequest, route: WebTransportRoute) -> None:
        protocol = choose_protocol(request, route.config)

        def closed(session: WebTransportSession) -> None:
            route.sessions -= 1
            del self._sessions[session.id]
            self._early.forget(session.id)
            if session.working:
                route.ending.add(session)

        session = WebTransportSession(
            self._link, stream_id, request, route.config, protocol, closed, route.ending.discard
        )
        route.sessions += 1
        self._sessions[stream_id] = session
        self._link.serve(stream_id, session)
        self._early.claim(stream_id, session.stream_arrived, session.datagrams.received)
        if route.admit is None:
            self._accept(session, route)
            return
        asked = Deferred.fromCoroutine(self._ask(session, route))
        asked.addErrback(self._admit_failed, session)

    async def _ask(self, session: WebTransportSession, route: WebTransportRoute) -> None:
        assert route.admit is not None
        answer = route.admit(session.request)
        status = await answer if isawaitable(answer) else answer
        if session.closed is not None:
            return
        if status == 200:
            self._accept(session, route)
        else:
            session.refuse(status)

    def _admit_failed(self, failure: Failure, session: WebTransportSession) -> None:
        self.log.failure("WebTransport admit failed", failure)
        session.refuse(500)

    def _accept(self, session: WebTransportSession, route: WebTransportRoute) -> None:
        headers = [(b":status", b"200"), (b"sec-webtransport-http3-draft", b"draft02")]
        if session.protocol is not None:
            headers.append((b"wt-protocol", b'"%s"' % session.protocol.encode()))
        self._link.send_headers(session.id, headers, ended=False)
        session.accepted()
        session.serve(route.handler)

    def _refuse(self, stream_id: int, status: int) -> None:
        self._link.send_headers(stream_id, [(b":status", b"%d" % status)], ended=True)
        self._link.stop(stream_id, ErrorCode.H3_NO_ERROR)
        self._early.forget(stream_id)
