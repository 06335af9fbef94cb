"""WebSocket for any Klein route or twisted.web resource.

A connection is a coroutine that is given a `WebSocket`.  Rules: it is at the pace of
both sides, so sending waits for a slow client and a slow handler is not read for; the
first of connection and coroutine to end ends the other, and a failure of the handler is
logged once and told to the client only as 1011.

    @app.route("/echo")
    def echo(request):
        return websocket(request, handle)

    async def handle(ws):
        async for message in ws:
            await ws.send(message)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import lru_cache
from http import HTTPStatus
from typing import cast

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from takotwist.streams.coroutine import run
from takotwist.streams.http.interface import AnyRequest, Request
from takotwist.streams.http.peer import NO_PROXIES, TrustedProxies, peer_of
from takotwist.streams.websocket.config import Deflate, WebSocketConfig
from takotwist.streams.websocket.handler import ConnectionClosed, Keepalive, WebSocket
from takotwist.streams.websocket.handshake import (
    BadHandshake,
    check_handshake,
    choose_subprotocol,
    offered_subprotocols,
)
from takotwist.streams.websocket.upgrade import WebSocketUpgrade

_log = Logger()

Handler = Callable[[WebSocket], Awaitable[object]]


@lru_cache(maxsize=64)
def _upgrade_of(config: WebSocketConfig, reactor: IReactorTime) -> WebSocketUpgrade:
    return WebSocketUpgrade(config, reactor)


class Session:
    """A connection, its handler, and the timers of both."""

    def __init__(
        self, ws: WebSocket, handler: Handler, config: WebSocketConfig, reactor: IReactorTime
    ) -> None:
        self._ws = ws
        self._handler = handler
        self._config = config
        self._reactor = reactor
        self._running: Deferred[object] | None = None
        self._keepalive: Keepalive | None = None
        #: What came behind the handshake, in the same read.
        self._early: list[tuple[bytes, bool]] = []
        self._over: Deferred[None] = Deferred(lambda _: ws.abort())

    def start(self, request: Request) -> Deferred[None]:
        ws, config = self._ws, self._config
        connection = _upgrade_of(config, self._reactor).upgrade(
            request,
            on_message=self._message_received,
            on_pong=self._pong_received,
            on_closed=self._closed,
            on_resume=ws.resumed,
            subprotocol=choose_subprotocol(
                config.subprotocols, offered_subprotocols(request.requestHeaders)
            ),
        )
        if connection is None:
            return succeed(None)
        ws._connection = connection
        self._keepalive = Keepalive(connection, config, self._reactor)
        for payload, is_binary in self._early:
            self._message_received(payload, is_binary)
        self._early.clear()
        if connection.closed:
            # What came behind the handshake may have been its end.
            self._keepalive.stop()
        self._running = run(self._handle())
        self._running.addBoth(self._finish)
        return self._over

    async def _handle(self) -> None:
        ws = self._ws
        try:
            await self._handler(ws)
        except ConnectionClosed:
            pass
        except CancelledError:
            if ws.close_code is None:
                raise
        except Exception:
            _log.failure("A WebSocket handler failed")
            await ws.close(1011, "internal-error")
            return
        await ws.close(1000)

    def _message_received(self, payload: bytes, is_binary: bool) -> None:
        if self._keepalive is None:
            self._early.append((payload, is_binary))
            return
        self._keepalive.heard()
        self._ws.message_received(payload, is_binary)

    def _pong_received(self, payload: bytes) -> None:
        if self._keepalive is not None:
            self._keepalive.heard()
        self._ws.pong_received(payload)

    def _closed(self, code: int, reason: str, _: bool) -> None:
        if self._keepalive is not None:
            self._keepalive.stop()
        self._ws.lost(code, reason)
        running = self._running
        if running is not None and not running.called and not self._ws.told:
            running.cancel()

    def _finish(self, result: object) -> None:
        if isinstance(result, Failure) and not result.check(CancelledError):
            _log.failure("A WebSocket handler failed", failure=result)
        self._ws.abort()
        if not self._over.called:
            self._over.callback(None)


__all__ = ["ConnectionClosed", "Deflate", "Handler", "WebSocket", "WebSocketConfig", "websocket"]


def websocket(
    request: AnyRequest,
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
    asked = cast(Request, request)
    bad = check_handshake(asked.method, asked.clientproto, asked.requestHeaders)
    if bad is None and not _origin_allowed(asked, config, trusted):
        bad = BadHandshake(403, "origin not allowed")
    if bad is not None:
        return _refuse(asked, bad)
    clock: IReactorTime = reactor or asked.channel.site.reactor
    return Session(WebSocket(config.max_queued), handler, config, clock).start(asked)


def _origin_allowed(request: Request, config: WebSocketConfig, trusted: TrustedProxies) -> bool:
    origins = request.requestHeaders.getRawHeaders(b"origin") or ()
    policy = config.allowed_origins
    if not origins:
        # No page; but where a list is given, everybody is to state one.
        return policy.allowed is None or policy.allowed == "*"
    if len(origins) > 1:
        return False
    return policy.permits(origins[0].decode("latin-1"), peer_of(request, trusted).origin)


def _refuse(request: Request, bad: BadHandshake) -> Deferred[None]:
    body = bad.sentence.encode()
    request.setResponseCode(bad.status, HTTPStatus(bad.status).phrase.encode("ascii"))
    for name, value in bad.headers:
        request.setHeader(name, value)
    request.setHeader(b"content-type", b"text/plain; charset=utf-8")
    request.setHeader(b"content-length", b"%d" % len(body))
    request.write(body)
    request.finish()
    return succeed(None)
