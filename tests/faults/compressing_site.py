"""A site whose WebSocket takes compressed messages of up to 1 MiB, in a process of its own.

    python -m tests.faults.compressing_site

Prints its port, then answers each message with its length; ends when it is killed.
"""

from __future__ import annotations

from typing import Any

from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from takotwist.streams.http.site import make_site
from takotwist.streams.websocket.route import Deflate, WebSocket, WebSocketConfig, websocket

#: Of a message, unpacked.
MOST = 1 << 20

CONFIG = WebSocketConfig(deflate=Deflate(), max_message_size=MOST, max_frame_size=MOST)


async def lengths(ws: WebSocket) -> None:
    """How long each message is."""
    async for message in ws:
        await ws.send(str(len(message)))


def main() -> None:
    """Serve."""
    from twisted.internet import reactor

    the_reactor: Any = reactor

    class Root(Resource):
        isLeaf = True

        def render(self, request: Any) -> int:
            websocket(request, lengths, CONFIG, reactor=the_reactor)
            return NOT_DONE_YET

    site = make_site(Root(), the_reactor)
    port = the_reactor.listenTCP(0, site, interface="127.0.0.1")
    print(port.getHost().port, flush=True)
    the_reactor.run()


if __name__ == "__main__":
    main()
