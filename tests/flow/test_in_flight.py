from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from takotwist.flow.in_flight import InFlightCalls


class QuestionsTests(SynchronousTestCase):
    """The same is not asked twice at the same moment."""

    def setUp(self) -> None:
        self.questions: InFlightCalls[str, str] = InFlightCalls()
        self.asked: list[Deferred[str]] = []

    def _ask(self, key: str = "a") -> Deferred[str]:
        def ask() -> Deferred[str]:
            self.asked.append(Deferred())
            return self.asked[-1]

        return self.questions.ask(key, ask)

    def test_shared(self) -> None:
        """All who ask the same are told the one answer; who asks later asks anew."""
        waiting = [self._ask() for _ in range(3)]
        self.assertEqual((len(self.asked), self.questions.shared), (1, 2))
        self.asked[0].callback("yes")
        self.assertEqual([self.successResultOf(one) for one in waiting], ["yes"] * 3)
        self.assertEqual(len(self.questions), 0)
        self._ask()
        self.assertEqual(len(self.asked), 2)

    def test_others(self) -> None:
        """Another question is another question."""
        self._ask("a")
        self._ask("b")
        self.assertEqual(len(self.asked), 2)

    def test_failure(self) -> None:
        """A failure is told to all of them."""
        waiting = [self._ask(), self._ask()]
        self.asked[0].errback(ValueError())
        for one in waiting:
            self.failureResultOf(one, ValueError)

    def test_at_once(self) -> None:
        """What is answered at once is handed on as it is."""
        answer = succeed("yes")
        self.assertIs(self.questions.ask("a", lambda: answer), answer)
        self.assertEqual(len(self.questions), 0)

    def test_some_leave(self) -> None:
        """One who goes leaves the others waiting."""
        one, other = self._ask(), self._ask()
        one.cancel()
        self.failureResultOf(one, CancelledError)
        self.asked[0].callback("yes")
        self.assertEqual(self.successResultOf(other), "yes")

    def test_all_leave(self) -> None:
        """When all have gone the question is dropped, and the next one is asked anew."""
        waiting = [self._ask(), self._ask()]
        for one in waiting:
            one.cancel()
            self.failureResultOf(one, CancelledError)
        self.assertTrue(self.asked[0].called)
        again = self._ask()
        self.asked[1].callback("yes")
        self.assertEqual(self.successResultOf(again), "yes")

    def test_forgotten(self) -> None:
        """A void question is answered to those who wait for it, and shared with nobody else."""
        before, other = self._ask("a"), self._ask("b")
        self.questions.forget(lambda key: key == "a")
        after = self._ask("a")
        self.assertEqual(len(self.asked), 3)
        self.asked[0].callback("old")
        self.asked[2].callback("new")
        self.assertEqual(self.successResultOf(before), "old")
        self.assertEqual(self.successResultOf(after), "new")
        self.assertNoResult(other)
        self.assertEqual(len(self.questions), 1)

    def test_forgotten_and_left(self) -> None:
        """Nor is one asked on that nobody waits for any more."""
        waiting = self._ask()
        self.questions.forget(lambda key: True)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertTrue(self.asked[0].called)

    def test_left_while_told(self) -> None:
        """Who is told may make another one leave, who then hears of nothing but that."""
        one, other = self._ask(), self._ask()
        one.addCallback(lambda _: other.cancel())
        self.asked[0].callback("yes")
        self.failureResultOf(other, CancelledError)
