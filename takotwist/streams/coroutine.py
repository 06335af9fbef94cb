"""Runs an app's coroutine as a Deferred that ends when it is told to.

Rule: who cancels is answered at once; what the coroutine still does to clean up
goes on behind it, and only a failure of that is logged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from takotwist.trampoline import drive

_log = Logger()


def run(coroutine: Coroutine[Any, Any, Any]) -> Deferred[Any]:
    """Start `coroutine`, which may await Deferreds, asyncio's futures, or both.

    :return: fires with its result.  Cancelling it cancels what it waits for.
    """
    driven = drive(coroutine)
    result: Deferred[Any] = Deferred(lambda _: driven.cancel())

    def finished(value: Any) -> None:
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
