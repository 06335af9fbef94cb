"""Waits for a Deferred for so long."""

from __future__ import annotations

from typing import TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from takotwist.interfaces import IReactor

T = TypeVar("T")


async def in_time(reactor: IReactor, seconds: float, work: Deferred[T]) -> T:
    """The result of `work`, which is cancelled where it does not come in time.

    What a Deferred says when it is cancelled is its own: an endpoint that is still connecting
    fails with a connection error, which reads as one that may be tried again.  So nothing
    that `work` says from then on counts.

    Rejected: `Deferred.addTimeout`, whose error is not Python's own.

    :raises TimeoutError: it did not.
    :raises CancelledError: whoever waited was cancelled.
    """
    cancelled = False

    def cancel(_: Deferred[T]) -> None:
        nonlocal cancelled
        cancelled = True
        work.cancel()

    waiting: Deferred[T] = Deferred(cancel)

    def came(result: T) -> None:
        if not cancelled:
            waiting.callback(result)

    def failed(failure: Failure) -> None:
        if not cancelled:
            waiting.errback(failure)

    work.addCallbacks(came, failed)
    late = reactor.callLater(max(0.0, seconds), waiting.cancel)
    try:
        return await waiting
    except CancelledError:
        if cancelled and not late.active():
            raise TimeoutError from None
        raise
    finally:
        if late.active():
            late.cancel()
