"""The log is swept a little at a time."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.errors import StoreUnavailable
from takotwist.server.sweeper import Sweeper


class Log:
    """Answers sweeps when told."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, object]] = []
        self.answers: list[Deferred[bool]] = []

    def sweep(self, now_us: int, in_use: object) -> Deferred[bool]:
        """See `IReplayLog`."""
        self.asked.append((now_us, in_use))
        self.answers.append(Deferred())
        return self.answers[-1]


class TestSweeper(SynchronousTestCase):
    """Until nothing is left, then again after the interval."""

    def setUp(self) -> None:
        self.clock, self.log = Clock(), Log()
        self.sweeper = Sweeper(self.log, lambda: frozenset({"a"}), lambda: 5.0, self.clock, 2.0)
        self.sweeper.startService()

    def test_steps(self) -> None:
        """While there is more it goes on at once; then it waits for its time."""
        self.clock.advance(2.0)
        self.log.answers[0].callback(True)
        self.log.answers[1].callback(False)
        self.assertEqual(self.log.asked, [(5_000_000, {"a"})] * 2)
        self.clock.advance(1.9)
        self.assertEqual(len(self.log.asked), 2)
        self.clock.advance(0.1)
        self.assertEqual(len(self.log.asked), 3)

    def test_failures(self) -> None:
        """A log that is away is swept later; what nobody expected is logged once."""
        self.clock.advance(2.0)
        self.log.answers[0].errback(StoreUnavailable())
        self.clock.advance(2.0)
        self.log.answers[1].errback(ZeroDivisionError())
        self.clock.advance(2.0)
        self.assertEqual(len(self.log.asked), 3)
        self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_stop(self) -> None:
        """A stop waits for the step that is under way, and begins no other."""
        self.clock.advance(2.0)
        stopping = self.sweeper.stopService()
        self.assertNoResult(stopping)
        self.log.answers[0].callback(True)
        self.successResultOf(stopping)
        self.assertEqual((len(self.log.asked), self.clock.getDelayedCalls()), (1, []))
