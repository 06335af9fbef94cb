"""Streams of a server in memory: who may do what, what pages are told, and several nodes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from takotwist import Grant, define_channel
from takotwist.adapters.memory import InMemoryReplayLog
from takotwist.adapters.memory.node import MemoryNode, MemoryStore
from takotwist.app.channel import Channel
from takotwist.server.config import Config, Limits
from takotwist.server.config.listeners import Http
from takotwist.server.config.sections import Publish
from takotwist.server.config.streams import Streams
from takotwist.testing.memory_peer import HttpPeer
from takotwist.testing.world import World, WorldClock

KEY = "a-publish-key-of-32-characters-or"
ALLOWED = {"Authorization": f"Bearer {KEY}"}
TEXT = {"Content-Type": "text/plain"}
PAGE = "https://app.example"


def streams_channel(asked: list[tuple[str, str]] | None = None) -> Channel[Any]:
    """Lets Ann do everything with her own streams, and Bob read them."""
    path = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
    channel = define_channel("streams", params=path)

    @channel.verify(header="x-user")
    def verify(request: Any) -> bool:
        if asked is not None:
            asked.append((request.operation, request.params["path"]))
        who = request.header.value
        mine = bool(request.params["path"].startswith(f"{who}/"))
        return mine or (who == "bob" and request.operation == "read")

    return channel


class Here:
    """A server with streams."""

    def __init__(self, *channels: Channel[Any], world: World | None = None, **more: Any) -> None:
        self.world = world or World(*channels, config=self.config(**more))

    @staticmethod
    def config(**more: Any) -> Config:
        """:param more: of the section."""
        return Config(
            streams=Streams(path="/streams", **more),
            publish=Publish(keys=(KEY,)),
            http=Http(allowed_origins=(PAGE,)),
        )

    def ask(
        self,
        method: str,
        path: str = "ann/1",
        body: bytes = b"",
        headers: Mapping[str, str] = ALLOWED,
        **more: str,
    ) -> HttpPeer:
        """A request; `more` are further headers, with _ for -."""
        extra = {name.replace("_", "-"): text for name, text in more.items()}
        said = {**(TEXT if body or method == "PUT" else {}), **headers, **extra}
        return self.world.request(method, f"/streams/{path}", said, body)

    def events(self, peer: HttpPeer) -> list[tuple[str, Any]]:
        """Of an event stream; the data of control events is read."""
        read: list[tuple[str, Any]] = []
        for block in peer.body.decode().split("\n\n"):
            lines = [line.partition(":")[::2] for line in block.split("\n")]
            kind = "".join(text.strip() for name, text in lines if name == "event")
            data = "\n".join(text.removeprefix(" ") for name, text in lines if name == "data")
            if kind:
                read.append((kind, json.loads(data) if kind == "control" else data))
        return read


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


class LiveTests(SynchronousTestCase):
    """Readers that wait."""

    def setUp(self) -> None:
        self.here = Here()
        self.here.ask("PUT", body=b"one")

    def test_events(self) -> None:
        """What is there, what comes, and the end, after which the response is over."""
        peer = self.here.ask("GET", "ann/1?offset=-1&live=sse")
        self.here.ask("POST", body="zwö".encode() + b"\n lf")
        self.here.ask("POST", body=b"last", Stream_Closed="true")
        events = self.here.events(peer)
        self.assertEqual(
            [said for kind, said in events if kind == "data"], ["one", "zwö\n lf", "last"]
        )
        controls = [said for kind, said in events if kind == "control"]
        self.assertEqual([said.get("upToDate") for said in controls], [True] * 3)
        self.assertEqual([said.get("streamClosed") for said in controls], [None, None, True])
        self.assertTrue(peer.ended)
        again = self.here.ask("GET", f"ann/1?offset={controls[-1]['streamNextOffset']}&live=sse")
        [(_, only)] = self.here.events(again)
        self.assertTrue(only["streamClosed"] and again.ended)

    def test_events_end_in_time(self) -> None:
        """An event stream is ended, and its client goes on where it was."""
        peer = self.here.ask("GET", "ann/1?offset=now&live=sse")
        self.here.world.advance(59)
        self.assertFalse(peer.ended)
        self.assertGreater(peer.comments, 2)
        self.here.world.advance(2)
        self.assertTrue(peer.ended)
        self.assertEqual(len(self.here.world.parts.sessions), 0)

    def test_deleted_under_a_reader(self) -> None:
        """Ends its response, and its next request finds nothing."""
        peer = self.here.ask("GET", "ann/1?offset=now&live=sse")
        poll = self.here.ask("GET", "ann/1?offset=now&live=long-poll")
        self.here.ask("DELETE")
        self.assertTrue(peer.ended)
        self.assertEqual(poll.status, 404)
        self.assertEqual(self.here.ask("GET", "ann/1?offset=now&live=sse").status, 404)

    def test_long_poll(self) -> None:
        """Waits for the next chunk, for the end, or for its time; nothing of it stays."""
        waiting = self.here.ask("GET", "ann/1?offset=now&live=long-poll")
        self.assertFalse(waiting.answered)
        self.here.ask("POST", body=b"two")
        self.assertEqual((waiting.status, waiting.body), (200, b"two"))
        late = self.here.ask("GET", "ann/1?offset=now&live=long-poll")
        self.here.world.advance(21)
        self.assertEqual((late.status, late.headers["stream-up-to-date"]), (204, "true"))
        left = self.here.ask("GET", "ann/1?offset=now&live=long-poll")
        left.leave()
        ended = self.here.ask("GET", "ann/1?offset=now&live=long-poll")
        self.here.ask("POST", Stream_Closed="true")
        self.assertEqual((ended.status, ended.headers["stream-closed"]), (204, "true"))
        self.assertEqual(len(self.here.world.parts.sessions), 0)

    def test_grant_ends(self) -> None:
        """A reader whose credentials end is ended."""
        path = {"type": "object", "properties": {"path": {"type": "string"}}}
        channel = define_channel("streams", params=path)
        begun = World().clock.seconds()

        @channel.verify
        def verify(request: Any) -> Grant:
            return Grant(subject="ann", expires_at=begun + 5)

        here = Here(channel, channel="streams")
        here.ask("PUT")
        peer = here.ask("GET", "ann/1?offset=-1&live=sse", headers={"Authorization": "Bearer a"})
        here.world.advance(4)
        self.assertEqual((peer.status, peer.ended), (200, False))
        here.world.advance(2)
        self.assertTrue(peer.ended)

    def test_offsets_of_another_stream(self) -> None:
        """An offset of the stream that was there before is too old; one of none is refused."""
        old = self.here.ask("HEAD").headers["stream-next-offset"]
        self.here.ask("DELETE")
        self.here.ask("PUT", body=b"new")
        self.assertEqual(self.here.ask("GET", f"ann/1?offset={old}").status, 410)
        self.assertEqual(self.here.ask("GET", "ann/1?offset=9007199254740991").status, 400)
        self.assertEqual(self.here.ask("GET").body, b"new")


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
