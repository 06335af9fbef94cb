"""What waits for a handler."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.webtransport.arrivals import Arrivals


class ArrivalsTests(SynchronousTestCase):
    """`Arrivals`."""

    def test_order(self) -> None:
        """What came first is given first, whether the reader waits or not."""
        arrivals: Arrivals[int] = Arrivals(3)
        arrivals.put(1)
        arrivals.put(2)
        for expected in (1, 2):
            self.assertEqual(
                self.successResultOf(Deferred.fromCoroutine(arrivals.next())), expected
            )
        waiting = Deferred.fromCoroutine(arrivals.next())
        self.assertNoResult(waiting)
        arrivals.put(3)
        self.assertEqual(self.successResultOf(waiting), 3)

    def test_end(self) -> None:
        """The end takes away what waits, and ends every later read."""
        arrivals: Arrivals[int] = Arrivals(3)
        arrivals.put(1)
        self.assertEqual(arrivals.end(EOFError()), [1])
        self.failureResultOf(Deferred.fromCoroutine(arrivals.next()), EOFError)

        async def count() -> int:
            return len([each async for each in arrivals])

        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(count())), 0)

    def test_end_while_waiting(self) -> None:
        """A reader that waits is told of the end."""
        arrivals: Arrivals[int] = Arrivals(3)
        waiting = Deferred.fromCoroutine(arrivals.next())
        arrivals.end(EOFError())
        self.failureResultOf(waiting, EOFError)

    def test_one_reader(self) -> None:
        """A second reader is an error of the program, and the first is not disturbed."""
        arrivals: Arrivals[int] = Arrivals(3)
        first = Deferred.fromCoroutine(arrivals.next())
        self.failureResultOf(Deferred.fromCoroutine(arrivals.next()), RuntimeError)
        arrivals.put(1)
        self.assertEqual(self.successResultOf(first), 1)

    def test_cancelled_reader(self) -> None:
        """A read that was cancelled takes nothing away from the next."""
        arrivals: Arrivals[int] = Arrivals(3)
        first = Deferred.fromCoroutine(arrivals.next())
        first.cancel()
        self.failureResultOf(first, CancelledError)
        arrivals.put(1)
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(arrivals.next())), 1)
