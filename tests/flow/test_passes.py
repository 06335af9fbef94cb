"""Passes of work: one at a time, again where asked, and later where one has failed."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.deadlines import Deadlines
from takotwist.flow.attach import RETRY_SECONDS
from takotwist.flow.passes import Passes


class PassesTests(SynchronousTestCase):
    """A pass lasts until the test ends it."""

    def setUp(self) -> None:
        self.now = 0.0
        self.deadlines = Deadlines()
        self.under_way: list[Deferred[None]] = []
        self.failures: list[Failure] = []
        self.begun = 0
        self.passes = Passes(self._work, self.deadlines, lambda: self.now, self.failures.append)

    async def _work(self) -> None:
        self.begun += 1
        waiting: Deferred[None] = Deferred()
        self.under_way.append(waiting)
        await waiting

    def end(self) -> None:
        """The pass that is under way ends."""
        self.under_way.pop(0).callback(None)

    def pass_time(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds
        for action in self.deadlines.tick(self.now):
            action()

    def test_one_at_a_time(self) -> None:
        """What is asked for meanwhile, however often, is one more pass afterwards."""
        self.passes.look()
        self.passes.look()
        self.passes.look()
        self.assertEqual(self.begun, 1)
        self.end()
        self.assertEqual(self.begun, 2)
        self.end()
        self.assertEqual((self.begun, self.under_way), (2, []))

    def test_later(self) -> None:
        """Of two times the one that was said last counts."""
        self.passes.look_in(1.0)
        self.passes.look_in(5.0)
        self.pass_time(4.0)
        self.assertEqual(self.begun, 0)
        self.pass_time(2.0)
        self.assertEqual(self.begun, 1)

    def test_failed(self) -> None:
        """One that fails is told of, and repeated after a while, not at once."""
        self.passes.look()
        self.passes.look()
        self.under_way.pop(0).errback(ValueError("no"))
        self.assertEqual(([one.type for one in self.failures], self.begun), ([ValueError], 1))
        self.pass_time(RETRY_SECONDS + 1.0)
        self.assertEqual(self.begun, 2)

    def test_stopped(self) -> None:
        """None begins after a stop, neither by time nor because it was asked for before."""
        self.passes.look()
        self.passes.look()
        self.passes.look_in(1.0)
        self.passes.stop()
        self.end()
        self.passes.look()
        self.passes.look_in(1.0)
        self.pass_time(10.0)
        self.assertEqual(self.begun, 1)
        self.passes.start()
        self.assertEqual(self.begun, 2)

    def test_begins_stopped(self) -> None:
        """Where it is said, it begins with the start alone."""
        passes = Passes(
            self._work, self.deadlines, lambda: self.now, self.failures.append, stopped=True
        )
        passes.look()
        self.assertEqual(self.begun, 0)
        passes.start()
        self.assertEqual(self.begun, 1)
