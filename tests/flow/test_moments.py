"""Tests for when things are due."""

from __future__ import annotations

import attrs
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.flow.moments import MOST_VOID, Moments


@attrs.define(eq=False)
class Thing:
    name: str
    at: float | None = None


class MomentsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.acted: list[tuple[float, str]] = []
        self.moments: Moments[Thing] = Moments(self.clock.seconds, self.clock.callLater, self.act)

    def act(self, thing: Thing) -> None:
        self.acted.append((self.clock.seconds(), thing.name))

    def test_order(self) -> None:
        """Each at its moment, the earliest that was said, once."""
        one, two = Thing("one"), Thing("two")
        self.moments.at(one, 3.0)
        self.moments.at(two, 2.0)
        self.moments.at(one, 1.0)
        self.moments.at(one, 5.0)
        self.clock.pump([0.5] * 20)
        self.assertEqual(self.acted, [(1.0, "one"), (2.0, "two")])
        self.assertEqual((one.at, len(self.moments)), (None, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.moments.at(one, 4.0)
        self.clock.advance(0)
        self.assertEqual(len(self.acted), 3)

    def test_bound(self) -> None:
        """A late moment that is left again and again for an earlier one is not kept each time."""
        thing = Thing("busy")
        for _ in range(10 * MOST_VOID):
            self.moments.at(thing, 1e6)
            self.moments.at(thing, self.clock.seconds() + 0.1)
            self.clock.advance(0.1)
        self.assertEqual(len(self.acted), 10 * MOST_VOID)
        self.assertLess(len(self.moments), 2 * MOST_VOID + 3)

    def test_stops(self) -> None:
        """Nothing is left on the clock."""
        self.moments.at(Thing("one"), 3.0)
        self.moments.stop()
        self.moments.stop()
        self.clock.advance(10)
        self.assertEqual((self.acted, self.clock.getDelayedCalls()), ([], []))
