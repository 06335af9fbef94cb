"""How long a call of the app may take, and what is left when it took too long."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred

from takotwist import Grant, VerifyRequest
from takotwist.errors import AuthUnavailable
from tests.adapters.local_case import REQUEST, AuthorizeLocalCase, Room, chat


class TestDeadline(AuthorizeLocalCase):
    def test_thread(self) -> None:
        """A thread that hangs is an answer after five seconds, and is reported once."""
        self.pool.held = True
        channel = chat()
        channel.verify(lambda request: True)
        answer = self.asked(channel)
        self.reactor.advance(4.9)
        self.assertNoResult(answer)
        self.reactor.advance(0.2)
        self.failureResultOf(answer, AuthUnavailable)
        self.assertIn("within 5 seconds", self.logged[0])
        self.pool.step()
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_coroutine_is_cancelled(self) -> None:
        """A coroutine that hangs is cancelled, so nothing of it stays behind."""
        cancelled: list[bool] = []
        channel = chat()

        @channel.verify
        async def verify(request: VerifyRequest[Room]) -> bool:
            await Deferred(lambda _: cancelled.append(True))
            return True

        answer = self.asked(channel)
        self.reactor.advance(5.1)
        self.failureResultOf(answer, AuthUnavailable)
        self.assertEqual(cancelled, [True])

    def test_caller_gives_up(self) -> None:
        """A connection that is gone cancels its question, without a line in the log."""
        cancelled: list[bool] = []
        channel = chat()

        @channel.verify
        async def verify(request: VerifyRequest[Room]) -> bool:
            await Deferred(lambda _: cancelled.append(True))
            return True

        answer = self.asked(channel)
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.assertEqual(cancelled, [True])
        self.assertEqual(self.logged, [])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_hung_threads_keep_their_place(self) -> None:
        """Threads that hang are not piled up: the next call waits until one ends."""
        self.pool.held = True
        channel = chat()
        channel.verify(lambda request: True)
        authorizer = self.authorizer(channel)
        stuck = [authorizer.authorize(REQUEST) for _ in range(2)]
        third = authorizer.authorize(REQUEST)
        self.reactor.advance(6)
        for one in stuck:
            self.failureResultOf(one, AuthUnavailable)
        self.assertEqual(len(self.pool.work), 2)
        self.pool.step()
        self.assertEqual(len(self.pool.work), 2)
        self.pool.step()
        self.pool.step()
        self.assertEqual(self.successResultOf(third), Grant())
