"""The throttle of warnings that strangers can cause."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import LogEvent, Logger, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from takotwist.server.log_throttle import INTERVAL, LogThrottle


class LogThrottleTests(SynchronousTestCase):
    """One throttle, whose lines are looked at."""

    def setUp(self) -> None:
        self.clock, self.events = Clock(), list[LogEvent]()
        self.throttle = LogThrottle(Logger(observer=self.events.append), self.clock.seconds)

    def lines(self) -> list[str]:
        """What was written since the last look."""
        lines = [formatEvent(one) for one in self.events]
        self.events.clear()
        return lines

    def test_kinds(self) -> None:
        """Each template is written once within the interval, whatever its fields."""
        for name in ("a", "b"):
            self.throttle.warn("no {name}", name=name)
            self.throttle.warn("never {name}", name=name)
        self.assertEqual(self.lines(), ["no a", "never a"])

    def test_left_out(self) -> None:
        """The next line says how many there were, and the count begins anew."""
        for _ in range(4):
            self.throttle.warn("no")
        self.clock.advance(INTERVAL - 0.1)
        self.throttle.warn("no")
        self.assertEqual(self.lines(), ["no"])
        self.clock.advance(0.1)
        self.throttle.warn("no")
        self.clock.advance(INTERVAL)
        self.throttle.warn("no")
        self.assertEqual(self.lines(), ["no (4 more since the last such line)", "no"])

    def test_clock_set_back(self) -> None:
        """A clock that goes back keeps no line away."""
        now = iter((100.0, 50.0))
        throttle = LogThrottle(Logger(observer=self.events.append), lambda: next(now))
        throttle.warn("no")
        throttle.warn("no")
        self.assertEqual(self.lines(), ["no", "no"])
