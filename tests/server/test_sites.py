"""The sites of the listeners, and the pages beside the channels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from takotwist import define_channel
from takotwist.errors import REFUSALS, ConfigError
from takotwist.server.config import Config, Limits
from takotwist.server.sites import announce, error_body, load_pages, site
from takotwist.streams.http.interface import Request
from takotwist.testing.world import World
from tests.streams.memory_transport import MemoryTransport

#: A module of an app, with each kind of page and some that are none.
PAGES = """
from twisted.web.resource import Resource

class Klein:
    def resource(self):
        return Resource()

page = Resource()
klein = Klein()
number = 7

def made():
    return page

def broken():
    raise RuntimeError("not today")
"""


class SiteTests(SynchronousTestCase):
    """The site of a public listener, asked over HTTP/1.1."""

    def setUp(self) -> None:
        self.world = World(define_channel("news"), config=Config(limits=Limits(max_body_bytes=10)))
        self.asked: list[bytes] = []

    def ask(self, text: bytes, *first: Any, **more: Any) -> bytes:
        """The answer to one request, on a connection of its own."""
        parts = self.world.parts
        serving = site(
            parts.public, parts.reloadable, self.world.clock, parts.unfinished, first, **more
        )
        transport = MemoryTransport()
        transport.connect(serving.buildProtocol(None))
        transport.deliver(text)
        return transport.sent

    def seen(self, name: bytes, answers: bool = False) -> Any:
        """Notes that a request was seen, and answers it where it is to."""

        def see(request: Request) -> bool:
            self.asked.append(name)
            if answers:
                request.setResponseCode(204)
                request.finish()
            return answers

        return see

    def test_first(self) -> None:
        """Whoever is asked first is so in order, also about an event stream, until one answers."""
        for path in (b"/health", b"/channels/news"):
            self.asked.clear()
            answer = self.ask(
                b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path,
                self.seen(b"a"),
                self.seen(b"b", answers=True),
                self.seen(b"c"),
            )
            self.assertEqual(self.asked, [b"a", b"b"])
            self.assertTrue(answer.startswith(b"HTTP/1.1 204"))

    def test_announce(self) -> None:
        """What is announced is what holds when the answer is given."""
        ports = iter((b'h3=":1"', b'h3=":2"'))
        announcing = announce(lambda: next(ports))
        for port in (b'h3=":1"', b'h3=":2"'):
            answer = self.ask(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n", announcing)
            self.assertIn(b"Alt-Svc: " + port, answer)

    def test_bodies(self) -> None:
        """A body that is no publish has the limit of the configuration, the new one after
        a reload."""
        post = b"POST /elsewhere HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world"
        self.assertIn(b"HTTP/1.1 413", self.ask(post))
        self.world.parts.change(Config(limits=Limits(max_body_bytes=11)))
        self.assertIn(b"HTTP/1.1 404", self.ask(post))

    def test_error_body(self) -> None:
        """What is refused before a route is asked has a code of the protocol."""
        for status in (400, 404, 405, 413, 426, 429, 500, 503, 418):
            kind, body = error_body(status, "No.")
            said = json.loads(body)
            self.assertEqual((kind, said["error"]), (b"application/json", "No."))
            self.assertIn(said["code"], REFUSALS)


class LoadPagesTests(SynchronousTestCase):
    """The app's own pages."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.module = f"pages_{id(self)}"
        (self.folder / f"{self.module}.py").write_text(PAGES)

    def load(self, name: str) -> Any:
        """Load `name` of the module."""
        return load_pages(f"{self.module}:{name}", self.folder)

    def test_kinds(self) -> None:
        """A resource, what makes one, and a Klein app are pages; without a source there is none."""
        for name in ("page", "made", "klein"):
            self.assertIsInstance(self.load(name), Resource)
        self.assertIs(self.load("page"), self.load("made"))
        self.assertIsNone(load_pages(None, self.folder))

    def test_wrong(self) -> None:
        """It is said which key, and what is wrong with what it names."""
        for name, said in (
            ("missing", "has nothing that is called 'missing'"),
            ("broken", "not today"),
            ("number", "int"),
        ):
            bad = self.assertRaises(ConfigError, self.load, name)
            self.assertIn("app.pages", str(bad))
            self.assertIn(said, str(bad))
