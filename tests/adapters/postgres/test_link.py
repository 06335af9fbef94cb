"""A connection that is made again."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.postgres.errors import Kind, Trouble
from takotwist.adapters.postgres.link import FIRST, LONGEST, Link


class FakeConnection:
    """As much of one as a link uses."""

    usable = True
    lost: Any = None

    def close(self) -> None:
        self.usable = False


class LinkTests(SynchronousTestCase):
    """Over connections that a test hands out."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.dials: list[Deferred[Any]] = []
        self.failed: list[Trouble] = []
        self.link = Link(self.clock, self.dial, lambda: 0.5, self.failed.append)

    def dial(self) -> Deferred[Any]:
        self.dials.append(Deferred())
        return self.dials[-1]

    def trouble(self, answer: Deferred[Any]) -> Trouble:
        return self.failureResultOf(answer, Trouble).value

    def away(self) -> Trouble:
        return Trouble(Kind.UNREACHABLE, "nobody there")

    def test_waits_for_the_first(self) -> None:
        """Who asks while it connects gets the connection when it is there."""
        self.link.start()
        asked = self.link.use(5)
        connection = FakeConnection()
        self.dials[0].callback(connection)
        self.assertIs(self.successResultOf(asked), connection)
        self.assertIs(self.successResultOf(self.link.use(5)), connection)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_waits_only_so_long(self) -> None:
        """And only up to the deadline."""
        self.link.start()
        asked = self.link.use(5)
        self.clock.advance(5)
        self.assertIs(self.trouble(asked).kind, Kind.UNREACHABLE)

    def test_nobody_waits_once_a_try_failed(self) -> None:
        """While the engine is known to be away all are refused at once."""
        self.link.start()
        asked = self.link.use(5)
        self.dials[0].errback(self.away())
        self.trouble(asked)
        self.trouble(self.link.use(5))
        self.assertEqual(len(self.failed), 1)

    def test_away(self) -> None:
        """It is away once a try has failed, and not while a lost one is made again."""
        self.assertTrue(self.link.away)
        self.link.start()
        self.assertFalse(self.link.away)
        self.dials[-1].errback(self.away())
        self.assertTrue(self.link.away)
        self.clock.advance(FIRST)
        connection = FakeConnection()
        self.dials[-1].callback(connection)
        self.assertFalse(self.link.away)
        connection.lost(self.away())
        self.assertFalse(self.link.away)
        self.clock.advance(FIRST)
        self.dials[-1].errback(self.away())
        self.assertTrue(self.link.away)
        self.link.stop()

    def test_comes_again(self) -> None:
        """It is tried at growing distances, and the first try after a success comes soon again."""
        self.link.start()
        times = []
        for _ in range(9):
            self.dials[-1].errback(self.away())
            [timer] = self.clock.getDelayedCalls()
            times.append(timer.getTime() - self.clock.seconds())
            self.clock.advance(times[-1])
        times = [round(one, 6) for one in times]
        self.assertEqual(times, sorted(times))
        self.assertLessEqual(times[0], FIRST)
        self.assertEqual(times[-1], LONGEST * 0.75)
        connection = FakeConnection()
        self.dials[-1].callback(connection)
        connection.lost(self.away())
        [timer] = self.clock.getDelayedCalls()
        self.assertLessEqual(timer.getTime() - self.clock.seconds(), FIRST)
        asked = self.link.use(5)
        self.clock.advance(FIRST)
        self.dials[-1].callback(FakeConnection())
        self.successResultOf(asked)

    def test_spread_in_time(self) -> None:
        """Two nodes that lost it in one moment come back at different ones."""
        delays = set()
        for number in (0.1, 0.9):
            clock = Clock()
            dialing: Deferred[Any] = Deferred()
            link = Link(
                clock,
                lambda dialing=dialing: dialing,
                lambda number=number: number,
                self.failed.append,
            )
            link.start()
            connection = FakeConnection()
            dialing.callback(connection)
            connection.lost(self.away())
            delays.add(clock.getDelayedCalls()[0].getTime())
        self.assertEqual(len(delays), 2)

    def test_stop(self) -> None:
        """Nothing is left of it, at whatever moment it is stopped."""
        self.link.start()
        asked = self.link.use(5)
        self.link.stop()
        self.trouble(asked)
        self.trouble(self.link.use(5))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.link.start()
        connection = FakeConnection()
        self.dials[-1].callback(connection)
        self.link.stop()
        self.assertFalse(connection.usable)
        self.link.start()
        self.dials[-1].errback(self.away())
        self.link.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
