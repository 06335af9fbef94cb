"""A WebSocket echo and an event ticker on one Klein app.

    python examples/streams/echo.py            # then http://localhost:9001/

``/`` echoes every message, with compression where the client offers it: it is what
the public Autobahn test suite is pointed at (``ws://localhost:9001/``).
``/ticks`` sends an event a second and goes on where a returning client left.
"""

from __future__ import annotations

import sys
from typing import Any

from klein import Klein
from twisted.internet import task
from twisted.internet.interfaces import IReactorTime

from takotwist.codecs.sse import SseEvent
from takotwist.streams.sse.route import last_event_id, sse
from takotwist.streams.websocket.config import Deflate, WebSocketConfig
from takotwist.streams.websocket.route import WebSocket, websocket

CONFIG = WebSocketConfig(
    allowed_origins="*",
    deflate=Deflate(compress_from=0),
    max_frame_size=32 << 20,
    max_message_size=32 << 20,
)


async def echo(ws: WebSocket) -> None:
    """Send back what comes, as it came."""
    async for message in ws:
        await ws.send(message)


async def ticks(reactor: IReactorTime, count: int) -> Any:
    """One event a second; its id is its number."""
    while True:
        count += 1
        yield SseEvent(data=f"tick {count}", id=str(count))
        await task.deferLater(reactor, 1.0)


def make_app(reactor: IReactorTime) -> Klein:
    """The routes."""
    app = Klein()

    @app.route("/")
    def echo_route(request: Any) -> Any:
        return websocket(request, echo, CONFIG, reactor=reactor)

    @app.route("/ticks")
    def ticks_route(request: Any) -> Any:
        seen = last_event_id(request) or "0"
        return sse(request, ticks(reactor, int(seen) if seen.isdecimal() else 0), reactor=reactor)

    return app


if __name__ == "__main__":
    from twisted.internet import reactor

    from takotwist.streams.http.site import make_site

    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9001
    the_reactor: Any = reactor
    site = make_site(make_app(the_reactor).resource(), the_reactor)
    the_reactor.listenTCP(port, site, interface="127.0.0.1")
    the_reactor.run()
