"""What each node has, as the others know it."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.memory.log import InMemoryReplayLog
from takotwist.adapters.memory.node import MemoryNode, MemoryStore
from takotwist.flow.node_states import ALIVE_SECONDS, PART_NAMES, SILENT_SECONDS, NodeStates
from takotwist.testing.world import BEGINNING, World, WorldClock


@attrs.define
class Here:
    """One node.

    :ivar own: what it has; `known`: what it knows of the others.
    """

    world: World
    own: dict[str, bytes] = attrs.Factory(dict)
    known: dict[str, dict[str, bytes]] = attrs.Factory(dict)
    states: NodeStates = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        parts = self.world.parts
        self.states = NodeStates(
            parts.log.name,  # type: ignore[attr-defined]
            "things",
            lambda: self.own,
            self.own.get,
            self._heard,
            parts.publishing,
            parts.attacher,
        )
        self.states.start()

    def _heard(self, node: str, name: str, state: Any) -> None:
        known = self.known.setdefault(node, {})
        if state is None:
            known.pop(name, None)
        else:
            known[name] = bytes(state)

    def has(self, name: str, state: bytes | None) -> None:
        """It has something now, or nothing there."""
        if state is None:
            self.own.pop(name, None)
        else:
            self.own[name] = state
        self.states.changed(name)


class NodeStatesTests(SynchronousTestCase):
    """Two nodes, or three."""

    def setUp(self) -> None:
        self.clock = WorldClock()
        self.clock.rightNow = BEGINNING
        inner = InMemoryReplayLog(self.clock)
        inner.start()
        self.store = MemoryStore(inner)
        self.one, self.two = self.node("a"), self.node("b")
        self.pass_time(1)

    def node(self, name: str) -> Here:
        return Here(World(log=MemoryNode(self.store, name), clock=self.clock))

    def log(self, here: Here) -> MemoryNode:
        log = here.world.parts.log
        assert isinstance(log, MemoryNode)
        return log

    def pass_time(self, seconds: float) -> None:
        self.one.world.advance(seconds)

    def test_changes(self) -> None:
        self.one.has("x", b"1")
        self.one.has("y", b"2")
        self.pass_time(1)
        self.assertEqual(self.two.known, {"a": {"x": b"1", "y": b"2"}})
        self.one.has("x", b"3")
        self.one.has("y", None)
        self.pass_time(1)
        self.assertEqual(self.two.known, {"a": {"x": b"3"}})
        self.assertEqual(self.one.known, {})

    def test_many(self) -> None:
        """One that comes is told of all, in parts; and so is one that has missed something."""
        names = [f"n{number}" for number in range(3 * PART_NAMES)]
        for name in names:
            self.one.has(name, b"1")
        self.pass_time(1)
        three = self.node("c")
        self.pass_time(1)
        self.assertEqual(three.known["a"].keys(), set(names))
        self.log(three).cut()
        for name in names[1:]:
            self.one.has(name, None)
        self.one.has("new", b"2")
        self.pass_time(1)
        self.assertEqual(len(three.known["a"]), len(names))
        # Beyond what is kept of that topic.
        self.clock.advance(SILENT_SECONDS - 6)
        self.log(three).mend()
        self.pass_time(10)
        self.assertEqual(three.known["a"], {names[0]: b"1", "new": b"2"})

    def test_silent(self) -> None:
        """One that has died is forgotten after a while, and not before."""
        self.one.has("x", b"1")
        self.pass_time(1)
        self.one.states.stop()
        self.pass_time(SILENT_SECONDS - ALIVE_SECONDS - 2)
        self.assertEqual(self.two.known, {"a": {"x": b"1"}})
        self.pass_time(2 * ALIVE_SECONDS + 2)
        self.assertEqual(self.two.known, {"a": {}})

    def test_store_away(self) -> None:
        """Where the store stands still nobody is silent."""
        self.one.has("x", b"1")
        self.two.has("y", b"2")
        self.pass_time(1)
        for here in (self.one, self.two):
            self.log(here).cut()
        self.pass_time(10 * SILENT_SECONDS)
        # The other one comes back later.
        self.log(self.two).mend()
        self.pass_time(ALIVE_SECONDS)
        self.assertEqual(self.two.known, {"a": {"x": b"1"}})
        self.log(self.one).mend()
        self.pass_time(SILENT_SECONDS)
        self.assertEqual(self.two.known, {"a": {"x": b"1"}})
        self.assertEqual(self.one.known, {"b": {"y": b"2"}})

    def test_taken_for_dead(self) -> None:
        """One that was only cut off is known again when it is back."""
        self.one.has("x", b"1")
        self.pass_time(1)
        self.log(self.one).cut()
        self.pass_time(2 * SILENT_SECONDS)
        self.assertEqual(self.two.known, {"a": {}})
        self.log(self.one).mend()
        self.pass_time(2 * ALIVE_SECONDS)
        self.assertEqual(self.two.known, {"a": {"x": b"1"}})

    def test_not_said(self) -> None:
        """What could not be said is said later."""
        self.log(self.one).cut()
        self.one.has("x", b"1")
        self.pass_time(3)
        self.log(self.one).mend()
        self.pass_time(3)
        self.assertEqual(self.two.known, {"a": {"x": b"1"}})
