"""The one timer behind all deadlines.

The log is swept a little at a time.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.deadlines import Deadlines
from takotwist.core.metrics import Metrics
from takotwist.core.send_queue import FlushBatch
from takotwist.errors import StoreUnavailable
from takotwist.server.timers import Sweeper, Ticker, until_answered


class TestTicker(SynchronousTestCase):
    """Deadlines come, and a late tick is noticed."""

    def setUp(self) -> None:
        self.clock, self.deadlines, self.metrics = Clock(), Deadlines(), Metrics()
        self.flush_batch = FlushBatch()
        self.ticker = Ticker(self.deadlines, self.flush_batch, self.metrics, self.clock)
        self.ticker.startService()

    def test_due(self) -> None:
        """An action happens at its time."""
        done: list[float] = []
        self.deadlines.at(1.0, lambda: done.append(self.clock.seconds()))
        self.clock.pump([0.25] * 8)
        self.assertEqual(done, [1.0])
        self.assertEqual(self.flush_batch.now, 2.0)

    def test_one_that_fails(self) -> None:
        """It is logged, and the others happen."""
        done: list[str] = []
        self.deadlines.at(1.0, lambda: 1 // 0)
        self.deadlines.at(1.0, lambda: done.append("x"))
        self.clock.pump([0.25] * 4)
        self.assertEqual(done, ["x"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_lag(self) -> None:
        """How late a tick comes is how long the reactor was held up."""
        self.clock.pump([0.25, 0.25])
        self.clock.advance(1.25)
        self.assertEqual(self.metrics.loop_lag_seconds.observations, 2)
        self.assertAlmostEqual(self.metrics.loop_lag_seconds.total, 1.0)

    def test_stop(self) -> None:
        """Nothing is left of a stopped ticker."""
        self.ticker.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class TestUntilAnswered(SynchronousTestCase):
    """The wait for requests that are under way."""

    def test_end(self) -> None:
        """It ends with the last of them."""
        clock, under_way = Clock(), [True]
        waiting = ensureDeferred(until_answered(lambda: under_way[0], clock, 5.0))
        clock.pump([0.1] * 20)
        self.assertNoResult(waiting)
        under_way[0] = False
        clock.advance(0.1)
        self.successResultOf(waiting)
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_nothing(self) -> None:
        """Where there is none it takes no time."""
        self.successResultOf(ensureDeferred(until_answered(lambda: False, Clock(), 5.0)))

    def test_bound(self) -> None:
        """One that never ends is waited for no longer than is said."""
        clock = Clock()
        waiting = ensureDeferred(until_answered(lambda: True, clock, 1.0))
        clock.pump([0.1] * 9)
        self.assertNoResult(waiting)
        clock.pump([0.1] * 2)
        self.successResultOf(waiting)


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
