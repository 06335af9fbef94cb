"""Reads of a stream: what is there, from where, and what is said of it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist.facades.durable_streams.reading import ANSWER_BYTES
from takotwist.testing.memory_peer import HttpPeer
from tests.facades.durable_streams.here import Here


class ReadingCase(SynchronousTestCase):
    """One stream of text."""

    def setUp(self) -> None:
        self.here = Here()
        self.here.ask("PUT", body=b"one")

    def read(self, query: str = "", **headers: str) -> HttpPeer:
        return self.here.ask("GET", f"ann/1?{query}", **headers)

    def next(self, peer: HttpPeer) -> str:
        """The offset behind what was read."""
        return peer.headers["stream-next-offset"]

    def end(self) -> None:
        self.here.ask("POST", Stream_Closed="true")


class CatchUpTests(ReadingCase):
    """At once."""

    def test_parts(self) -> None:
        """From the beginning, from where one was, and from now, each says where the next is."""
        first = self.read()
        self.assertEqual((first.status, first.body), (200, b"one"))
        self.assertEqual(first.headers["content-type"], "text/plain")
        self.assertEqual(first.headers["stream-up-to-date"], "true")
        self.here.ask("POST", body=b"two")
        later = self.read(f"offset={self.next(first)}")
        self.assertEqual((later.body, self.read("offset=-1").body), (b"two", b"onetwo"))
        now = self.read("offset=now")
        self.assertEqual((now.body, self.next(now)), (b"", self.next(later)))
        self.assertNotIn("stream-closed", now.headers)

    def test_long(self) -> None:
        """A long stream comes in parts, none of which says that it is all; nothing is lost."""
        chunks = [bytes([65 + number]) * (ANSWER_BYTES // 2) for number in range(3)]
        for chunk in chunks:
            self.here.ask("POST", body=chunk)
        self.end()
        found, query, parts = b"", "", 0
        while True:
            peer = self.read(query)
            found += peer.body
            parts += 1
            self.assertEqual("stream-up-to-date" in peer.headers, "stream-closed" in peer.headers)
            if "stream-up-to-date" in peer.headers:
                break
            self.assertIn("max-age", peer.headers["cache-control"])
            query = f"offset={self.next(peer)}"
        self.assertEqual(found, b"one" + b"".join(chunks))
        self.assertGreater(parts, 1)
        self.assertIn("no-cache", peer.headers["cache-control"])

    def test_tag(self) -> None:
        """What a client has already is not sent again; once more is there, or the end, it is."""
        tag = self.read().headers["etag"]
        for known in (tag, f'"other", {tag}'):
            same = self.read(If_None_Match=known)
            self.assertEqual((same.status, same.body), (304, b""))
            self.assertEqual(same.headers["stream-up-to-date"], "true")
        self.assertEqual(self.read(If_None_Match='"other"').status, 200)
        self.end()
        ended = self.read(If_None_Match=tag)
        self.assertEqual((ended.status, ended.headers["stream-closed"]), (200, "true"))
        again = self.read(If_None_Match=ended.headers["etag"])
        self.assertEqual((again.status, again.headers["stream-closed"]), (304, "true"))

    def test_tag_of_another(self) -> None:
        """A stream that takes the place of another has another tag, be it alike or not."""
        tag = self.read().headers["etag"]
        self.here.ask("DELETE")
        self.here.ask("PUT", body=b"one")
        self.assertEqual(self.read(If_None_Match=tag).status, 200)

    def test_now(self) -> None:
        """Where a stream ends now is for nobody's cache."""
        peer = self.read("offset=now")
        self.assertEqual(peer.headers["cache-control"], "no-store")
        self.assertNotIn("etag", peer.headers)

    def test_json(self) -> None:
        """Values come in a list."""
        self.here.ask("PUT", "ann/2", b"[1,2]", Content_Type="application/json")
        self.here.ask("POST", "ann/2", b'{"a":3}', Content_Type="application/json")
        self.assertEqual(self.here.ask("GET", "ann/2").json, [1, 2, {"a": 3}])


class HeadTests(ReadingCase):
    """What is said of a stream."""

    def test_described(self) -> None:
        """Its type, its end and its bounds, and no content."""
        self.here.ask("PUT", "ann/2", Stream_TTL="60")
        self.here.ask("PUT", "ann/3", Stream_Expires_At="2999-01-01T00:00:00Z")
        first, second, third = (self.here.ask("HEAD", f"ann/{number}") for number in (1, 2, 3))
        self.assertEqual((first.status, first.body), (200, b""))
        self.assertEqual(first.headers["cache-control"], "no-store")
        self.assertEqual(self.next(first), self.next(self.read()))
        for absent in ("stream-ttl", "stream-expires-at", "stream-closed"):
            self.assertNotIn(absent, first.headers)
        self.assertEqual(second.headers["stream-ttl"], "60")
        self.assertEqual(third.headers["stream-expires-at"], "2999-01-01T00:00:00Z")
        self.end()
        self.assertEqual(self.here.ask("HEAD").headers["stream-closed"], "true")

    def test_nothing_there(self) -> None:
        for method in ("GET", "HEAD"):
            self.assertEqual(self.here.ask(method, "ann/other").status, 404)


class PollTests(ReadingCase):
    """Long-poll, where there is something to say at once."""

    def poll(self, offset: str, cursor: str = "") -> HttpPeer:
        more = f"&cursor={cursor}" if cursor else ""
        return self.read(f"offset={offset}&live=long-poll{more}")

    def test_at_once(self) -> None:
        """What is there is given without waiting, with a cursor that is another each time."""
        first = self.poll("-1")
        self.assertEqual((first.status, first.body), (200, b"one"))
        self.assertEqual(first.headers["cache-control"], "no-store")
        given = first.headers["stream-cursor"]
        self.assertNotEqual(self.poll("-1", given).headers["stream-cursor"], given)

    def test_ended(self) -> None:
        """Of a stream that has ended nothing is waited for, and nobody need come again."""
        self.end()
        last = self.poll("-1")
        self.assertEqual((last.body, last.headers["stream-closed"]), (b"one", "true"))
        for offset in ("now", self.next(last)):
            peer = self.poll(offset)
            self.assertEqual((peer.status, peer.headers["stream-closed"]), (204, "true"))
            self.assertNotIn("stream-cursor", peer.headers)
