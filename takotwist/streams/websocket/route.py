"""WebSocket for any Klein route or twisted.web resource.

A connection is a coroutine that is given a `WebSocket`.  Rule: it is at the pace
of both sides, so sending waits for a slow client and a slow handler is not read for.

    @app.route("/echo")
    def echo(request):
        return websocket(request, handle)

    async def handle(ws):
        async for message in ws:
            await ws.send(message)
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from takotwist.streams.http.peer import NO_PROXIES, TrustedProxies, peer_of
from takotwist.streams.websocket.config import Deflate, WebSocketConfig
from takotwist.streams.websocket.handler import ConnectionClosed, WebSocket
from takotwist.streams.websocket.handshake import BadHandshake, check_handshake
from takotwist.streams.websocket.websocket_session import Handler, Session

__all__ = ["ConnectionClosed", "Deflate", "Handler", "WebSocket", "WebSocketConfig", "websocket"]


def websocket(
    request: Any,
    handler: Handler,
    config: WebSocketConfig | None = None,
    *,
    trusted: TrustedProxies = NO_PROXIES,
    reactor: IReactorTime | None = None,
) -> Deferred[None]:
    """Upgrade `request` and run `handler` on the connection.

    What is no good handshake is answered with its HTTP status, and an origin that
    is not allowed with 403.  When `handler` returns, the connection is closed with
    1000; when it raises, with 1011 and a line in the log.  When the client
    leaves, what the handler awaits of its `WebSocket` raises `ConnectionClosed`; a
    handler that waits for something else is cancelled.

    :param trusted: proxies whose word about the server's own origin is believed.
    :param reactor: for the time; the one of the request's site where absent.
    :return: fires with `None` when all is over, however it ended.  Return it from a
        Klein route, await it in a coroutine; in a ``render`` of twisted.web leave
        it and return ``NOT_DONE_YET``.
    """
    config = config or WebSocketConfig()
    bad = check_handshake(request.method, request.clientproto, request.requestHeaders)
    if bad is None and not _origin_allowed(request, config, trusted):
        bad = BadHandshake(403, "origin not allowed")
    if bad is not None:
        return _refuse(request, bad)
    clock: IReactorTime = reactor or request.channel.site.reactor
    return Session(WebSocket(config.max_queued), handler, config, clock).start(request)


def _origin_allowed(request: Any, config: WebSocketConfig, trusted: TrustedProxies) -> bool:
    origins = request.requestHeaders.getRawHeaders(b"origin") or ()
    policy = config.allowed_origins
    if not origins:
        # No page; but where a list is given, everybody is to state one.
        return policy.allowed is None or policy.allowed == "*"
    if len(origins) > 1:
        return False
    return policy.permits(origins[0].decode("latin-1"), peer_of(request, trusted).origin)


def _refuse(request: Any, bad: BadHandshake) -> Deferred[None]:
    body = bad.sentence.encode()
    request.setResponseCode(bad.status, HTTPStatus(bad.status).phrase.encode("ascii"))
    for name, value in bad.headers:
        request.setHeader(name, value)
    request.setHeader(b"content-type", b"text/plain; charset=utf-8")
    request.setHeader(b"content-length", b"%d" % len(body))
    request.write(body)
    request.finish()
    return succeed(None)
