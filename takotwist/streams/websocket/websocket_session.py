"""A WebSocket connection, the coroutine that handles it, and the timers of both.

Rule: whichever ends first ends the others, and a failure of the handler is
logged once and told to the client only as 1011.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from takotwist.streams.coroutine import run
from takotwist.streams.websocket.config import WebSocketConfig
from takotwist.streams.websocket.handler import ConnectionClosed, WebSocket
from takotwist.streams.websocket.handshake import choose_subprotocol, offered_subprotocols
from takotwist.streams.websocket.upgrade import WebSocketUpgrade
from takotwist.streams.websocket.websocket_keepalive import Keepalive

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
        self._running: Deferred[Any] | None = None
        self._keepalive: Keepalive | None = None
        #: What came behind the handshake, in the same read.
        self._early: list[tuple[bytes, bool]] = []
        self._over: Deferred[None] = Deferred(lambda _: ws.abort())

    def start(self, request: Any) -> Deferred[None]:
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
