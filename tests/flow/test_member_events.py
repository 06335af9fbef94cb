"""Who came and who left, told once for several nodes: to the app's functions and to webhooks."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import rule
from twisted.trial.unittest import SynchronousTestCase

from takotwist import Grant, Presence, VerifyRequest, define_channel
from takotwist.adapters.memory.node import MemoryNode
from takotwist.app.presence import MemberEvent
from takotwist.server.config import Config
from takotwist.server.config.webhooks import Webhooks
from takotwist.testing.world import World
from tests.flow.test_webhooks import NATIVE
from tests.flow.told_nodes import Node, NodesMachine, StandsStill, ToldNodes

MEMBERS = attrs.evolve(NATIVE, events=("member.joined", "member.left"))

#: Until the members of a node that has died have left, and that was told.
QUIET = 90.0


class Cluster(ToldNodes):
    """Servers of one channel with presence, and what its app is told.

    :ivar told: by its functions: id, what, and who.
    """

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str, str, str]] = []

    def world_on(self, log: MemoryNode) -> World:
        room = define_channel("room", presence=Presence(grace=2))

        @room.verify(header="authorization")
        async def verify(request: VerifyRequest[Any]) -> Grant:
            return Grant(subject=request.header.value)

        def hook(event: MemberEvent[Any]) -> None:
            self.told.append((event.id, event.kind, event.member.subject))

        room.on_join(hook)
        room.on_leave(hook)

        async def living() -> Collection[str]:
            return [one.log.name for one in self.alive]

        return World(
            room,
            config=Config(webhooks=Webhooks(endpoints=(MEMBERS,))),
            webhook_sender=self.webhooks,
            log=log,
            clock=self.clock,
            node=log.name,
            living=living,
        )

    def once(self) -> list[tuple[str, str]]:
        """What was told; what was told twice, under one id, counts once."""
        seen: dict[str, tuple[str, str]] = {}
        for id, kind, subject in self.told:
            assert seen.setdefault(id, (kind, subject)) == (kind, subject)
        return list(seen.values())

    def posted(self) -> list[tuple[str, str]]:
        """The same of webhooks."""
        seen: dict[str, tuple[str, str]] = {}
        for id, event in zip(self.webhooks.ids, self.webhooks.got, strict=True):
            kind = {"member.joined": "join", "member.left": "leave"}[event["type"]]
            said = kind, event["data"]["member"]["subject"]
            assert seen.setdefault(id, said) == said
        return list(seen.values())


def enter(node: Node, subject: str) -> Any:
    """Follow the room."""
    reader = node.world.subscribe("/channels/room", {"Authorization": subject})
    node.readers.append((subject, reader))
    return reader


class NodesTests(SynchronousTestCase):
    """Two nodes."""

    def setUp(self) -> None:
        self.cluster = Cluster()
        self.one, self.two = self.cluster.start(), self.cluster.start()
        self.cluster.pass_time(5)

    def assert_told(self, *expected: tuple[str, str]) -> None:
        self.assertEqual(self.cluster.once(), list(expected))
        self.assertEqual(self.cluster.posted(), list(expected))

    def test_tab_on_each(self) -> None:
        """Who is on two nodes has come with the first, and leaves with the last."""
        first, second = enter(self.one, "ann"), enter(self.two, "ann")
        self.cluster.pass_time(10)
        self.assert_told(("join", "ann"))
        first.leave()
        self.cluster.pass_time(10)
        self.assert_told(("join", "ann"))
        second.leave()
        self.cluster.pass_time(10)
        self.assert_told(("join", "ann"), ("leave", "ann"))
        self.assertEqual(len(self.cluster.told), 2)

    def test_dead_node(self) -> None:
        """Its members leave once, whoever of the two tells the app."""
        for number in (0, 1):
            self.setUp()
            dead, other = self.cluster.nodes[number], self.cluster.nodes[1 - number]
            enter(dead, "ann")
            enter(dead, "bob")
            enter(other, "bob")
            self.cluster.pass_time(10)
            self.cluster.kill(dead)
            self.cluster.pass_time(QUIET)
            self.assertEqual(self.cluster.once()[2:], [("leave", "ann")])
            self.assertEqual(self.cluster.posted()[2:], [("leave", "ann")])

    def test_taken_over(self) -> None:
        """What the node that tells has not told is told by another, in order, under the same id."""
        self.cluster.webhooks.answer = lambda event: 500
        enter(self.two, "ann")
        self.cluster.pass_time(1)
        enter(self.two, "bob")
        self.cluster.pass_time(4)
        first = self.cluster.webhooks.ids[0]
        # The one that has come first has the lease.
        self.cluster.kill(self.one)
        self.cluster.webhooks.answer = lambda event: 200
        before = len(self.cluster.webhooks.got)
        enter(self.two, "eve")
        self.cluster.pass_time(QUIET)
        self.assertEqual(self.cluster.webhooks.ids[before], first)
        subjects = [one["data"]["member"]["subject"] for one in self.cluster.webhooks.got[before:]]
        self.assertEqual(subjects, ["ann", "bob", "eve"])
        self.assertEqual([who for _, who in self.cluster.once()], ["ann", "bob", "eve"])

    def test_dies_between(self) -> None:
        """Wherever the node that tells is stopped, each change is told, under one id."""
        for stopped_at in range(1, 7):
            self.setUp()
            self.stop_at(self.one.log, stopped_at)
            ann = enter(self.two, "ann")
            self.cluster.pass_time(3)
            ann.leave()
            self.cluster.pass_time(5)
            self.cluster.kill(self.one)
            self.cluster.pass_time(QUIET)
            self.assert_told(("join", "ann"), ("leave", "ann"))

    def test_stands_still(self) -> None:
        """A node that stood still before it recorded what it had told, or noted how far that was,
        takes back nothing of what another has told since."""
        for channel, dies in (
            ("~member-there", False),
            ("~member-there", True),
            ("~member-done", False),
        ):
            self.setUp()
            still = StandsStill(self.one.log, channel)
            ann = enter(self.two, "ann")
            self.cluster.pass_time(15)
            ann.leave()
            self.cluster.pass_time(20)
            self.assert_told(("join", "ann"), ("leave", "ann"))
            self.assertEqual(len(still.waiting), 1)
            still.go_on(dies=dies)
            third = self.cluster.start()
            for node in (self.one, self.two):
                self.cluster.kill(node)
            enter(third, "ann")
            self.cluster.pass_time(QUIET)
            self.assert_told(("join", "ann"), ("leave", "ann"), ("join", "ann"))
            self.assertEqual(len(self.cluster.told), 3)

    def stop_at(self, log: MemoryNode, number: int) -> None:
        """Stop a node at an append of what is told."""
        appends = 0

        def append(entries: Any, now_us: int) -> Any:
            nonlocal appends
            channels = {one.topic.channel for one in entries}
            if any(one.startswith(("~member", "~webhooks")) for one in channels):
                appends += 1
                if appends == number:
                    log.stop()
            return MemoryNode.append(log, entries, now_us)

        log.append = append  # type: ignore[method-assign]


class Machine(NodesMachine):
    """And members that come."""

    cluster: Cluster

    def __init__(self) -> None:
        super().__init__(Cluster())

    @rule(data=st.data(), subject=st.sampled_from(["ann", "bob"]))
    def enters(self, data: st.DataObject, subject: str) -> None:
        enter(data.draw(st.sampled_from(self.cluster.alive)), subject)

    @rule(seconds=st.sampled_from([0.5, 3.0, 25.0]))
    def time_passes(self, seconds: float) -> None:
        self.cluster.pass_time(seconds)

    def teardown(self) -> None:
        self.is_mended()
        self.cluster.pass_time(QUIET)
        readers = [one for node in self.cluster.alive for one in node.readers]
        there = {subject for subject, reader in readers if not reader.ended}
        for told in (self.cluster.once(), self.cluster.posted()):
            last: dict[str, str] = {}
            for kind, subject in told:
                assert kind == ("leave" if last.get(subject) == "join" else "join"), told
                last[subject] = kind
            assert {subject for subject, kind in last.items() if kind == "join"} == there, told


class MachineTests(SynchronousTestCase):
    """Whatever happens, in whatever order."""

    def test_whatever(self) -> None:
        """Each join has its leave, and the last is the truth."""
        case: Any = Machine.TestCase
        case.settings = settings(max_examples=20, stateful_step_count=20)
        case("runTest").runTest()
