"""Runs a coroutine that may wait for Deferreds, for asyncio, or for both.

Where an asyncio loop runs (the asyncio reactor) the coroutine becomes an asyncio
Task, so that everything of that world finds its task and its loop; a Deferred
that it waits for is handed to the Task as a future.  Where none runs it is
driven by Deferreds alone.  Rule: the coroutine need not say which it is.
Rejected: `Deferred.fromCoroutine` under both, which sends an asyncio future
straight back to a coroutine that waits for it.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import copy_context
from typing import Any, TypeAlias, TypeVar, cast

from twisted.internet.defer import Deferred, fail, succeed

from takotwist.interfaces import Coro

A = TypeVar("A")

#: The steps of a coroutine: what it waits for comes out, what came of that goes in.
Steps: TypeAlias = Generator[Any, object, A]

#: What libraries of the asyncio world say where no loop runs.
_SIGNS_OF_ASYNCIO = (
    "no running event loop",
    "no current event loop",
    "await wasn't used with future",
    "unknown async library",
    "not currently running on any asynchronous event loop",
)


class NeedsAsyncio(Exception):
    """Thrown into a coroutine that waits for asyncio where the reactor does not run it."""


def wants_asyncio(error: BaseException) -> bool:
    """Tell whether `error` is what code of the asyncio world meets where no loop runs."""
    if isinstance(error, NeedsAsyncio):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS_OF_ASYNCIO)


def drive(awaitable: Awaitable[A]) -> Deferred[A]:
    """Run `awaitable` to its end.  Call it in the reactor's thread.

    Cancelling the answer cancels what the coroutine waits for.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return started(_refusing_futures(_steps(awaitable)))
    task = loop.create_task(_with_both(awaitable, loop))
    if isinstance(awaitable, Coroutine):
        # A task that is cancelled before its first turn leaves it as it was, never awaited.
        task.add_done_callback(lambda _: awaitable.close())
    return Deferred.fromFuture(task)


def started(steps: Steps[A] | Coro[A]) -> Deferred[A]:
    """As `Deferred.fromCoroutine`, at a third of the price where nothing is waited for.

    :param steps: waits for Deferreds only.
    """
    # What it sets of its context is its own (PEP 567).
    context = copy_context()
    try:
        waits_for = context.run(steps.send, None)
    except StopIteration as done:
        return succeed(done.value)
    except BaseException:
        return fail()
    return context.run(Deferred.fromCoroutine, resumed(steps, waits_for))


def resumed(steps: Steps[A] | Coro[A], waits_for: object) -> Steps[A]:
    """The rest of what has begun and waits for something."""
    try:
        while True:
            try:
                sent = yield waits_for
            except GeneratorExit:
                # Collected while it waits; `steps` may have been so before it.
                steps.close()
                raise
            except BaseException as thrown:
                waits_for = steps.throw(thrown)
            else:
                waits_for = steps.send(sent)
    except StopIteration as done:
        return cast("A", done.value)


async def _with_both(awaitable: Awaitable[A], loop: asyncio.AbstractEventLoop) -> A:
    return await _translated(_steps(awaitable), loop)


@types.coroutine
def _translated(steps: Steps[A], loop: asyncio.AbstractEventLoop) -> Steps[A]:
    step: Callable[[], object] = lambda: steps.send(None)  # noqa: E731
    while True:
        try:
            waits_for = step()
        except StopIteration as done:
            result: A = done.value
            return result
        try:
            if isinstance(waits_for, Deferred):
                yield from _future_of(waits_for, loop)
                sent = None
            else:
                sent = yield waits_for
        except BaseException as thrown:
            step = _throwing(steps, thrown)
        else:
            step = _sending(steps, sent)


def _future_of(deferred: Deferred[object], loop: asyncio.AbstractEventLoop) -> Steps[None]:
    settled = loop.create_future()

    def tell(result: object) -> object:
        if not settled.done():
            settled.set_result(None)
        # The result stays: the coroutine takes it from the Deferred when it goes on.
        return result

    deferred.addBoth(tell)
    try:
        yield from settled
    except BaseException:
        deferred.cancel()
        deferred.addErrback(lambda _: None)
        raise


def _sending(steps: Steps[object], value: object) -> Callable[[], object]:
    return lambda: steps.send(value)


def _throwing(steps: Steps[object], error: BaseException) -> Callable[[], object]:
    return lambda: steps.throw(error)


def _refusing_futures(steps: Steps[A]) -> Steps[A]:
    step: Callable[[], object] = lambda: steps.send(None)  # noqa: E731
    while True:
        try:
            waits_for = step()
        except StopIteration as done:
            result: A = done.value
            return result
        if not isinstance(waits_for, Deferred):
            # A bare yield is asyncio's sleep(0); anything else is a future of its.
            step = _throwing(steps, NeedsAsyncio(f"it waits for {type(waits_for).__name__}"))
            continue
        try:
            sent = yield waits_for
        except BaseException as thrown:
            step = _throwing(steps, thrown)
        else:
            step = _sending(steps, sent)


def _steps(awaitable: Awaitable[A]) -> Steps[A]:
    # A coroutine has `send` and `throw` itself; anything else gives them on `__await__`.
    if isinstance(awaitable, Coroutine):
        return cast("Steps[A]", awaitable)
    return awaitable.__await__()
