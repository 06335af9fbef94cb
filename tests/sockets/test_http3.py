"""HTTP/3 over real UDP ports."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import Request, Site
from twisted.web.static import Data

from takotwist.streams.http3 import AddressCheck, Http3Config, Http3Server
from takotwist.tls.certificate import short_lived_certificate
from tests.sockets.http3_client import Http3Client

BIG = b"z" * 2_000_000


class Length(Resource):
    """How long a body is."""

    def render_POST(self, request: Request) -> bytes:
        return b"%d" % len(request.content.read())


class SocketTests(TestCase):
    """`Http3Server` on the reactor's own ports."""

    timeout = 120

    def setUp(self) -> None:
        self.certificate = short_lived_certificate(["localhost"], now=datetime.now(UTC))

    def server(self, **config: Any) -> Http3Server:
        """A server that is not started."""
        root = Resource()
        root.putChild(b"big", Data(BIG, "application/octet-stream"))
        root.putChild(b"length", Length())
        return Http3Server(
            reactor,
            Site(root),
            certificate=self.certificate.certificate,
            key=self.certificate.key,
            config=Http3Config(drain_seconds=60, **config),
        )

    def client(self, port: int, host: str = "127.0.0.1") -> Http3Client:
        """A client of the port."""
        client = Http3Client(reactor, (host, port), self.certificate.certificate)
        reactor.listenUDP(0, client, interface=host)  # type: ignore[attr-defined]
        self.addCleanup(client.close)
        return client

    async def test_both_ways(self) -> None:
        """Bodies of many packets go through both ways."""
        server = self.server(max_body_bytes=2_000_000)
        client = self.client(server.start(0, "127.0.0.1"))
        self.addCleanup(server.stop)
        await client.connected
        self.assertEqual(await client.request("/length", b"x" * 1_500_000), (200, b"1500000"))
        status, body = await client.request("/big")
        self.assertEqual((status, len(body)), (200, len(BIG)))

    async def test_ipv6(self) -> None:
        """So it does over IPv6, with a Retry before."""
        server = self.server(address_check=AddressCheck.ALWAYS)
        client = self.client(server.start(0, "::1"), "::1")
        self.addCleanup(server.stop)
        self.assertEqual((await client.request("/nothing"))[0], 404)

    async def test_adopted_socket(self) -> None:
        """A socket that was opened elsewhere, by systemd say, can be served."""
        server = self.server()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
            opened.setblocking(False)
            opened.bind(("127.0.0.1", 0))
            port = reactor.adoptDatagramPort(  # type: ignore[attr-defined]
                opened.fileno(), socket.AF_INET, server.protocol
            )
        self.addCleanup(port.stopListening)
        self.addCleanup(server.stop)
        client = self.client(port.getHost().port)
        self.assertEqual((await client.request("/length", b"x"))[1], b"1")

    async def test_stop_leaves_the_port(self) -> None:
        """After a stop the port is free, and a response under way has been finished."""
        server = self.server()
        port = server.start(0, "127.0.0.1")
        client = self.client(port)
        await client.connected
        answer = client.request("/big")
        started = client.request("/nothing")
        await started
        await server.stop()
        self.assertEqual(len((await answer)[1]), len(BIG))
        again = self.server()
        self.assertEqual(again.start(port, "127.0.0.1"), port)
        await again.stop()
