"""The writer's thread stays while there is work, and goes back to its pool."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from takotwist.adapters.sqlite.writer_thread import StayingThread


class Pool:
    """Has its thread run when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Callable[[Any], Any], Deferred[Any]]] = []

    def runWithConnection(self, function: Callable[[Any], Any]) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self.waiting.append((function, done))
        return done

    def run(self) -> None:
        function, done = self.waiting.pop(0)
        done.callback(function("the connection"))


def do(thread: StayingThread, work: Callable[[Any], Any]) -> Deferred[Any]:
    """What comes of `work`."""
    answer: Deferred[Any] = Deferred()
    thread.do(work, answer.callback, answer.errback)
    return answer


class StayingThreadTests(SynchronousTestCase):
    """A pool without threads: whoever comes finds what waits, and leaves."""

    def setUp(self) -> None:
        self.pool = Pool()
        pool: Any = self.pool
        self.thread = StayingThread(pool, object())

    def test_in_order(self) -> None:
        """Work is done in the order in which it was asked for, with the pool's connection."""
        seen: list[Any] = []
        answers = [do(self.thread, lambda it, n=n: seen.append((n, it)) or n) for n in range(3)]
        self.assertEqual(len(self.pool.waiting), 1)
        self.pool.run()
        self.assertEqual([self.successResultOf(one) for one in answers], [0, 1, 2])
        self.assertEqual(seen, [(n, "the connection") for n in range(3)])

    def test_raises(self) -> None:
        """What goes wrong is the answer to that work; the next is done."""
        first, second = do(self.thread, lambda _: 1 // 0), do(self.thread, lambda _: 2)
        self.pool.run()
        self.failureResultOf(first, ZeroDivisionError)
        self.assertEqual(self.successResultOf(second), 2)

    def test_comes_again(self) -> None:
        """After it has left, the next work has it come again."""
        do(self.thread, lambda _: None)
        self.pool.run()
        answer = do(self.thread, lambda _: "again")
        self.pool.run()
        self.assertEqual(self.successResultOf(answer), "again")

    def test_asked_while_it_leaves(self) -> None:
        """What is asked for when it has left, and nobody knows yet, is not forgotten."""
        do(self.thread, lambda _: None)
        function, left = self.pool.waiting.pop(0)
        function("the connection")
        late = do(self.thread, lambda _: "late")
        self.assertEqual(self.pool.waiting, [])
        left.callback(None)
        self.pool.run()
        self.assertEqual(self.successResultOf(late), "late")

    def test_no_thread(self) -> None:
        """A pool that has none for it fails all that waits."""
        answers = [do(self.thread, lambda _: None) for _ in range(2)]
        self.pool.waiting[0][1].errback(OSError("no connection"))
        for answer in answers:
            self.failureResultOf(answer, OSError)

    def test_rest(self) -> None:
        """When there is nothing left to do it rests, once, before it leaves."""
        seen: list[str] = []
        pool: Any = self.pool
        thread = StayingThread(pool, object(), lambda it: seen.append(f"rest of {it}"))
        for n in range(2):
            do(thread, lambda _, n=n: seen.append(f"work {n}"))
        self.pool.run()
        self.assertEqual(seen, ["work 0", "work 1", "rest of the connection"])

    def test_let_go(self) -> None:
        """Let go, it does what was asked for before, and is gone."""
        answer = do(self.thread, lambda _: "done")
        gone = self.thread.let_go()
        self.assertNoResult(gone)
        self.pool.run()
        self.assertEqual(self.successResultOf(answer), "done")
        self.successResultOf(gone)
        self.successResultOf(self.thread.let_go())

    def test_told_in_the_reactor(self) -> None:
        """Where there are threads, answers are given in the reactor's."""
        calls: list[tuple[Any, ...]] = []

        @implementer(IReactorFromThreads)
        class Reactor:
            def callFromThread(self, *call: Any) -> None:
                calls.append(call)

        pool: Any = self.pool
        thread = StayingThread(pool, Reactor())
        answer = do(thread, lambda _: "done")
        thread.let_go()
        self.pool.run()
        self.assertNoResult(answer)
        [(function, argument)] = calls
        function(argument)
        self.assertEqual(self.successResultOf(answer), "done")
