"""A WebSocket between a page and the app behind ``tako dev``, byte for byte.

    page -> handshake -> app -> 101 -> both connections joined

The handshake is the app's to answer; until it has said yes the page's connection stays one of
HTTP, so that a refusal is an answer as any other.  Rule: each side is read as fast as the other
takes it, and the end of one is the end of both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    HostnameEndpoint,
    UNIXClientEndpoint,
    connectProtocol,
    wrapClientTLS,
)
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.ssl import optionsForClientTLS
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers

from takotwist.adapters.app_agent import CONNECT_TIMEOUT
from takotwist.interfaces import IReactor
from takotwist.streams.http.interface import BodyRequest
from takotwist.streams.websocket.upgrade import take_over

#: Bytes of the app's answer to a handshake.
MAX_HEAD = 16_384


def asks_for_websocket(request: BodyRequest) -> bool:
    """Tell whether it is a handshake (RFC 6455, section 4.1); HTTP/2 has none of this form."""
    asked = request.requestHeaders.getRawHeaders(b"upgrade") or ()
    return request.clientproto == b"HTTP/1.1" and [one.lower() for one in asked] == [b"websocket"]


def pass_on_upgrade(
    reactor: IReactor,
    url: str,
    request: BodyRequest,
    headers: Headers,
    down: Callable[[Failure], object],
) -> None:
    """Ask the app, and join both connections where it agrees.

    :param headers: what the app is told, without those of one connection.
    :param down: answers where the app cannot be reached.
    """
    lines = [b"%s %s HTTP/1.1" % (request.method, request.uri)]
    lines += [
        b"%s: %s" % (name, one) for name, several in headers.getAllRawHeaders() for one in several
    ]
    lines += [b"Connection: Upgrade", b"Upgrade: websocket", b"", b""]
    side = _AppSide(request, b"\r\n".join(lines), down)
    reaching: Deferred[object] = connectProtocol(_endpoint(reactor, url), side)
    reaching.addErrback(down)

    def page_gone(_: Failure) -> None:
        reaching.cancel()
        side.abandon()

    request.notifyFinish().addErrback(page_gone)


def _endpoint(reactor: IReactor, url: str) -> IStreamClientEndpoint:
    if url.startswith("unix:"):
        path = url.removeprefix("unix:").removeprefix("//")
        return UNIXClientEndpoint(reactor, path, timeout=CONNECT_TIMEOUT)
    parts = urlsplit(url)
    assert parts.hostname is not None  # the configuration has seen to it
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    plain = HostnameEndpoint(reactor, parts.hostname, port, timeout=CONNECT_TIMEOUT)
    return wrapClientTLS(optionsForClientTLS(parts.hostname), plain) if secure else plain


class _Side(Protocol):
    """One of two connections that are joined."""

    transport: Any
    _peer: _Side | None = None

    def join(self, peer: _Side) -> None:
        """Write to `peer` all that is read here."""
        self._peer = peer
        peer.transport.registerProducer(self.transport, True)

    def dataReceived(self, data: bytes) -> None:
        """Pass it on."""
        if self._peer is not None:
            self._peer.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End the other one, when it has what was passed on."""
        peer, self._peer = self._peer, None
        if peer is not None:
            peer.transport.unregisterProducer()
            peer.transport.loseConnection()


class _AppSide(_Side):
    """The connection to the app: its answer first, and then whatever it says."""

    def __init__(
        self, request: BodyRequest, head: bytes, down: Callable[[Failure], object]
    ) -> None:
        self._request, self._head, self._down = request, head, down
        self._answer = b""
        self._answered = False

    def connectionMade(self) -> None:
        """Ask."""
        self.transport.write(self._head)

    def abandon(self) -> None:
        """The page has gone."""
        self._answered = True
        if self.transport is not None:
            self.transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        """Implement `Protocol`."""
        if self._answered:
            super().dataReceived(data)
            return
        self._answer += data
        head, end, _ = self._answer.partition(b"\r\n\r\n")
        if not end and len(self._answer) <= MAX_HEAD:
            return
        self._answered = True
        version, _, status = head.partition(b"\r\n")[0].partition(b" ")
        if status[:3] == b"101" and version == b"HTTP/1.1":
            self._join()
        else:
            self._refuse(status)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Implement `Protocol`."""
        if not self._answered:
            self._answered = True
            self._down(reason)
        super().connectionLost(reason)

    def _join(self) -> None:
        request, page = self._request, _Side()
        request.notifications = []
        _, early = take_over(request, page)
        page.join(self)
        self.join(page)
        page.transport.write(self._answer)
        self._answer = b""
        # It was paused if the page sent much behind its handshake.
        page.transport.resumeProducing()
        if early:
            page.dataReceived(early)

    def _refuse(self, status: bytes) -> None:
        """Pass on that the app does not agree; what it says besides is for no page to see."""
        code = int(status[:3]) if status[:3].isdigit() and status[:1] in b"345" else 502
        self.transport.loseConnection()
        self._request.setResponseCode(code)
        self._request.setHeader("Content-Length", "0")
        self._request.finish()
