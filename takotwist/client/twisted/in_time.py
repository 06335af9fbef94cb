"""Waits for a Deferred for so long."""

from __future__ import annotations

from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred

T = TypeVar("T")


async def in_time(reactor: Any, seconds: float, work: Deferred[T]) -> T:
    """The result of `work`, which is cancelled where it does not come in time.

    Rejected: `Deferred.addTimeout`, whose error is not Python's own.

    :raises TimeoutError: it did not.
    """
    late = reactor.callLater(max(0.0, seconds), work.cancel)
    try:
        return await work
    except CancelledError:
        if late.active():
            raise
        raise TimeoutError from None
    finally:
        if late.active():
            late.cancel()
