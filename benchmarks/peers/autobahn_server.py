"""Autobahn as its documentation shows it: `sendMessage` to each, publishing by POST.

python autobahn_server.py PORT
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from typing import Any

from autobahn.twisted.resource import WebSocketResource
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet import reactor
from twisted.web.resource import Resource
from twisted.web.server import Site

topics: defaultdict[str, set[Subscriber]] = defaultdict(set)
messages = iter(range(10**15, 10**16))


class Subscriber(WebSocketServerProtocol):  # type: ignore[misc]
    """One WebSocket."""

    topic = ""

    def onConnect(self, request: Any) -> None:
        self.topic = str(request.params)
        topics[self.topic].add(self)

    def onOpen(self) -> None:
        self.transport.setTcpNoDelay(True)

    def onClose(self, clean: bool, code: int | None, reason: str | None) -> None:
        topics[self.topic].discard(self)


class Root(Resource):
    """Upgrades what asks for it, and publishes what is posted."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        factory = WebSocketServerFactory()
        factory.protocol = Subscriber
        self._sockets = WebSocketResource(factory)

    def render(self, request: Any) -> Any:
        if request.method != b"POST":
            return self._sockets.render(request)
        data = json.dumps(json.loads(request.content.read())["data"])
        message = f'{{"id":"{next(messages)}","channel":"bench","type":"m","data":{data}}}'.encode()
        topic = {
            name.decode(): [v.decode() for v in values] for name, values in request.args.items()
        }
        for subscriber in topics[str(topic)]:
            subscriber.sendMessage(message)
        request.setHeader("Content-Type", "application/json")
        return message


reactor.listenTCP(int(sys.argv[1]), Site(Root()), backlog=4096, interface="127.0.0.1")  # type: ignore
reactor.run()  # type: ignore[attr-defined]
