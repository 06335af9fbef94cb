"""Whatever happens between nodes: each message of an object once and in order, or its end."""

from __future__ import annotations

from typing import Any

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.memory.log import InMemoryReplayLog
from takotwist.adapters.memory.node import MemoryNode, MemoryStore
from takotwist.live import Channel, function
from takotwist.live.broadcast.broadcast import default_broadcasts, set_default_broadcasts
from takotwist.live.peers import node_of
from takotwist.server.config import Config
from takotwist.server.config.limits import Live
from takotwist.testing.memory_peers import MemoryNetwork, MemoryPeers
from takotwist.testing.world import BEGINNING, World, WorldClock
from tests.live.page import ClientEnd, Page

CONFIG = Config(live=Live(call_rate=0, connect_ttl_seconds=60))
AT = st.integers(0, 2)

MOVE = st.one_of(
    st.tuples(st.just("open"), AT),
    st.tuples(st.just("wire"), AT),
    st.tuples(st.just("down"), st.integers(0, 9), st.integers(1, 4)),
    st.tuples(st.just("up"), st.integers(0, 9), st.integers(1, 4)),
    st.tuples(st.just("hold"), st.integers(0, 9), st.booleans()),
    st.tuples(st.just("block"), st.booleans()),
    st.tuples(st.just("kill"), AT),
    st.sampled_from([("cut",), ("lose",), ("pump",), ("wait",), ("relays",)]),
)


@attrs.define(eq=False)
class Both:
    """One object, by its two ends, and what was said on it."""

    end: ClientEnd
    channel: Channel[Any, Any]
    heard: list[Any]
    down: int = 0
    up: int = 0
    dead: bool = False


class Cluster:
    """Three nodes, and one page that comes by any of them."""

    def __init__(self) -> None:
        self.clock = WorldClock()
        self.clock.rightNow = BEGINNING
        inner = InMemoryReplayLog(self.clock)
        inner.start()
        store = MemoryStore(inner)
        self.network = MemoryNetwork()
        self.made: list[tuple[Channel[Any, Any], list[Any]]] = []

        @function
        async def on_open() -> Any:
            channel: Channel[Any, Any] = Channel()
            heard: list[Any] = []
            channel.listen(heard.append)
            self.made.append((channel, heard))
            return channel.client

        self.worlds = []
        for name in "abc":
            world = World(
                functions=[on_open],
                config=CONFIG,
                log=MemoryNode(store, name),
                clock=self.clock,
                peers=MemoryPeers(self.network, name),
            )
            door = world.parts.peer_door
            assert door is not None
            self.network.doors[name] = door
            self.worlds.append(world)
        self.page = Page(self.worlds[0])
        self.objects: list[Both] = []

    def lives(self, at: int) -> bool:
        return "abc"[at] in self.network.doors

    def open(self, at: int) -> None:
        if self.lives(at) and len(self.objects) < 10:
            here, self.page.world = self.page.world, self.worlds[at]
            end = self.page.get("onOpen")
            self.page.world = here
            self.objects.append(Both(end, *self.made[-1]))

    def wire(self, at: int) -> None:
        if self.lives(at):
            self.page.world = self.worlds[at]
            self.page.connect()

    def kill(self, at: int) -> None:
        if len(self.network.doors) > 1 and self.lives(at):
            for one in self.objects:
                one.dead |= node_of(one.end.id) == "abc"[at]
            if self.page.world is self.worlds[at]:
                self.lose()
            self.network.kill("abc"[at])

    def lose(self) -> None:
        """The wire is gone, with what was on its way."""
        socket, self.page.socket = self.page.socket, None
        if socket is not None:
            socket.leave()
        self.page.attached = self.page.attaching = False
        for end in list(self.page.ends.values()):
            end.act("detach", self.page.now)

    def notice(self) -> None:
        """The page sees that its wire was dropped."""
        socket = self.page.socket
        if socket is not None and socket.ended:
            self.page.cut()

    def pump(self) -> None:
        self.page.pump()
        self.notice()

    def block(self, blocked: bool) -> None:
        for here, _ in self.network.streams:
            owner = getattr(here.listener, "_owner", None)
            if owner is not None and here.is_open:
                owner.block(blocked)

    def settle(self) -> None:
        for pair in self.network.streams:
            for one in pair:
                one.hold(False)
        self.block(False)
        self.lose()
        at = next(number for number in range(3) if self.lives(number))
        for _ in range(4):
            self.pump()
            if self.page.socket is None:
                self.wire(at)
        self.page.advance(1)


class ElsewherePropertyTests(SynchronousTestCase):
    """A page's objects on three nodes against lists."""

    @settings(max_examples=80)
    @given(st.lists(MOVE, max_size=30))
    def test_once_and_in_order(self, moves: list[tuple[Any, ...]]) -> None:
        """Each side of an object hears what the other said, once and in order; all of it where
        its node lives; and where it does not, the page is told that it has ended."""
        self.addCleanup(set_default_broadcasts, default_broadcasts())
        cluster = Cluster()
        for name, *more in moves:
            if name in ("open", "wire", "kill", "block"):
                getattr(cluster, name)(*more)
            elif name in ("down", "up"):
                if cluster.objects:
                    self.say(cluster.objects[more[0] % len(cluster.objects)], name, more[1])
            elif name == "hold":
                if cluster.network.streams:
                    pair = cluster.network.streams[more[0] % len(cluster.network.streams)]
                    pair[more[0] % 2].hold(more[1])
            elif name == "cut":
                cluster.page.cut()
            elif name == "wait":
                cluster.page.advance(1)
            elif name == "relays":
                for pair in cluster.network.streams:
                    pair[0].abort()
            else:
                getattr(cluster, name)()
            cluster.notice()
            self.check(cluster, complete=False)
        cluster.settle()
        self.check(cluster, complete=True)

    def say(self, one: Both, way: str, count: int) -> None:
        for _ in range(count):
            if way == "down" and not one.dead:
                one.channel.send(one.down)
                one.down += 1
            elif way == "up" and not one.end.ended:
                one.end.send(one.up)
                one.up += 1

    def check(self, cluster: Cluster, *, complete: bool) -> None:
        for one in cluster.objects:
            self.assertEqual(one.end.heard, list(range(len(one.end.heard))))
            self.assertEqual(one.heard, list(range(len(one.heard))))
            if one.dead and complete:
                self.assertEqual(
                    [trouble and trouble.code for trouble in one.end.ended], ["network"]
                )
            if not one.dead:
                self.assertEqual(one.end.ended, [])
            if complete and not one.dead:
                self.assertEqual((len(one.end.heard), len(one.heard)), (one.down, one.up))
