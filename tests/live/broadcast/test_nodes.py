"""Broadcasts of several nodes over one store: check C22."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.memory.log import InMemoryReplayLog
from takotwist.adapters.memory.node import MemoryNode, MemoryStore
from takotwist.errors import StoreUnavailable
from takotwist.live import Broadcast, BroadcastChannel, Receipt, Replay, function
from takotwist.live.broadcast.broadcast import default_broadcasts, set_default_broadcasts
from takotwist.server.live_log import PASSING
from takotwist.testing.world import World, WorldClock
from tests.live.page import ClientEnd, Page

REPLAY = Replay(window=60)


@function
async def on_join(durable: bool = False) -> BroadcastChannel[Any]:
    return BroadcastChannel(key="room", replay=REPLAY if durable else None)


class Node:
    """One server of several, in this process.

    :ivar heard: by its subscriber, where it has one.
    """

    def __init__(self, store: MemoryStore, clock: WorldClock, name: str) -> None:
        self.log = MemoryNode(store, name)
        self.world = World(functions=[on_join], log=self.log, clock=clock)
        self.broadcasts = default_broadcasts()
        self.page = Page(self.world)
        self.page.connect()
        self.heard: list[tuple[Any, Receipt]] = []

    @contextmanager
    def here(self) -> Iterator[None]:
        """`Broadcast` means this server."""
        before = default_broadcasts()
        set_default_broadcasts(self.broadcasts)
        yield
        set_default_broadcasts(before)

    def subscribe(self, key: str = "room") -> Any:
        with self.here():
            leave = Broadcast.subscribe(key, lambda data, info: self.heard.append((data, info)))
            binary = Broadcast.subscribe_binary(
                key, lambda data, info: self.heard.append((data, info))
            )
        return lambda: (leave(), binary())

    def publish(self, data: Any, key: str = "room", replay: Replay | None = None) -> Any:
        with self.here():
            if isinstance(data, bytes):
                return Broadcast.publish_binary(key, data, replay=replay)
            return Broadcast.publish(key, data, replay=replay)

    def join(self, durable: bool = False, **more: Any) -> ClientEnd:
        with self.here():
            end = self.page.get("onJoin", durable)
        end.subscribe(ack=True, **more)
        end.subscribe("binary", ack=True, **more)
        self.page.pump()
        self.world.advance(0)
        self.page.pump()
        return end


class NodesTests(SynchronousTestCase):
    """Three nodes."""

    def setUp(self) -> None:
        self.addCleanup(set_default_broadcasts, default_broadcasts())
        self.clock = WorldClock()
        self.clock.rightNow = 1_763_700_000.0
        inner = InMemoryReplayLog(self.clock)
        inner.start()
        self.store = MemoryStore(inner)
        self.nodes = [Node(self.store, self.clock, name) for name in "abc"]

    def pump(self) -> None:
        for node in self.nodes:
            node.page.pump()
        self.clock.advance(0)
        for node in self.nodes:
            node.page.pump()

    def check_same_everywhere(self, replay: Replay | None) -> None:
        a, b, c = self.nodes
        for node in (a, b):
            node.subscribe()
        ends = [b.join(replay is not None), c.join(replay is not None)]
        receipts = [
            a.publish("1", replay=replay).result(),
            b.publish(b"2", replay=replay).result(),
            c.publish("3", replay=replay).result(),
        ]
        mine = ends[1].publish("4")
        self.pump()
        expected = ["1", b"2", "3", "4"]
        for node in (a, b):
            self.assertEqual([data for data, _ in node.heard], expected)
            self.assertEqual([info for _, info in node.heard[:3]], receipts)
        for end in ends:
            self.assertEqual((end.heard, end.ended), (expected, []))
            self.assertEqual([info.seq for info in end.infos], [1, 2, 3, 4])
            self.assertEqual({info.epoch for info in end.infos}, {receipts[0].epoch})
        self.assertEqual(mine.answer["seq"], 4)
        self.assertEqual(c.heard, [])
        self.assertEqual([one.seq for one in receipts], [1, 2, 3])
        kept = replay is not None
        self.assertEqual([one.cursor is not None for one in receipts], [kept] * 3)
        self.assertEqual(["cursor" in mine.answer], [kept])
        self.assertEqual([info.cursor is not None for info in ends[0].infos], [kept] * 4)

    def test_c22_in_memory(self) -> None:
        """C22: the same order and the same numbers on all nodes, for servers and pages."""
        self.check_same_everywhere(None)

    def test_c22_durable(self) -> None:
        """C22: of durable keys too, with cursors."""
        self.check_same_everywhere(REPLAY)

    def test_c22_store_away(self) -> None:
        """C22: a publish fails at once, nobody hears it, and the count goes on without a gap."""
        a, b, _ = self.nodes
        b.subscribe()
        a.publish("1")
        a.log.cut()
        with capturedLogs():
            for replay in (None, REPLAY):
                outcome = a.publish("lost", replay=replay)
                self.assertTrue(outcome.done)
                self.assertRaises(StoreUnavailable, outcome.result)
        b.publish("2")
        a.log.mend()
        a.publish("3", key="other")
        self.assertEqual(a.publish("3", replay=None, key="room2").result().seq, 1)
        self.assertEqual([(data, info.seq) for data, info in b.heard], [("1", 1), ("2", 2)])

    def test_subscriber_whose_node_was_cut(self) -> None:
        """It misses nothing, for as long as the log keeps what passes; then it sees the gap."""
        a, b, _ = self.nodes
        b.subscribe()
        b.log.cut()
        a.publish("1")
        self.clock.advance(1)
        b.log.mend()
        self.assertEqual([info.seq for _, info in b.heard], [1])
        b.log.cut()
        a.publish("2")
        self.clock.advance(PASSING.replay_window_ms / 1000 + 60)
        self.store.log.sweep(int(self.clock.seconds() * 1e6), ())
        b.log.mend()
        self.clock.advance(1)
        a.publish("3")
        self.assertEqual([info.seq for _, info in b.heard], [1, 3])

    def test_subscribed_while_the_store_is_away(self) -> None:
        """It begins when the store is there again."""
        a, b, _ = self.nodes
        b.log.cut()
        b.subscribe()
        b.log.mend()
        b.world.advance(2)
        a.publish("1")
        self.assertEqual([data for data, _ in b.heard], ["1"])

    def test_only_what_is_subscribed_is_followed(self) -> None:
        """A key costs nothing on a node without subscribers, and nothing after the last."""
        a, b, c = self.nodes
        leave = b.subscribe()
        for number in range(5):
            a.publish(number)

        def followed(node: Node) -> int:
            return sum(key.startswith("~broadcast") for key in node.log._topics)

        self.assertEqual((followed(a), followed(c)), (0, 0))
        self.assertEqual(len(b.heard), 5)
        self.assertEqual(followed(b), 2)
        leave()
        b.world.advance(60)
        self.assertEqual((followed(b), len(b.broadcasts.bus)), (0, 0))
        keys = b.world.parts.fanout.keys()
        self.assertEqual({key for key in keys if key.startswith("~broadcast")}, set())

    def test_durable_elsewhere(self) -> None:
        """A subscriber hears of a key that only another node knows to be durable."""
        a, b, _ = self.nodes
        b.subscribe()
        receipt = a.publish("1", replay=REPLAY).result()
        self.assertEqual(b.heard, [("1", receipt)])
        again = b.join(True, cursor=0)
        self.assertEqual(again.heard, ["1"])

    def test_node_dies(self) -> None:
        """The count goes on with those that are left, in the same epoch."""
        a, b, _ = self.nodes
        before = a.publish("1").result()
        a.log.stop()
        b.subscribe()
        after = b.publish("2").result()
        self.assertEqual((after.seq, after.epoch), (2, before.epoch))

    def test_engine_that_begins_anew(self) -> None:
        """A store that lost its counts counts in a greater epoch."""
        a, b, _ = self.nodes
        b.subscribe()
        before = a.publish("1").result()
        self.store.log._topics.clear()
        self.clock.advance(1)
        after = a.publish("2").result()
        self.assertEqual(after.seq, 1)
        self.assertGreater(after.epoch, before.epoch)
        self.assertEqual([info for _, info in b.heard], [before, after])

    def test_publishes_while_told(self) -> None:
        """A subscriber that publishes while it is told: all hear both, in the same order."""
        a, b, _ = self.nodes
        b.subscribe()

        def echo(data: Any, info: Receipt) -> None:
            a.heard.append((data, info))
            if data == "1":
                a.publish("2")

        with a.here():
            Broadcast.subscribe("room", echo)
        b.publish("1")
        self.assertEqual([data for data, _ in a.heard], ["1", "2"])
        self.assertEqual(a.heard, b.heard)

    def test_idle_counts_go(self) -> None:
        """Keys that are made from what clients say do not stay in the store for ever."""
        a, *_ = self.nodes
        for number in range(20):
            a.publish("x", key=f"k{number}")
        self.clock.advance(PASSING.inactivity_ttl_ms / 1000 + 60)
        while self.successResultOf(self.store.log.sweep(int(self.clock.seconds() * 1e6), ())):
            pass
        self.assertEqual(self.successResultOf(self.store.log.stats()).topics, 0)
