"""Nodes in memory that share a store and tell one app, and a machine that has them die."""

from __future__ import annotations

from typing import Any

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from twisted.internet.defer import Deferred

from takotwist.adapters.memory.log import InMemoryReplayLog
from takotwist.adapters.memory.node import MemoryNode, MemoryStore
from takotwist.testing.world import BEGINNING, World, WorldClock
from tests.flow.test_webhooks import Receiver


@attrs.define
class Node:
    """One of several servers."""

    world: World
    log: MemoryNode
    readers: list[tuple[str, Any]] = attrs.Factory(list)
    alive: bool = True


@attrs.define
class StandsStill:
    """A node that stores nothing more from an append to one of these channels on, until it goes on.

    Its lease ends, and another node does what it was at.
    """

    log: MemoryNode
    channel: str
    waiting: list[tuple[Any, int, Deferred[Any]]] = attrs.Factory(list)

    def __attrs_post_init__(self) -> None:
        self.log.append = self._append  # type: ignore[method-assign]

    def _append(self, entries: Any, now_us: int) -> Deferred[Any]:
        if not self.waiting and all(one.topic.channel != self.channel for one in entries):
            return MemoryNode.append(self.log, entries, now_us)
        self.waiting.append((entries, now_us, Deferred()))
        return self.waiting[-1][2]

    def go_on(self, *, dies: bool = False) -> None:
        """What it was about to store is stored, where that is possible.

        :param dies: and nothing more.
        """
        del self.log.append
        for entries, now_us, answer in self.waiting:
            storing = MemoryNode.append(self.log, entries, now_us)
            if dies:
                self.log.stop()
            storing.chainDeferred(answer)


class ToldNodes:
    """Servers that share a store.

    :ivar webhooks: what the app was posted.
    """

    def __init__(self) -> None:
        self.clock = WorldClock()
        self.clock.rightNow = BEGINNING
        inner = InMemoryReplayLog(self.clock)
        inner.start()
        self.store = MemoryStore(inner)
        self.nodes: list[Node] = []
        self.webhooks = Receiver()

    def world_on(self, log: MemoryNode) -> World:
        """A server on its own way to the store."""
        raise NotImplementedError

    def start(self) -> Node:
        """One more."""
        log = MemoryNode(self.store, f"n{len(self.nodes)}")
        node = Node(self.world_on(log), log)
        self.nodes.append(node)
        return node

    @property
    def alive(self) -> list[Node]:
        """Those that were not killed."""
        return [node for node in self.nodes if node.alive]

    def kill(self, node: Node) -> None:
        """It does nothing more, and says nothing of that."""
        node.alive = False
        node.log.stop()
        node.world.parts.presence.stop()
        assert node.world.parts.webhooks is not None
        node.world.parts.webhooks.stop()
        node.readers.clear()

    def pass_time(self, seconds: float) -> None:
        """For all of them."""
        self.nodes[0].world.advance(seconds)


class NodesMachine(RuleBasedStateMachine):
    """Nodes that come, die and are cut off, and readers that leave."""

    def __init__(self, cluster: ToldNodes) -> None:
        super().__init__()
        self.cluster = cluster
        self.cluster.start()

    @precondition(lambda self: any(node.readers for node in self.cluster.alive))
    @rule(data=st.data())
    def leaves(self, data: st.DataObject) -> None:
        readers = [(node, one) for node in self.cluster.alive for one in node.readers]
        node, one = data.draw(st.sampled_from(readers))
        node.readers.remove(one)
        one[1].leave()

    @precondition(lambda self: len(self.cluster.alive) < 3)
    @rule()
    def starts(self) -> None:
        self.cluster.start()

    @precondition(lambda self: len(self.cluster.alive) > 1)
    @rule(data=st.data())
    def dies(self, data: st.DataObject) -> None:
        self.cluster.kill(data.draw(st.sampled_from(self.cluster.alive)))

    @rule(data=st.data())
    def is_cut(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.cluster.alive)).log.cut()

    @rule()
    def is_mended(self) -> None:
        for node in self.cluster.alive:
            if node.log.is_cut:
                node.log.mend()

    @rule(data=st.data())
    def loses_an_answer(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.cluster.alive)).log.loses_answer = True
