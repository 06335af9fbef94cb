"""Waiting for several things, and for what goes on where nobody waits any more."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from takotwist.errors import StoreUnavailable
from takotwist.flow.gather import gather, shielded


class GatherTests(SynchronousTestCase):
    """Several at once."""

    def test_all(self) -> None:
        """All results, in the order of the questions."""
        first: Deferred[int] = Deferred()
        both = gather([first, succeed(2)])
        self.assertNoResult(both)
        first.callback(1)
        self.assertEqual(self.successResultOf(both), [1, 2])

    def test_first_failure(self) -> None:
        """It fails as the first does, and the others are heard."""
        late: Deferred[int] = Deferred()
        self.failureResultOf(gather([late, fail(StoreUnavailable())]), StoreUnavailable)
        late.errback(ValueError("heard"))

    def test_cancelled(self) -> None:
        """Who waits is answered at once, and what was begun hears nothing of it."""
        begun: list[Deferred[int]] = [Deferred(lambda _: self.fail("cancelled")) for _ in "ab"]
        both = gather(begun)
        both.cancel()
        self.failureResultOf(both, CancelledError)
        for one in begun:
            one.callback(1)


class ShieldedTests(SynchronousTestCase):
    """One."""

    def test_answer(self) -> None:
        """It is the answer of the work."""
        work: Deferred[int] = Deferred()
        answer = shielded(work)
        work.callback(1)
        self.assertEqual(self.successResultOf(answer), 1)
        self.assertEqual(self.successResultOf(shielded(succeed(2))), 2)
        self.failureResultOf(shielded(fail(StoreUnavailable())), StoreUnavailable)

    def test_failed_behind(self) -> None:
        """What fails when nobody waits is logged, unless it is a refusal."""
        for error, logged in ((StoreUnavailable(), 0), (ZeroDivisionError(), 1)):
            work: Deferred[int] = Deferred()
            answer = shielded(work)
            answer.cancel()
            self.failureResultOf(answer, CancelledError)
            work.errback(error)
            self.assertEqual(len(self.flushLoggedErrors(type(error))), logged)
