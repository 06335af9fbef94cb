"""The one timer behind all deadlines."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.deadlines import Deadlines
from takotwist.core.metrics import Tally
from takotwist.core.send_queue import Turn
from takotwist.server.timers import Ticker


class TestTicker(SynchronousTestCase):
    """Deadlines come, and a late tick is noticed."""

    def setUp(self) -> None:
        self.clock, self.deadlines, self.tally = Clock(), Deadlines(), Tally()
        self.turn = Turn()
        self.ticker = Ticker(self.deadlines, self.turn, self.tally, self.clock)
        self.ticker.startService()

    def test_due(self) -> None:
        """An action happens at its time."""
        done: list[float] = []
        self.deadlines.at(1.0, lambda: done.append(self.clock.seconds()))
        self.clock.pump([0.25] * 8)
        self.assertEqual(done, [1.0])
        self.assertEqual(self.turn.now, 2.0)

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
        self.assertEqual(self.tally.loop_lag_seconds.observations, 2)
        self.assertAlmostEqual(self.tally.loop_lag_seconds.total, 1.0)

    def test_stop(self) -> None:
        """Nothing is left of a stopped ticker."""
        self.ticker.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])
