"""Requests without TLS are sent to it, and never to where a stranger wants them."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.trial.unittest import SynchronousTestCase

from takotwist import define_channel
from takotwist.server.config import Config, Http
from takotwist.server.sites import site
from takotwist.server.tls_redirect import TlsRedirect
from takotwist.testing.memory_peer import HttpPeer
from takotwist.testing.memory_socket import MemorySocket
from takotwist.testing.world import World

NEWS = "/channels/news?last_event_id=0"


class TlsRedirectTests(SynchronousTestCase):
    """A listener without TLS of a server whose certificate is for two names."""

    def setUp(self) -> None:
        config = Config(
            http=Http(
                redirect_to_tls=True,
                trusted_proxies=("192.0.2.7",),  # type: ignore[arg-type]
                allowed_origins=("https://page.example",),
            )
        )
        self.world = World(define_channel("news"), config=config)
        parts = self.world.parts
        names = ("chat.example", "*.wild.example", "2001:db8::1")
        self.redirect = TlsRedirect(parts.reloadable, parts.answers, lambda: names)
        first = [self.redirect.answer]
        self.site = site(parts.public, parts.reloadable, self.world.clock, parts.unfinished, first)

    def ask(
        self,
        method: str = "GET",
        target: str = NEWS,
        headers: Mapping[str, str] | None = None,
        *,
        host: str = "chat.example",
        address: str = "192.0.2.1",
        body: bytes = b"",
    ) -> HttpPeer:
        """A request of a new connection."""
        peer = HttpPeer(self.site.buildProtocol(None), address)
        peer.ask(method, target, {"Host": host, **(headers or {})}, body)
        return peer

    def test_everything(self) -> None:
        """Each method and each path keeps what it is, its query included."""
        for method in ("GET", "HEAD", "POST", "PUT", "OPTIONS"):
            for target in (
                NEWS,
                "/",
                "/channels/news/history",
                "//evil.example/x",
                "/_tako/connect",
            ):
                answer = self.ask(method, target, body=b"{}" if method == "POST" else b"")
                self.assertEqual((answer.status, answer.body), (308, b""), (method, target))
                self.assertEqual(answer.headers["location"], f"https://chat.example{target}")
        self.assertEqual(self.world.parts.metrics.publishes, 0)

    def test_upgrade(self) -> None:
        """An upgrade is sent on too."""
        socket = MemorySocket(self.site.buildProtocol(None), "192.0.2.1")
        socket.open("/_tako/connect", "tako.v1", {"Host": "chat.example"})
        self.assertEqual(socket.status, 308)
        self.assertEqual(socket.headers["location"], "https://chat.example/_tako/connect")

    def test_port(self) -> None:
        """The port is that of TLS, whatever the one of the request is."""
        self.redirect.opened(8443)
        for host, location in (
            ("chat.example:8080", "https://chat.example:8443/x"),
            ("CHAT.example.", "https://chat.example:8443/x"),
            ("[2001:db8::1]:80", "https://[2001:db8::1]:8443/x"),
            ("a.wild.example", "https://a.wild.example:8443/x"),
            ("page.example", "https://page.example:8443/x"),
            ("localhost:1", "https://localhost:8443/x"),
        ):
            answer = self.ask(target="/x", host=host)
            self.assertEqual((answer.status, answer.headers.get("location")), (308, location))

    def test_no_open_redirect(self) -> None:
        """Nobody is sent to a host that is none of ours, whoever names it."""
        for host in ("evil.example", "chat.example.evil.example", "wild.example", "192.0.2.9", ""):
            answer = self.ask(host=host)
            self.assertEqual(answer.status, 403, host)
            self.assertEqual(answer.code, "host-rejected")
            self.assertNotIn("location", answer.headers)
        behind = {"X-Forwarded-Host": "evil.example"}
        answer = self.ask(headers=behind)
        self.assertEqual(answer.headers["location"], f"https://chat.example{NEWS}")
        answer = self.ask(headers=behind, address="192.0.2.7")
        self.assertEqual(answer.code, "host-rejected")
        answer = self.ask(target="http://evil.example/x")
        self.assertEqual(answer.code, "host-rejected")

    def test_plain(self) -> None:
        """Health and ACME's challenges are answered where they are asked."""
        self.assertEqual(self.ask(target="/_tako/health", host="10.0.0.1").status, 200)
        self.assertEqual(self.ask(target="/_tako/health?live", host="10.0.0.1").status, 200)
        self.assertEqual(self.ask(target="/.well-known/acme-challenge/a").status, 404)
        self.assertEqual(self.ask(target="/_tako/healthy").status, 308)

    def test_proxy(self) -> None:
        """What came by TLS to a trusted proxy is served; anybody else's word is no proof."""
        said = {"X-Forwarded-Proto": "https"}
        self.assertEqual(self.ask(headers=said, address="192.0.2.7").status, 200)
        self.assertEqual(self.ask(headers=said).status, 308)
        plain = {"X-Forwarded-Proto": "http"}
        self.assertEqual(self.ask(headers=plain, address="192.0.2.7").status, 308)
