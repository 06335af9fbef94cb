"""The log's side of the reactor: what its caller sees of the threads."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.sqlite import SqliteReplayLog
from takotwist.adapters.sqlite.errors import Kind
from takotwist.errors import StoreUnavailable
from tests.adapters.sqlite.inline_pool import HeldPool, InlinePool
from tests.contracts.replay_log import LOBBY, NOW, SECOND, Listener, entry


class LogTests(SynchronousTestCase):
    """A log with the SQL in the test's own thread."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW / SECOND)
        self.log = SqliteReplayLog(self.mktemp(), reactor=self.clock, make_pool=InlinePool)
        self.addCleanup(self.log.stop)

    def test_start_without_a_folder(self) -> None:
        """A store that cannot be opened yet is no error at the start."""
        log = SqliteReplayLog(
            self.mktemp() + "/missing/replay", reactor=self.clock, make_pool=InlinePool
        )
        self.addCleanup(log.stop)
        self.successResultOf(log.start())
        self.failureResultOf(log.append([entry(LOBBY, "a")], NOW), StoreUnavailable)
        self.failureResultOf(log.read(LOBBY, 0, 1, 1), StoreUnavailable)
        self.failureResultOf(log.sweep(NOW, ()), StoreUnavailable)
        self.failureResultOf(log.stats(), StoreUnavailable)

    def test_newest_of_what_was_never_opened(self) -> None:
        """Nobody knows which ids it gave out, so no cursor is taken for one that it did not."""
        path = self.mktemp()
        log = SqliteReplayLog(f"{path}/replay", reactor=self.clock, make_pool=InlinePool)
        self.addCleanup(log.stop)
        self.successResultOf(log.start())
        self.failureResultOf(log.newest(), StoreUnavailable)
        os.mkdir(path)
        self.assertEqual(self.successResultOf(log.newest()), NOW)

    def test_fault_of_our_own(self) -> None:
        """What should not happen is logged with its traceback; the caller sees the log
        unavailable, nothing is stored, and the next call works."""
        self.successResultOf(self.log.start())
        self.failureResultOf(self.log.append([entry(LOBBY, "a")], 2**80), StoreUnavailable)
        self.assertEqual(len(self.flushLoggedErrors(OverflowError)), 1)
        self.assertEqual(self.log.head, NOW)
        [appended] = self.successResultOf(self.log.append([entry(LOBBY, "b")], NOW + 5))
        self.assertEqual(appended.messages[0].id, NOW + 5)

    def test_refusal_tells_nothing_of_our_inside(self) -> None:
        """What a client may be told holds no path and no cause."""
        self.successResultOf(self.log.start())
        self.successResultOf(self.log.stop())
        failure = self.failureResultOf(self.log.stats(), StoreUnavailable)
        self.assertNotIn("/", failure.value.sentence)
        for kind in Kind:
            self.assertNotIn(kind.value[0], failure.value.sentence)

    def test_stop_before_the_reactor_ran(self) -> None:
        """A server that is stopped before it ran does not hang."""
        reactor = MemoryReactorClock()
        log = SqliteReplayLog(self.mktemp(), reactor=reactor)
        self.assertNoResult(log.start())
        self.successResultOf(log.stop())
        self.failureResultOf(log.stats(), StoreUnavailable)

    def test_starts_again(self) -> None:
        """A stopped log can be started again and goes on with its file."""
        self.successResultOf(self.log.start())
        self.successResultOf(self.log.append([entry(LOBBY, "a")], NOW + 5))
        self.successResultOf(self.log.stop())
        self.successResultOf(self.log.start())
        page = self.successResultOf(self.log.read(LOBBY, 0, 10, 1000))
        self.assertEqual([message.id for message in page.messages], [NOW + 5])


class CancelTests(SynchronousTestCase):
    """Who asked has left; its request was cancelled while a thread worked for it."""

    def setUp(self) -> None:
        clock = Clock()
        clock.advance(NOW / SECOND)
        self.pools: list[HeldPool] = []

        def pool(*args: Any, **settings: Any) -> HeldPool:
            self.pools.append(HeldPool(*args, **settings))
            return self.pools[-1]

        self.log = SqliteReplayLog(self.mktemp(), reactor=clock, make_pool=pool)
        self.listener = Listener(self.log)
        starting = self.log.start(self.listener)
        self.go_on()
        self.successResultOf(starting)
        self.addCleanup(self.stop)

    def go_on(self) -> None:
        """Let the threads work until they have nothing left."""
        while any(pool.waiting for pool in self.pools):
            for pool in self.pools:
                pool.go_on()

    def stop(self) -> None:
        stopping = self.log.stop()
        self.go_on()
        self.successResultOf(stopping)

    def give_up(self, asked: Deferred[Any]) -> None:
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.go_on()

    def test_read(self) -> None:
        """It is no failure of the store, neither in the log nor for its condition."""
        self.give_up(self.log.read(LOBBY, 0, 10, 1000))
        self.give_up(self.log.stats())
        self.assertEqual(self.flushLoggedErrors(), [])
        reading = self.log.read(LOBBY, 0, 10, 1000)
        self.go_on()
        self.assertEqual(self.successResultOf(reading).messages, ())

    def test_append(self) -> None:
        """It is stored and reported all the same: others have subscribed."""
        self.give_up(self.log.append([entry(LOBBY, "a")], NOW + 5))
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(self.listener.texts[LOBBY.key], ["a"])
        self.assertEqual(self.log.head, NOW + 5)

    def test_stop_waits_for_it(self) -> None:
        """No file is closed under a thread that works."""
        reading = self.log.read(LOBBY, 0, 10, 1000)
        reading.cancel()
        self.failureResultOf(reading, CancelledError)
        stopping = self.log.stop()
        self.assertNoResult(stopping)
        self.go_on()
        self.successResultOf(stopping)
