"""Runner of the app's functions: plain ones in a thread, coroutines in the reactor.

Rule: nothing of the app runs in the reactor's thread except what says that it
waits (`async def`, or a generator under `inlineCallbacks`), and every call ends
for its caller at the deadline, whatever the app's code does.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable
from weakref import WeakKeyDictionary

import attrs
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from takotwist.adapters.concurrency_limit import ConcurrencyLimit
from takotwist.interfaces import IReactor
from takotwist.trampoline import drive

#: Seconds for one call of the app (protocol, section 9).
DEADLINE = 5.0

#: Caller for fair queueing: the channel (or function), and the address that asks.
Caller = tuple[str, str]


class DeadlinePassed(Exception):
    """The app's function did not end in time."""


class DeferredFromThread(Exception):
    """A plain function, run in a thread, made a Deferred, which belongs to the reactor's."""

    def __init__(self) -> None:
        super().__init__(
            "a plain function runs in a thread and cannot return a Deferred; write it"
            " as `async def` and await the Deferred"
        )


@attrs.frozen(slots=True)
class Raised:
    """The app's function raised `error`; told apart from what the runner itself raises."""

    error: BaseException


def waits(function: Callable[..., object]) -> bool:
    """`True` if `function` gives way while it waits, so that it runs in the reactor."""
    plain = inspect.unwrap(function)
    while isinstance(plain, functools.partial):
        plain = inspect.unwrap(plain.func)
    called = type(plain).__call__ if not inspect.isroutine(plain) else plain
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called):
        return True
    # A generator function inside a wrapper: inlineCallbacks, and its like.
    return plain is not function and inspect.isgeneratorfunction(plain)


class CallableRunner:
    """Runner with a deadline, a concurrency limit and a bounded queue.

    :param reactor: `IReactorTime` and `IReactorFromThreads`.
    :param pool: threads for plain functions; no more are in flight than it has.
    :param deadline: seconds a call may take once it has begun.
    :param coroutines: most coroutines in flight.
    :param queue: calls of either kind that may wait for a slot.
    :param beside: another runner on the same threads; they share out one number of turns.
    """

    def __init__(
        self,
        reactor: IReactor,
        pool: ThreadPool,
        *,
        deadline: float = DEADLINE,
        coroutines: int = 1000,
        queue: int = 10_000,
        beside: CallableRunner | None = None,
    ) -> None:
        self._reactor = reactor
        self._pool = pool
        self._deadline = deadline
        clock = IReactorTime(reactor)
        if beside is None:
            self._threads = ConcurrencyLimit(clock, places=pool.max, length=queue)
            self._coroutines = ConcurrencyLimit(clock, places=coroutines, length=queue)
        else:
            # More calls than threads would wait in the pool, with their deadlines running.
            self._threads, self._coroutines = beside._threads, beside._coroutines
        #: True of a function that gives way; to find out takes longer than most of them.
        self._known: WeakKeyDictionary[Callable[..., object], bool] = WeakKeyDictionary()

    def run(
        self, caller: Caller, function: Callable[..., object], *arguments: object
    ) -> Deferred[object]:
        """Call `function`; the answer is what it returned, or `Raised`.

        :param caller: for fair queueing: the channel, and the address that asks.
        :raises DeadlinePassed: it took too long.  A coroutine has been cancelled; a
            thread cannot be, and keeps its place until it ends.
        :raises Overloaded: too many calls wait already.
        :raises AuthUnavailable: it waited too long to begin.
        """
        if self._is_waiting(function):
            return self._waited_for(caller, lambda: _in_reactor(function, arguments))
        return self._bounded(
            self._threads,
            caller,
            lambda: deferToThreadPool(self._reactor, self._pool, _in_thread, function, arguments),
            lambda work: None,
        ).addCallback(self._finish, caller)

    def _is_waiting(self, function: Callable[..., object]) -> bool:
        try:
            known = self._known.get(function)
            if known is None:
                known = self._known[function] = waits(function)
        except TypeError:
            # It can be no key of such a table.
            return waits(function)
        return known

    def _finish(self, result: object, caller: Caller) -> object:
        if inspect.isawaitable(result):
            return self._waited_for(caller, lambda: _in_reactor(lambda: result, ()))
        return result

    def _waited_for(
        self, caller: Caller, begin: Callable[[], Awaitable[object]]
    ) -> Deferred[object]:
        return self._bounded(self._coroutines, caller, lambda: drive(begin()), Deferred.cancel)

    def _bounded(
        self,
        line: ConcurrencyLimit,
        caller: Caller,
        begin: Callable[[], Deferred[object]],
        give_up: Callable[[Deferred[object]], None],
    ) -> Deferred[object]:
        channel, address = caller

        def begun(_: object = None) -> Deferred[object]:
            return self._begun(lambda: line.leave(channel), begin(), give_up)

        if line.take(channel):
            return begun()
        return maybeDeferred(line.enter, channel, address).addCallback(begun)

    def _begun(
        self,
        leave: Callable[[], None],
        work: Deferred[object],
        give_up: Callable[[Deferred[object]], None],
    ) -> Deferred[object]:
        """An answer for the caller, who may give up before the work really ends."""
        if work.called and not work.paused:
            # Done before it could be late, as most coroutines are that wait for nothing.
            leave()
            return work

        given_up = False

        def cancelled(_: object) -> None:
            # How the work then ends is no failure of the app's, and told to nobody.
            nonlocal given_up
            given_up = True
            give_up(work)

        answer: Deferred[object] = Deferred(cancelled)

        def ended(result: object) -> None:
            leave()
            if timer.active():
                timer.cancel()
            if not answer.called and not given_up:
                answer.callback(result)

        def late() -> None:
            if not answer.called:
                answer.errback(DeadlinePassed())
            give_up(work)

        timer = IReactorTime(self._reactor).callLater(self._deadline, late)
        work.addBoth(ended)
        return answer


# What may come out of the app's code.  Not `KeyboardInterrupt`, which is the operator's,
# nor `GeneratorExit`, which is the interpreter's.
_OF_THE_APP = (Exception, SystemExit, asyncio.CancelledError)


async def _in_reactor(function: Callable[..., object], arguments: tuple[object, ...]) -> object:
    # Caught in here and not on the Deferred, which drops the traceback of a failure
    # that nobody has looked at yet.
    try:
        result = function(*arguments)
        return await result if inspect.isawaitable(result) else result
    except _OF_THE_APP as error:
        return Raised(error)


def _in_thread(function: Callable[..., object], arguments: tuple[object, ...]) -> object:
    try:
        result = function(*arguments)
    except _OF_THE_APP as error:
        return Raised(error)
    if isinstance(result, Deferred):
        result.addErrback(lambda _: None)
        return Raised(DeferredFromThread())
    return result
