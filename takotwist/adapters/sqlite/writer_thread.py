"""A thread of adbapi's that stays for the next work, where it follows closely.

adbapi's way into a thread and back (a team of workers, a queue with a condition, a
context, a timer for each end) costs more than a small transaction.  Rule: the
thread is adbapi's, its connection too, and it goes back to adbapi when there was
nothing to do for a moment.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias, TypeVar

from twisted.enterprise.adbapi import ConnectionPool
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

from takotwist.interfaces import IReactor

T = TypeVar("T")

_Task: TypeAlias = tuple[Callable[[Any], Any], Callable[[Any], object], Callable[[Failure], object]]

#: Seconds that the thread waits for more; and after which it takes the time to tidy up.
STAY, REST = 0.5, 0.005


class StayingThread:
    """Does work in order, one at a time, in a pool's one thread.

    :param pool: with one thread.
    :param reactor: `IReactorFromThreads`; of another kind where the pool has no
        threads and does everything at once.
    :param rest: called in the thread when there is no work for a moment; must not raise.
    """

    def __init__(
        self,
        pool: ConnectionPool,
        reactor: IReactor,
        rest: Callable[[Any], object] = lambda _: None,
    ) -> None:
        self._pool = pool
        self._rest = rest
        threads = IReactorFromThreads.providedBy(reactor)
        self._in_reactor = reactor.callFromThread if threads else _at_once
        self._stay = STAY if threads else 0.0
        self._work: SimpleQueue[_Task | None] = SimpleQueue()
        self._there: Deferred[object] | None = None

    def do(
        self,
        work: Callable[[Any], T],
        done: Callable[[T], object],
        failed: Callable[[Failure], object],
    ) -> None:
        """Call `work` with the pool's connection in its thread.

        :param done: called in the reactor's thread with what `work` returned.
        :param failed: likewise, with what it raised.  Rejected: to return a Deferred, which
            whoever waits can cancel, while the thread cannot be stopped.
        """
        self._work.put((work, done, failed))
        if self._there is None:
            self._come()

    def let_go(self) -> Deferred[None]:
        """Have the thread go back to the pool once it has done all; nothing may follow."""
        if self._there is None:
            return succeed(None)
        self._work.put(None)
        gone: Deferred[None] = Deferred()
        self._there.addBoth(lambda _: gone.callback(None))
        return gone

    def _come(self) -> None:
        there = self._there = self._pool.runWithConnection(self._serve)
        there.addBoth(self._left)

    def _left(self, result: object) -> None:
        self._there = None
        if isinstance(result, Failure):
            # The thread never came to us: adbapi found no connection, or is closed.
            for _, _, failed in iter(self._next_now, None):
                failed(result)
        elif not self._work.empty():
            # It came while the thread was on its way out.
            self._come()

    def _next_now(self) -> _Task | None:
        try:
            return self._work.get_nowait()
        except Empty:
            return None

    def _serve(self, connection: object) -> None:
        """In the thread."""
        take, stay = self._work.get, self._stay
        while True:
            try:
                task = take(stay > 0, REST)
            except Empty:
                self._rest(connection)
                try:
                    task = take(stay > 0, stay)
                except Empty:
                    return
            if task is None:
                return
            work, done, failed = task
            try:
                result = work(connection)
            except BaseException:
                self._in_reactor(failed, Failure())
            else:
                self._in_reactor(done, result)
                del result
            del task, work, done, failed


def _at_once(function: Callable[..., object], *arguments: object) -> None:
    function(*arguments)
