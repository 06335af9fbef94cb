"""Occupied and vacated, told once for several nodes: whatever of them dies or is cut off."""

from __future__ import annotations

from typing import Any

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import rule
from twisted.trial.unittest import SynchronousTestCase

from takotwist import define_channel
from takotwist.adapters.memory.node import MemoryNode
from takotwist.flow.node_states import SILENT_SECONDS
from takotwist.server.config import Config
from takotwist.server.config.webhooks import Webhooks
from takotwist.testing.world import World
from tests.flow.test_webhooks import NATIVE
from tests.flow.told_nodes import Node, NodesMachine, StandsStill, ToldNodes

TOPICS = attrs.evolve(NATIVE, events=("topic.occupied", "topic.vacated"))

#: Until what happens after a node has died has happened: it is silent, another has its lease, and
#: clients have had their time to come back.
QUIET = 60.0


class Cluster(ToldNodes):
    """Servers of one channel."""

    def world_on(self, log: MemoryNode) -> World:
        params = {"type": "object", "properties": {"n": {"type": "integer"}}}
        return World(
            define_channel("news", params=params),
            config=Config(webhooks=Webhooks(endpoints=(TOPICS,))),
            webhook_sender=self.webhooks,
            log=log,
            clock=self.clock,
            node=log.name,
        )

    def told(self) -> list[tuple[str, str]]:
        """Topics and what was told of them; what was told twice, under one id, counts once."""
        seen: dict[str, tuple[str, str]] = {}
        for id, event in zip(self.webhooks.ids, self.webhooks.got, strict=True):
            said = event["data"]["topic"], event["type"].removeprefix("topic.")
            assert seen.setdefault(id, said) == said
        return list(seen.values())


def read(node: Node, topic: str) -> Any:
    """Follow a topic."""
    reader = node.world.subscribe(f"/channels/{topic}")
    node.readers.append((topic, reader))
    return reader


class NodesTests(SynchronousTestCase):
    """What happens to a topic."""

    def setUp(self) -> None:
        self.cluster = Cluster()
        self.one, self.two = self.cluster.start(), self.cluster.start()
        self.cluster.pass_time(5)

    def test_both(self) -> None:
        """Who follows on two nodes occupies it once, and the last to leave vacates it."""
        first, second = read(self.one, "news"), read(self.two, "news")
        self.cluster.pass_time(10)
        self.assertEqual(self.cluster.told(), [("news", "occupied")])
        for reader in (first, second):
            self.assertEqual(len(self.cluster.told()), 1)
            reader.leave()
            self.cluster.pass_time(10)
        self.assertEqual(self.cluster.told(), [("news", "occupied"), ("news", "vacated")])
        self.assertEqual(len(self.cluster.webhooks.ids), 2)

    def test_moves(self) -> None:
        """Who goes to another node has not been away."""
        first = read(self.one, "news")
        self.cluster.pass_time(10)
        first.leave()
        self.cluster.pass_time(1)
        read(self.two, "news")
        self.cluster.pass_time(30)
        self.assertEqual(self.cluster.told(), [("news", "occupied")])

    def test_dead_node(self) -> None:
        """What only a dead node had is vacated, once, by one of those that are left."""
        # Of two that came one has the lease, and looks.
        for number in (0, 1):
            self.setUp()
            dead = self.cluster.nodes[number]
            read(dead, "news?n=1")
            read(self.cluster.start(), "news?n=2")
            self.cluster.pass_time(10)
            self.cluster.kill(dead)
            self.cluster.pass_time(SILENT_SECONDS - 1)
            self.assertEqual(len(self.cluster.told()), 2)
            self.cluster.pass_time(QUIET)
            self.assertEqual(self.cluster.told()[2:], [("news?n=1", "vacated")])
            self.assertEqual(len(self.cluster.webhooks.ids), 3)

    def test_store_away(self) -> None:
        """While the store cannot be reached nobody is silent, and nobody has left."""
        read(self.one, "news?n=1")
        read(self.two, "news?n=2")
        self.cluster.pass_time(10)
        for node in self.cluster.nodes:
            node.log.cut()
        self.cluster.pass_time(120)
        for node in self.cluster.nodes:
            node.log.mend()
        self.cluster.pass_time(QUIET)
        self.assertEqual([kind for _, kind in self.cluster.told()], ["occupied"] * 2)

    def test_dies_between(self) -> None:
        """A turn that was decided and not told is told by another, under the same id."""
        decided = []
        log = self.one.log

        def append(entries: Any, now_us: int) -> Any:
            if decided:
                log.stop()
            decided.extend(one for one in entries if one.topic.channel == "~occupied-turns")
            return MemoryNode.append(log, entries, now_us)

        # By the first node, which has the lease.
        self.one.world.parts.publishing.log = Interrupting(log, append)
        read(self.two, "news")
        self.cluster.pass_time(2)
        self.assertEqual(len(decided), 1)
        self.assertEqual(self.cluster.told(), [])
        self.cluster.kill(self.one)
        self.cluster.pass_time(QUIET)
        self.assertEqual(self.cluster.told(), [("news", "occupied")])

    def test_stands_still(self) -> None:
        """A node that stood still while it recorded what it had told, and goes on when another
        has told the opposite, changes nothing."""
        still = StandsStill(self.one.log, "~occupied")
        reader = read(self.two, "news")
        self.cluster.pass_time(15)
        self.assertEqual(self.cluster.told(), [("news", "occupied")])
        reader.leave()
        self.cluster.pass_time(10)
        told = [("news", "occupied"), ("news", "vacated")]
        self.assertEqual((self.cluster.told(), len(still.waiting)), (told, 1))
        still.go_on()
        self.cluster.pass_time(1)
        third = self.cluster.start()
        for node in (self.one, self.two):
            self.cluster.kill(node)
        self.cluster.pass_time(30)
        self.assertEqual(self.cluster.told(), told)
        read(third, "news")
        self.cluster.pass_time(QUIET)
        self.assertEqual(self.cluster.told(), [*told, ("news", "occupied")])


class Interrupting:
    """A log whose appends go another way."""

    def __init__(self, log: MemoryNode, append: Any) -> None:
        self._log = log
        self.append = append

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


class Machine(NodesMachine):
    """And readers that come."""

    cluster: Cluster

    def __init__(self) -> None:
        super().__init__(Cluster())

    @rule(data=st.data(), n=st.integers(1, 2))
    def reads(self, data: st.DataObject, n: int) -> None:
        node = data.draw(st.sampled_from(self.cluster.alive))
        read(node, f"news?n={n}")

    @rule(seconds=st.sampled_from([0.5, 2.0, 4.0, 20.0]))
    def time_passes(self, seconds: float) -> None:
        self.cluster.pass_time(seconds)

    def teardown(self) -> None:
        self.is_mended()
        self.cluster.pass_time(QUIET)
        last: dict[str, str] = {}
        for topic, kind in self.cluster.told():
            assert kind == ("vacated" if last.get(topic) == "occupied" else "occupied"), (
                self.cluster.told()
            )
            last[topic] = kind
        readers = [one for node in self.cluster.alive for one in node.readers]
        # Who came while the node could not reach the store was refused.
        there = {topic for topic, reader in readers if not reader.ended}
        assert {topic for topic, kind in last.items() if kind == "occupied"} == there


class MachineTests(SynchronousTestCase):
    """Whatever happens, in whatever order."""

    def test_whatever(self) -> None:
        """Occupied and vacated follow each other, and the last is the truth."""
        case: Any = Machine.TestCase
        case.settings = settings(max_examples=25, stateful_step_count=20)
        case("runTest").runTest()
