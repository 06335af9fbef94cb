"""That the names that connections are shown beforehand are those that they get."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from twisted.internet import reactor, tcp
from twisted.internet.defer import ensureDeferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from takotwist.server.listen import Listen, close_listeners, open_listeners
from takotwist.server.tuning import NAMES
from takotwist.streams.sse.stream import EventStream
from takotwist.tls.connection import TlsConnection
from takotwist.tls.context import ServerTls
from takotwist.tls.development_ca import ensure_development_certificate
from tests.sockets.echo import Guestbook


class Stream(Resource):
    """An event stream; it tells its transport's attributes, and ends."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[type, set[str]] = {}

    def render_GET(self, request: Any) -> int:
        stream = EventStream(request)
        stream.open()
        transport = request.channel.transport
        while transport is not None:
            self.seen[type(transport)] = set(vars(transport))
            transport = getattr(transport, "transport", None)
        stream.close()
        return NOT_DONE_YET


class AttributeNamesTests(TestCase):
    """A request over TLS on a real socket."""

    def test_known(self) -> None:
        """Every attribute of the two transports is known beforehand."""
        return ensureDeferred(self._known())  # type: ignore[return-value]

    async def _known(self) -> None:
        files = ensure_development_certificate(Path(self.mktemp()), [], datetime.now(UTC))
        tls = ServerTls(files.certificate, files.key)
        page = Stream()
        guests = Guestbook(Site(page, reactor=reactor))
        listen = Listen(endpoint="tcp:0:interface=127.0.0.1", factory=guests, tls=tls)
        opened = await open_listeners(reactor, [listen])  # type: ignore[arg-type]
        self.addCleanup(guests.everybody_gone)
        self.addCleanup(lambda: ensureDeferred(close_listeners(opened)))
        port = opened[0].port.getHost().port  # type: ignore[attr-defined]
        context = ssl.create_default_context(cafile=files.authority)
        await deferToThread(self._ask, port, context)
        for kind in (tcp.Server, TlsConnection):
            self.assertLessEqual(page.seen[kind], set(NAMES[kind]))

    @staticmethod
    def _ask(port: int, context: ssl.SSLContext) -> None:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=60) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as client,
        ):
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            while client.recv(65536):
                pass
