"""Runs a coroutine that awaits Deferreds, asyncio's futures, or both.

Under Twisted's asyncio reactor there is a loop, and a task drives the coroutine,
so that all of asyncio works in it; under any other reactor Deferreds are all
there is to await.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

_log = Logger()


def run(coroutine: Coroutine[Any, Any, Any]) -> Deferred[Any]:
    """Start `coroutine`.

    :return: fires with its result.  Cancelling it cancels what it waits for.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return Deferred.fromCoroutine(coroutine)
    task = loop.create_task(_as_task(coroutine))
    result: Deferred[Any] = Deferred(lambda _: _cancel(task))

    def finished(task: asyncio.Task[Any]) -> None:
        error = CancelledError() if task.cancelled() else task.exception()
        if result.called:
            # Cancelled: the Deferred says so at once, and the task had yet to clean up.
            if error is not None and not isinstance(error, CancelledError):
                _log.failure("A cancelled coroutine failed", failure=Failure(error))
        elif error is not None:
            result.errback(error)
        else:
            result.callback(task.result())

    task.add_done_callback(finished)
    return result


def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()


async def _as_task(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return await _Bridge(coroutine)


class _Bridge:
    """A coroutine, with a future in the place of each Deferred that it awaits."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, Any]:
        step, value = self._coroutine.send, None
        while True:
            try:
                waited = step(value)
            except StopIteration as finished:
                return finished.value
            try:
                if isinstance(waited, Deferred):
                    yield from _settled(waited)
                    value = None
                else:
                    value = yield waited
                step = self._coroutine.send
            except BaseException as error:
                step, value = self._coroutine.throw, error


def _settled(deferred: Deferred[Any]) -> Generator[Any, Any, None]:
    """Wait for `deferred` and leave it its result, which its own iterator takes from it."""
    future = asyncio.get_running_loop().create_future()

    def settle(result: Any) -> Any:
        if not future.done():
            future.set_result(None)
        return result

    deferred.addBoth(settle)
    try:
        yield from future
    except BaseException:
        deferred.cancel()
        deferred.addErrback(lambda _: None)
        raise
