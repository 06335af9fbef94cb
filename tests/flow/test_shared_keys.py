"""A set of which each node has a part: what all know of it."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.memory.log import InMemoryReplayLog
from takotwist.adapters.memory.node import MemoryNode, MemoryStore
from takotwist.core.log import Append, Appended
from takotwist.flow.node_states import SILENT_SECONDS
from takotwist.flow.shared_keys import SharedKeys
from takotwist.testing.world import BEGINNING, World, WorldClock


@attrs.define
class Here:
    """One node, and what it has."""

    world: World
    name: str
    own: set[str] = attrs.Factory(set)
    shared: SharedKeys = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        parts = self.world.parts
        self.shared = SharedKeys.of(
            "things", lambda: frozenset(self.own), self.name, parts.publishing, parts.attacher
        )
        self.shared.start()

    def has(self, *keys: str) -> None:
        """It has these from now on, and no others."""
        self.own = set(keys)
        self.shared.look()

    @property
    def known(self) -> list[str]:
        """What it knows of all."""
        return sorted(self.shared.keys())


class SharedKeysTests(SynchronousTestCase):
    """Two nodes with one store."""

    def setUp(self) -> None:
        self.clock = WorldClock()
        self.clock.rightNow = BEGINNING
        log = InMemoryReplayLog(self.clock)
        log.start()
        self.store = MemoryStore(log)
        self.logs = [MemoryNode(self.store, name) for name in "ab"]
        self.one, self.two = (Here(World(log=log, clock=self.clock), log.name) for log in self.logs)
        self.pass_time(1)

    def pass_time(self, seconds: float) -> None:
        self.one.world.advance(seconds)

    def assert_known(self, *keys: str) -> None:
        """By both."""
        self.pass_time(1)
        self.assertEqual((self.one.known, self.two.known), (list(keys), list(keys)))

    def test_all(self) -> None:
        """Each knows what it has itself, and what the other has."""
        self.one.has("x", "y")
        self.two.has("z")
        self.assert_known("x", "y", "z")
        self.one.has("y")
        self.assert_known("y", "z")

    def test_of_both(self) -> None:
        """A key is in the set while any node has it, and is there once."""
        self.one.has("x")
        self.two.has("x")
        self.assert_known("x")
        self.one.has()
        self.assert_known("x")
        self.two.has()
        self.assert_known()

    def test_own_at_once(self) -> None:
        """A node need not wait to know of its own."""
        self.one.has("x")
        self.assertEqual((self.one.known, self.two.known), (["x"], []))

    def test_changes_alone(self) -> None:
        """What has not changed is not said again, whatever else has."""
        said: list[bytes] = []
        self.one.has("x", "y")
        self.pass_time(1)
        append = self.logs[0].append

        def noted(entries: Sequence[Append], now_us: int) -> Deferred[list[Appended]]:
            said.extend(draft.data for one in entries for draft in one.drafts)
            return append(entries, now_us)

        self.patch(self.logs[0], "append", noted)
        self.one.has("x", "y")
        self.pass_time(1)
        self.assertEqual(said, [])
        self.one.has("x", "z")
        self.pass_time(1)
        [change] = said
        self.assertNotIn(b'"x"', change)
        for key in (b'"y"', b'"z"'):
            self.assertIn(key, change)

    def test_node_gone(self) -> None:
        """What only a silent node had is gone; what another has too stays.  Nothing is kept."""
        self.one.has("x", "y")
        self.two.has("y")
        self.assert_known("x", "y")
        self.logs[0].stop()
        self.pass_time(2 * SILENT_SECONDS)
        self.assertEqual(self.two.known, ["y"])
        self.assertEqual(self.two.shared._away, {})

    def test_stopped(self) -> None:
        """Nothing is said any more."""
        self.one.has("x")
        self.pass_time(1)
        self.one.shared.stop()
        self.one.has("y")
        self.pass_time(1)
        self.assertEqual(self.two.known, ["x"])


class AloneTests(SynchronousTestCase):
    """Where there is one node."""

    def test_own(self) -> None:
        """The set is what it has now, and nobody is told."""
        world = World()
        here = Here(world, "a")
        before = world.parts.log.head
        here.own.add("x")
        self.assertEqual(here.known, ["x"])
        here.has("y")
        world.advance(10)
        self.assertEqual(here.known, ["y"])
        self.assertEqual(world.parts.log.head, before)
        here.shared.stop()
