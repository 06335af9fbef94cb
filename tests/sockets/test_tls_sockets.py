"""TLS on real sockets, with Python's own `ssl` as the client."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import Site

from takotwist.server.listen import Listen, close_listeners, open_listeners
from takotwist.tls.context import ServerTls
from takotwist.tls.development_ca import ensure_development_certificate
from tests.sockets.echo import EchoFactory, Guestbook

PATIENCE = 60.0


class Hello(Resource):
    """Says which HTTP it was asked in."""

    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        return bytes(request.clientproto)


class TlsSocketTests(TestCase):
    """A listener with the development certificate."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.files = ensure_development_certificate(self.folder, [], datetime.now(UTC))
        self.tls = ServerTls(self.files.certificate, self.files.key)

    async def _listen(self, factory: Any) -> int:
        guests = Guestbook(factory)
        listen = Listen(endpoint="tcp:0:interface=127.0.0.1", factory=guests, tls=self.tls)
        opened = await open_listeners(reactor, [listen])
        self.addCleanup(guests.everybody_gone)
        self.addCleanup(lambda: ensureDeferred(close_listeners(opened)))
        self.assertRegex(opened[0].address, r"^https://127\.0\.0\.1:\d+$")
        port: int = opened[0].port.getHost().port  # type: ignore[attr-defined]
        return port

    def _context(self, alpn: list[str] | None = None) -> ssl.SSLContext:
        """A client that trusts the CA and nobody else."""
        context = ssl.create_default_context(cafile=self.files.authority)
        if alpn:
            context.set_alpn_protocols(alpn)
        return context

    def _connect(self, port: int, context: ssl.SSLContext) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        return context.wrap_socket(plain, server_hostname="localhost")

    async def _in_thread(self, function: Callable[[], Any]) -> Any:
        outcome: Deferred[Any] = deferToThread(function)
        return await outcome

    async def test_versions(self) -> None:
        """TLS 1.3 and 1.2 shake hands, verified strictly against the CA."""
        port = await self._listen(EchoFactory())
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = self._context()
            context.minimum_version = context.maximum_version = version
            context.verify_flags |= ssl.VERIFY_X509_STRICT

            def talk(context: ssl.SSLContext = context) -> tuple[str | None, bytes]:
                with self._connect(port, context) as client:
                    client.sendall(b"hello")
                    return client.version(), client.recv(64)

            spoken, answer = await self._in_thread(talk)
            self.assertEqual(spoken, version.name.replace("_", "."))
            self.assertEqual(answer, b"hello")

    async def test_alpn(self) -> None:
        """A web site is HTTP/2 for who offers it, and HTTP/1.1 for who does not."""
        port = await self._listen(Site(Hello()))

        def get(http2: bool) -> tuple[str, str]:
            with httpx.Client(verify=self._context(), http2=http2, timeout=PATIENCE) as client:
                answer = client.get(f"https://localhost:{port}/")
                return answer.http_version, answer.text

        self.assertEqual(await self._in_thread(lambda: get(True)), ("HTTP/2", "HTTP/2"))
        self.assertEqual(await self._in_thread(lambda: get(False)), ("HTTP/1.1", "HTTP/1.1"))

    async def test_reload(self) -> None:
        """A connection outlives the exchange of the certificate, and new ones get the new."""
        port = await self._listen(EchoFactory())
        context = self._context()
        old = await self._in_thread(lambda: self._connect(port, context))
        self.addCleanup(old.close)
        ensure_development_certificate(self.folder, ["app.localhost"], datetime.now(UTC))
        self.assertTrue(self.tls.reload())
        new = await self._in_thread(lambda: self._connect(port, context))
        self.addCleanup(new.close)
        self.assertNotEqual(old.getpeercert(), new.getpeercert())
        self.assertIn(("DNS", "app.localhost"), new.getpeercert()["subjectAltName"])

        def talk(client: ssl.SSLSocket) -> bytes:
            client.sendall(b"hello")
            return client.recv(64)

        for client in (old, new):
            self.assertEqual(await self._in_thread(lambda one=client: talk(one)), b"hello")

    async def test_session_is_resumed(self) -> None:
        """Who comes back needs no full handshake."""
        port = await self._listen(EchoFactory())
        context = self._context()

        def twice() -> bool:
            with self._connect(port, context) as first:
                first.sendall(b"hello")
                first.recv(64)
                session = first.session
            plain = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
            with context.wrap_socket(plain, server_hostname="localhost", session=session) as second:
                return bool(second.session_reused)

        self.assertTrue(await self._in_thread(twice))

    async def test_stranger_does_not_trust_it(self) -> None:
        """Without the CA the certificate is worth nothing."""
        port = await self._listen(EchoFactory())

        def connect() -> None:
            with self.assertRaises(ssl.SSLCertVerificationError):
                self._connect(port, ssl.create_default_context())

        await self._in_thread(connect)
