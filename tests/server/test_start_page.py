"""The page at / of a server without pages."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.static import Data

from takotwist.server.config import Config, Http, Tls
from takotwist.testing.memory_peer import HttpPeer
from takotwist.testing.world import World


class StartPageTests(SynchronousTestCase):
    """Who sees it, and who is answered as for every unknown path."""

    def get(
        self,
        config: Config | None = None,
        *,
        host: str = "localhost:8080",
        address: str = "127.0.0.1",
        method: str = "GET",
        path: str = "/",
    ) -> HttpPeer:
        return World(config=config).request(method, path, {"Host": host}, address=address)

    def test_on_this_machine(self) -> None:
        """Whoever has just started it is told what runs, and where the docs are."""
        for host in ("localhost:8080", "127.0.0.1:8080", "chat.localhost"):
            answer = self.get(host=host)
            self.assertEqual(answer.status, 200)
            self.assertEqual(answer.headers["content-type"], "text/html; charset=utf-8")
            for part in (b"runs here", b"tako dev", b"docs"):
                self.assertIn(part, answer.body)
            self.assertIn("default-src 'none'", answer.headers["content-security-policy"])

    def test_docs_are_there(self) -> None:
        """The page that it names is a file."""
        named = self.get().body.decode().partition("documentation is in <code>")[2]
        self.assertTrue(Path(named.partition("</code>")[0]).is_file(), named)

    def test_head(self) -> None:
        """HEAD has no body; another method is not served."""
        self.assertEqual((self.get(method="HEAD").status, self.get(method="HEAD").body), (200, b""))
        self.assertEqual(self.get(method="PUT").status, 404)

    def test_nobody_else(self) -> None:
        """From elsewhere, for another name, by a proxy, or with a certificate there is none."""
        proxied = Config(http=Http(trusted_proxies=("127.0.0.1",)))
        served = Config(tls=Tls(certificate=Path("c"), key=Path("k")))
        named = Config(http=Http(allowed_hosts=("chat.example.com",)))
        for answer in (
            self.get(address="192.0.2.1", host="192.0.2.7"),
            self.get(named, host="chat.example.com"),
            self.get(proxied),
            self.get(served),
        ):
            self.assertEqual((answer.status, answer.code), (404, "not-found"))

    def test_no_other_path(self) -> None:
        """It is one page."""
        self.assertEqual(self.get(path="/index.html").status, 404)

    def test_own_pages(self) -> None:
        """An app with pages has its own."""
        pages = Resource()
        pages.putChild(b"", Data(b"mine", "text/plain"))
        world = World(pages=pages)
        answer = world.get("/", {"Host": "localhost"}, address="127.0.0.1")
        self.assertEqual(answer.body, b"mine")
