"""The end of the threads of the app, also where a function of it never returns."""

from __future__ import annotations

from threading import Event

from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from takotwist.server.app_threads import AppThreads


class EndTests(SynchronousTestCase):
    """`AppThreads.end`."""

    def test_nothing_runs(self) -> None:
        """It ends at once, and so do its threads."""
        threads = AppThreads(2, 2)
        threads.start()
        self.successResultOf(ensureDeferred(threads.end(Clock(), 5.0)))
        self.assertEqual([one for one in threads.threads if one.is_alive()], [])

    def test_function_that_never_returns(self) -> None:
        """It is waited for, up to a bound, while the reactor goes on; then it is left."""
        clock, threads, begun, over = Clock(), AppThreads(0, 2), Event(), Event()

        def never() -> None:
            begun.set()
            over.wait()

        threads.start()
        self.addCleanup(threads.stop)
        self.addCleanup(over.set)
        threads.callInThread(never)
        begun.wait()
        with capturedLogs() as events:
            ending = ensureDeferred(threads.end(clock, 5.0))
            clock.pump([0.5] * 9)
            self.assertNoResult(ending)
            clock.pump([0.5] * 2)
            self.successResultOf(ending)
        said = [formatEvent(event) for event in events]
        self.assertEqual(len(said), 1)
        self.assertIn("1 function of the app had not returned", said[0])
        self.assertTrue(all(one.daemon for one in threads.threads))
