"""Timers that a step of the wall clock does not move."""

from __future__ import annotations

import time

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.server.process import use_monotonic_time


class TestMonotonic(SynchronousTestCase):
    """The reactor counts by the monotonic clock."""

    def test_counts(self) -> None:
        """Seconds are the monotonic clock's; a second call changes nothing."""
        clock = Clock()
        use_monotonic_time(clock)
        use_monotonic_time(clock)
        self.assertIs(clock.seconds, time.monotonic)

    def test_calls_that_wait(self) -> None:
        """A call that was scheduled before keeps its delay."""
        clock = Clock()
        clock.advance(1_000_000)
        call = clock.callLater(10, lambda: None)
        before = time.monotonic()
        use_monotonic_time(clock)
        after = time.monotonic()
        # To the rounding of what was subtracted from a larger time.
        self.assertTrue(before - 1e-6 <= call.getTime() - 10 <= after + 1e-6)
