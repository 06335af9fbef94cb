"""The coroutines of a session."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.webtransport.errors import SessionClosed
from takotwist.streams.webtransport.work import Work


class WorkTests(SynchronousTestCase):
    """`Work`."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.told: list[str] = []
        self.work = Work(
            self.clock, 5.0, lambda: self.told.append("failed"), lambda: self.told.append("idle")
        )

    async def wait(self, until: Deferred[None]) -> None:
        """A coroutine in the test's hand."""
        await until

    def test_idle_after_the_end(self) -> None:
        """Idleness is told once the session is over and the last coroutine has returned."""
        one: Deferred[None] = Deferred()
        two: Deferred[None] = Deferred()
        self.work.start(self.wait(one))
        self.work.start(self.wait(two))
        one.callback(None)
        self.work.end()
        self.assertEqual(self.told, [])
        two.callback(None)
        self.assertEqual(self.told, ["idle"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_grace(self) -> None:
        """What has not come to its end in time is cancelled."""
        until: Deferred[None] = Deferred()
        self.work.start(self.wait(until))
        self.work.end()
        self.clock.advance(4.9)
        self.assertTrue(self.work)
        self.clock.advance(0.2)
        self.assertFalse(self.work)
        self.assertEqual(self.told, ["idle"])

    def test_started_after_the_end(self) -> None:
        """What is started after the end has the same time."""
        self.work.end()
        self.work.start(self.wait(Deferred()))
        self.clock.advance(5)
        self.assertFalse(self.work)

    def test_failure(self) -> None:
        """A failure is logged and told; one that the end has caused is neither."""
        first: Deferred[None] = Deferred()
        self.work.start(self.wait(first))
        first.errback(RuntimeError("on purpose"))
        self.assertEqual(self.told, ["failed"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        for error in (SessionClosed(), CancelledError()):
            later: Deferred[None] = Deferred()
            self.work.start(self.wait(later))
            self.work.end()
            later.errback(error)
        self.assertEqual(self.told, ["failed", "idle", "idle"])
