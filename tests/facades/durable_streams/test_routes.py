"""Streams of a server in memory: who may do what, what pages are told, and several nodes."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from takotwist import define_channel
from takotwist.adapters.memory import InMemoryReplayLog
from takotwist.adapters.memory.node import MemoryNode, MemoryStore
from takotwist.server.config import Limits
from takotwist.server.config.sections import Publish
from takotwist.testing.memory_peer import HttpPeer
from takotwist.testing.world import World, WorldClock
from tests.facades.durable_streams.here import ALLOWED, KEY, PAGE, TEXT, Here, streams_channel


class RightsTests(SynchronousTestCase):
    """Who may."""

    def test_off(self) -> None:
        """Without a path there are none."""
        peer = World().request("PUT", "/streams/a", TEXT)
        self.assertEqual(peer.status, 404)

    def test_publish_key(self) -> None:
        """Without a channel it is asked of everybody, for everything."""
        here = Here()
        self.assertEqual(here.ask("PUT").status, 201)
        for method in ("PUT", "POST", "GET", "HEAD", "DELETE"):
            self.assertEqual(here.ask(method, headers={}).status, 401, method)
            wrong = {"Authorization": "Bearer wrong"}
            self.assertEqual(here.ask(method, headers=wrong).status, 403, method)
        self.assertEqual(here.world.request("GET", "/streams/ann/1", private=True).status, 200)

    def test_app_decides(self) -> None:
        """By operation and path; a publish key needs no asking."""
        asked: list[tuple[str, str]] = []
        here = Here(streams_channel(asked), channel="streams")
        ann, bob = {"X-User": "ann"}, {"X-User": "bob"}
        self.assertEqual(here.ask("PUT", headers=ann).status, 201)
        self.assertEqual(here.ask("POST", body=b"hi", headers=ann).status, 204)
        self.assertEqual(here.ask("GET", headers=bob).body, b"hi")
        for method in ("PUT", "POST", "DELETE"):
            self.assertEqual(here.ask(method, body=b"x", headers=bob).status, 403, method)
        self.assertEqual(here.ask("GET", "eve/1", headers=ann).status, 403)
        self.assertEqual(here.ask("GET", headers={}).status, 401)
        self.assertEqual(asked[:3], [("create", "ann/1"), ("append", "ann/1"), ("read", "ann/1")])
        count = len(asked)
        self.assertEqual(here.ask("DELETE").status, 204)
        self.assertEqual(len(asked), count)

    def test_public_channel(self) -> None:
        """Who need not ask may read, and no more."""
        path = {"type": "object", "properties": {"path": {"type": "string"}}}
        here = Here(define_channel("streams", params=path), channel="streams")
        here.ask("PUT", body=b"hi")
        self.assertEqual(here.ask("GET", headers={}).body, b"hi")
        self.assertEqual(here.ask("POST", body=b"x", headers={}).status, 401)

    def test_paths(self) -> None:
        """What can be no stream's path is not found."""
        here = Here()
        for path in ("", "a//b", "a/", "__ds/subscriptions/x", "a/%2e%2e/b", "%ff", "a%00b"):
            self.assertEqual(here.ask("PUT", path).status, 404, path)
        self.assertEqual(here.ask("PUT", "x" * 5_000).status, 400)

    def test_pages(self) -> None:
        """A page of an allowed origin may send and read the protocol's fields; others nothing."""
        here = Here()
        wanted = {
            "Origin": PAGE,
            "Access-Control-Request-Method": "PUT",
            "Access-Control-Request-Headers": "producer-id,if-none-match",
        }
        preflight = here.world.request("OPTIONS", "/streams/ann/1", wanted)
        self.assertEqual(preflight.status, 204)
        self.assertIn("PUT", preflight.headers["access-control-allow-methods"])
        allowed = preflight.headers["access-control-allow-headers"].split(", ")
        self.assertLessEqual({"producer-id", "stream-closed", "if-none-match"}, {*allowed})
        created = here.ask("PUT", Origin=PAGE)
        self.assertIn("Stream-Next-Offset", created.headers["access-control-expose-headers"])
        self.assertEqual(here.ask("GET", Origin="https://evil.example").status, 403)


class BoundsTests(SynchronousTestCase):
    """What is too much."""

    def test_bytes(self) -> None:
        """Of one append, and of a stream, which can still be read."""
        here = Here(max_append_bytes=1_000, max_stream_bytes=4_096)
        here.ask("PUT")
        self.assertEqual(here.ask("POST", body=b"x" * 1_001).status, 413)
        statuses = [here.ask("POST", body=b"x" * 900).status for _ in range(5)]
        self.assertEqual(statuses, [204, 204, 204, 204, 413])
        self.assertEqual(len(here.ask("GET").body), 3_600)

    def test_rate(self) -> None:
        """Changes by key count as publishes, those of clients as frames of their address; reads
        and the private listener do not count."""
        config = attrs.evolve(
            Here.config(channel="streams"),
            limits=Limits(publish_rate=1, publish_burst=2),
            publish=Publish(keys=(KEY,), rate=1, burst=3),
        )
        here = Here(world=World(streams_channel(), config=config))
        self.assertEqual(here.ask("PUT").status, 201)
        for headers in (ALLOWED, {"X-User": "ann"}):
            told = [here.ask("POST", body=b"x", headers=headers).status for _ in range(3)]
            self.assertEqual(told, [204, 204, 429])
        self.assertEqual([here.ask("GET").status for _ in "12345"], [200] * 5)
        private = here.world.request("POST", "/streams/ann/1", TEXT, b"x", private=True)
        self.assertEqual(private.status, 204)

    def test_producers(self) -> None:
        """That a stream remembers."""
        here = Here(max_producers=1)
        here.ask("PUT")

        def by(name: str) -> int:
            said = {"Producer_Id": name, "Producer_Epoch": "0", "Producer_Seq": "0"}
            return here.ask("POST", body=b"x", **said).status

        self.assertEqual([by("a"), by("b")], [200, 503])

    def test_lifetime(self) -> None:
        """A stream is gone after its lifetime, and the log keeps nothing of it for ever."""
        here = Here(lifetime_hours=1)
        here.ask("PUT", body=b"x")
        here.world.advance(3_599)
        self.assertEqual(here.ask("HEAD").status, 200)
        here.world.advance(2)
        self.assertEqual(here.ask("HEAD").status, 404)
        here.world.advance(3_900)
        stats = self.successResultOf(here.world.parts.log.stats())
        self.assertEqual((stats.topics, stats.messages), (0, 0))

    def test_deleted_is_removed(self) -> None:
        """What a deleted stream held goes from the log."""
        here = Here()
        here.ask("PUT", body=b"x" * 10_000)
        here.ask("DELETE")
        here.world.advance(180)
        stats = self.successResultOf(here.world.parts.log.stats())
        self.assertEqual((stats.topics, stats.messages), (0, 0))

    def test_reads_keep_it(self) -> None:
        """A stream with a time to live is kept by its readers, over a restart too."""
        here = Here()
        here.ask("PUT", Stream_TTL="10")
        for _ in range(4):
            here.world.advance(8)
            self.assertEqual(here.ask("GET").status, 200)
        log = here.world.parts.log
        again = Here(world=World(config=Here.config(), log=log, clock=here.world.clock))
        here.world.advance(8)
        self.assertEqual(again.ask("HEAD").status, 200)
        here.world.advance(3)
        self.assertEqual(again.ask("HEAD").status, 404)


class NodesTests(SynchronousTestCase):
    """Streams of two nodes that share a store."""

    def setUp(self) -> None:
        clock = WorldClock()
        clock.rightNow = 1_763_700_000.0
        log = InMemoryReplayLog(clock)
        self.successResultOf(log.start())
        self.store = MemoryStore(log)
        self.one, self.two = (
            Here(world=World(config=Here.config(), log=MemoryNode(self.store, name), clock=clock))
            for name in ("one", "two")
        )
        self.one.ask("PUT")

    def by(self, here: Here, number: int, epoch: int = 0, **more: str) -> HttpPeer:
        """Append as a producer."""
        said = {"Producer_Id": "m", "Producer_Epoch": str(epoch), "Producer_Seq": str(number)}
        return here.ask("POST", body=b"%d " % number, **said, **more)

    def test_written_by_both(self) -> None:
        """In turns: each stores behind what the other one stored, and every number once."""
        for number in range(10):
            here = (self.one, self.two)[number % 2]
            self.assertEqual(self.by(here, number).status, 200)
            other = (self.two, self.one)[number % 2]
            self.assertEqual(self.by(other, number).status, 204)
        expected = b"".join(b"%d " % number for number in range(10))
        self.assertEqual([here.ask("GET").body for here in (self.one, self.two)], [expected] * 2)

    def test_read_by_the_other(self) -> None:
        """Live, and told of the end."""
        peer = self.two.ask("GET", "ann/1?offset=-1&live=sse")
        self.one.ask("POST", body=b"x")
        self.one.ask("POST", body=b"y", Stream_Closed="true")
        data = [said for kind, said in self.two.events(peer) if kind == "data"]
        self.assertEqual((data, peer.ended), (["x", "y"], True))
        self.assertEqual(self.two.ask("POST", body=b"z").status, 409)

    def test_fenced(self) -> None:
        """A producer's successor on another node locks out the first, and is told of by both."""
        self.by(self.one, 0)
        self.assertEqual(self.by(self.two, 0, epoch=1).status, 200)
        late = self.by(self.one, 1)
        self.assertEqual((late.status, late.headers["producer-epoch"]), (403, "1"))

    def test_answer_lost(self) -> None:
        """Of a batch that the store has, whose answer was lost on the way: stored once."""
        node: Any = self.one.world.parts.log
        node.loses_answer = True
        self.assertEqual(self.by(self.one, 0).status, 200)
        self.assertEqual(self.by(self.two, 0).status, 204)
        self.assertEqual(self.two.ask("GET").body, b"0 ")

    def test_cut_off(self) -> None:
        """Where the store is away nothing is said to be stored, and later it goes on."""
        node: Any = self.one.world.parts.log
        node.cut()
        self.assertEqual(self.by(self.one, 0).status, 503)
        self.assertEqual(self.one.ask("GET").status, 503)
        self.by(self.two, 0)
        node.mend()
        self.assertEqual(self.by(self.one, 0).status, 204)
        self.assertEqual(self.by(self.one, 1).status, 200)

    def test_ended_by_one(self) -> None:
        """An end that the other node has not seen is one all the same."""
        self.assertEqual(self.two.ask("POST", body=b"a").status, 204)
        self.one.ask("POST", Stream_Closed="true")
        self.assertEqual(self.two.ask("POST", body=b"b").status, 409)
        self.one.ask("DELETE")
        self.assertEqual(self.two.ask("POST", body=b"b").status, 404)
        self.assertEqual(self.two.ask("PUT", body=b"new").status, 201)
        self.assertEqual(self.one.ask("GET").body, b"new")
