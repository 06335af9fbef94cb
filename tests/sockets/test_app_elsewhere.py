"""The connections to an app elsewhere over real sockets: kept, verified, and a restart."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.protocols.policies import WrappingFactory
from twisted.trial.unittest import TestCase
from twisted.web.server import Site
from twisted.web.wsgi import WSGIResource

from takotwist import define_channel
from takotwist.adapters.app_agent import app_agent
from takotwist.adapters.app_client import AppAddress, AppBounds, AppClient
from takotwist.adapters.authorize_http import HttpAuthorizer
from takotwist.app.wsgi import internal_app
from takotwist.core.authorization import AuthRequest, Fanout, Frame
from takotwist.errors import AuthUnavailable, ConfigError
from tests.adapters.app_in_memory import TOKEN
from tests.adapters.test_app_client import Answering
from tests.sockets.server_process import free_port
from tests.sockets.trusted_certificate import write_certificates

REQUEST = AuthRequest("chat", "subscribe", {})
FRAME = Frame("chat", {}, "msg", b"1")
clock: Any = reactor


class _Quiet(Site):
    """Writes no access log."""

    def log(self, request: object) -> None:
        """Nothing."""


class _Tracked(WrappingFactory):
    """Counts connections, and says when the last of them is gone."""

    def __init__(self, resource: Any) -> None:
        super().__init__(_Quiet(resource))
        self.connections = 0
        self._gone: Deferred[None] | None = None

    def registerProtocol(self, p: Any) -> None:
        super().registerProtocol(p)
        self.connections += 1

    def unregisterProtocol(self, p: Any) -> None:
        super().unregisterProtocol(p)
        if self._gone is not None and not self.protocols:
            self._gone.callback(None)

    async def gone(self) -> None:
        if self.protocols:
            self._gone = Deferred()
            await self._gone


class _Old(Protocol):
    """Answers one question in HTTP/1.0, as wsgiref's server does, and reads no other."""

    _answered = False

    def dataReceived(self, data: bytes) -> None:
        if self._answered:
            self.transport.abortConnection()
            return
        self._answered = True
        dispatched = b"/channels/dispatch" in data
        body = b'{"action":"fanout","data":2}' if dispatched else b'{"ok":true,"subject":"u"}'
        head = "HTTP/1.0 200 OK\r\nContent-Length: %d\r\nX-Tako-Internal-Token: %s\r\n\r\n"
        self.transport.write((head % (len(body), TOKEN)).encode() + body)


class TestAppElsewhere(TestCase):
    timeout = 120

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        channel = define_channel("chat")
        channel.verify(lambda request: {"subject": "u"})
        channel.on("msg")(lambda data, context: data + 1)
        application = internal_app(channels=[channel], token=TOKEN)
        self.site = _Tracked(WSGIResource(clock, clock.getThreadPool(), application))

    async def listen(self, description: str, site: _Tracked | None = None) -> Any:
        served = site or self.site
        port = await serverFromString(clock, description).listen(served)
        self.addCleanup(served.gone)
        self.addCleanup(port.stopListening)
        return port

    def authorizer(
        self, url: str, deadline: float = 60.0, ca_file: Path | None = None
    ) -> HttpAuthorizer:
        agent, address, pool = app_agent(clock, url, ca_file=ca_file)
        self.pool = pool
        self.addCleanup(pool.closeCachedConnections)
        client = AppClient(
            AppAddress(url=address, name="demo", token=TOKEN),
            agent,
            clock,
            lambda: 0.5,
            AppBounds(deadline=deadline),
        )
        return HttpAuthorizer(client)

    async def test_connections_are_kept(self) -> None:
        """Questions in a row go over one connection."""
        port = await self.listen("tcp:0:interface=127.0.0.1")
        authorizer = self.authorizer(f"http://127.0.0.1:{port.getHost().port}")
        for _ in range(3):
            self.assertEqual((await authorizer.authorize(REQUEST)).subject, "u")
            self.assertEqual(await authorizer.dispatch(FRAME), Fanout(b"2"))
        self.assertEqual(self.site.connections, 1)

    async def test_app_that_keeps_no_connection(self) -> None:
        """A frame that comes right behind a question does not meet the end of its connection."""
        self.site.wrappedFactory = Factory.forProtocol(_Old)
        port = await self.listen("tcp:0:interface=127.0.0.1")
        authorizer = self.authorizer(f"http://127.0.0.1:{port.getHost().port}")
        for _ in range(3):
            self.assertEqual((await authorizer.authorize(REQUEST)).subject, "u")
            self.assertEqual(await authorizer.dispatch(FRAME), Fanout(b"2"))
        self.assertEqual(self.site.connections, 6)

    async def test_unix_socket(self) -> None:
        """An app may listen on a Unix socket only."""
        path = self.folder / "app.sock"
        # Twisted's own WSGI container cannot serve a Unix socket.
        app = Answering()
        app.body = b'{"ok":true,"subject":"u"}'
        await self.listen(f"unix:{path}", _Tracked(app))
        authorizer = self.authorizer(f"unix:{path}")
        self.assertEqual((await authorizer.authorize(REQUEST)).subject, "u")
        self.assertEqual(app.seen[0][2]["Host"], "demo.tako")

    async def test_restart(self) -> None:
        """An app that is down for a second is a pause, for questions and for frames."""
        number = free_port()
        first = await self.listen(f"tcp:{number}:interface=127.0.0.1")
        authorizer = self.authorizer(f"http://127.0.0.1:{number}")
        await authorizer.authorize(REQUEST)
        await first.stopListening()
        await self.pool.closeCachedConnections()
        waiting: list[Deferred[Any]] = [authorizer.authorize(REQUEST), authorizer.dispatch(FRAME)]
        await deferLater(clock, 0.3)
        self.assertFalse(any(one.called for one in waiting))
        await self.listen(f"tcp:{number}:interface=127.0.0.1")
        self.assertEqual((await waiting[0]).subject, "u")
        self.assertEqual(await waiting[1], Fanout(b"2"))
        await self.pool.closeCachedConnections()

    async def test_tls(self) -> None:
        """TLS is verified: the authority has to be trusted and the name has to be right."""
        authority, chain = write_certificates(self.folder, "localhost")
        port = await self.listen(f"ssl:0:interface=127.0.0.1:privateKey={chain}:certKey={chain}")
        number = port.getHost().port
        trusted = self.authorizer(f"https://localhost:{number}", ca_file=authority)
        self.assertEqual((await trusted.authorize(REQUEST)).subject, "u")
        for url, ca_file in (
            (f"https://localhost:{number}", None),
            (f"https://127.0.0.1:{number}", authority),
        ):
            wrong = self.authorizer(url, 0.5, ca_file)
            with self.assertRaises(AuthUnavailable):
                await wrong.authorize(REQUEST)

    def test_authority_that_is_none(self) -> None:
        """A file without a certificate is an error at start."""
        empty = self.folder / "empty.pem"
        empty.write_text("nothing")
        for file in (empty, self.folder / "missing.pem"):
            with self.assertRaises(ConfigError) as failed:
                app_agent(clock, "https://a", ca_file=file)
            self.assertEqual(failed.exception.key, "app.ca_file")
