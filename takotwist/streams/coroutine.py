"""Runs an app's coroutine as a Deferred that ends when it is told to.

Rule: who cancels is answered at once; what the coroutine still does to clean up
goes on behind it, and only a failure of that is logged.
"""

from __future__ import annotations

import asyncio
from typing import TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from takotwist.interfaces import Coro
from takotwist.trampoline import drive, resumed

T = TypeVar("T")

_log = Logger()


def run(coroutine: Coro[object]) -> Deferred[object]:
    """Start `coroutine`, which may await Deferreds, asyncio's futures, or both.

    :return: fires with its result.  Cancelling it cancels what it waits for.
    """
    driven = drive(coroutine)
    result: Deferred[object] = Deferred(lambda _: driven.cancel())

    def finished(value: object) -> None:
        if not result.called:
            result.callback(value)

    def failed(failure: Failure) -> None:
        cancelled = failure.check(CancelledError, asyncio.CancelledError)
        if not result.called:
            result.errback(CancelledError() if cancelled else failure)
        elif not cancelled:
            _log.failure("A cancelled coroutine failed", failure=failure)

    driven.addCallbacks(finished, failed)
    return result


def begin(coroutine: Coro[T]) -> Deferred[T] | None:
    """Take `coroutine`, which awaits only Deferreds, as far as it goes without waiting.

    Much of what could wait seldom does, and a Deferred with its callbacks costs as much as
    what is done meanwhile.

    :return: `None` where that was its end; else what fires with its result, and cancels
        what it waits for when it is cancelled.
    :raises Exception: what it raises before it waits.
    """
    try:
        waits_for = coroutine.send(None)
    except StopIteration:
        return None
    return Deferred.fromCoroutine(resumed(coroutine, waits_for))
