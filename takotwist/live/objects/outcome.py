"""The outcome of a send, and the declared types of messages and answers.

`Outcome` is awaitable from Deferreds and from asyncio alike.  Rule: nobody has to wait
for it.  One that fails unseen says nothing, because a send on a closed channel is told
by `on_close` already.  Rejected: a Deferred, which logs what nobody looked at, and which
asyncio code cannot await.

`Direction` is one type argument of ``Channel[ClientToServer, ServerToClient]``:
``Callable[[Message], Answer]``, or just the type of the message.  Rule: what comes in is
checked, messages and answers; what goes out is the type checker's business.
"""

from __future__ import annotations

import asyncio
import collections.abc
from collections.abc import Callable, Generator
from functools import lru_cache
from typing import Any, Generic, TypeVar, get_args, get_origin

import attrs
from twisted.internet.defer import Deferred

from takotwist.app.types import Declared, DoesNotFit, declare
from takotwist.live.errors import UsageError, ValidationError
from takotwist.live.values import decode, read_marks

T = TypeVar("T")


class Outcome(Generic[T]):
    """A result that may not be there yet.  ``await`` it, or do not.

    :ivar done: the result or the error is there.
    """

    __slots__ = ("_error", "_result", "_then", "done")

    def __init__(self) -> None:
        self.done = False
        self._result: Any = None
        self._error: Exception | None = None
        self._then: list[Callable[[], None]] = []

    @classmethod
    def of(cls, result: T) -> Outcome[T]:
        """An outcome with a result."""
        outcome: Outcome[T] = cls()
        outcome.resolve(result)
        return outcome

    @classmethod
    def failed(cls, error: Exception) -> Outcome[T]:
        """An outcome with an error."""
        outcome: Outcome[T] = cls()
        outcome.fail(error)
        return outcome

    def resolve(self, result: object) -> None:
        """Set the result.  Only the first of `resolve` and `fail` counts."""
        if not self.done:
            self._result = result
            self._finish()

    def fail(self, error: Exception) -> None:
        """Set the error."""
        if not self.done:
            self._error = error
            self._finish()

    def take(self, other: Outcome[Any], change: Callable[[Any], T]) -> None:
        """Settle as `other`, which is done, has.

        :param change: makes this one's result of the other's.
        """
        if other._error is not None:
            self.fail(other._error)
        else:
            self.resolve(change(other._result))

    def result(self) -> T:
        """The result.  :raises Exception: that it failed with, or it is not there yet."""
        if not self.done:
            raise RuntimeError("the outcome is not there yet: await it")
        if self._error is not None:
            raise self._error
        outcome: T = self._result
        return outcome

    def then(self, call: Callable[[], None]) -> None:
        """Call when it is done; now if it is."""
        if self.done:
            call()
        else:
            self._then.append(call)

    def as_deferred(self) -> Deferred[T]:
        """A Deferred with the same result; its failure is for the caller to handle."""
        deferred: Deferred[T] = Deferred()

        def settle() -> None:
            if self._error is not None:
                deferred.errback(self._error)
            else:
                deferred.callback(self._result)

        self.then(settle)
        return deferred

    def __await__(self) -> Generator[Any, Any, T]:
        if not self.done:
            loop = _loop_of_task()
            if loop is not None:
                future = loop.create_future()
                self._then.append(lambda: None if future.done() else future.set_result(None))
                yield from future
            else:
                waiting: Deferred[None] = Deferred()
                self._then.append(lambda: waiting.callback(None))
                yield waiting
        return self.result()

    def _finish(self) -> None:
        self.done = True
        then, self._then = self._then, []
        for call in then:
            call()


def _loop_of_task() -> asyncio.AbstractEventLoop | None:
    """The loop of the asyncio Task that is running, if one is."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    return loop if asyncio.current_task(loop) is not None else None


def _read(declared: Declared | None, data: bytes, values: bytes) -> object:
    """:raises ValidationError: names the path."""
    try:
        return decode(data, read_marks(values), declared)
    except DoesNotFit as misfit:
        raise ValidationError(f"data{misfit.path}: {misfit.reason}") from None
    except (ValueError, RecursionError) as bad:
        raise ValidationError(f"data: {bad}") from None


@attrs.frozen(slots=True)
class Direction:
    """Types of one direction, of messages and of their answers.  `None` is anything."""

    message: Declared | None = None
    answer: Declared | None = None

    def read_message(self, data: bytes, values: bytes = b"") -> object:
        """:raises ValidationError: names the path."""
        return _read(self.message, data, values)

    def read_answer(self, data: bytes, values: bytes = b"") -> object:
        """:raises ValidationError: names the path."""
        return _read(self.answer, data, values)


ANYTHING = Direction()


def direction_of(said: object) -> Direction:
    """The direction that one type argument declares.

    :raises UsageError: JSON cannot carry it.
    """
    try:
        return _cached(said)
    except TypeError as unhashable:
        if isinstance(unhashable, UsageError):
            raise
        return _direction(said)


def types_of(said: object) -> tuple[Any, Any]:
    """Message and answer of one type argument.

    :raises UsageError: it takes more than a message.
    """
    if get_origin(said) is not collections.abc.Callable:
        return said, Any
    taken, answer = get_args(said)
    if taken is not Ellipsis and len(taken) != 1:
        raise UsageError(f"{said} must take one argument, the message")
    return Any if taken is Ellipsis else taken[0], answer


def _direction(said: object) -> Direction:
    message, answer = types_of(said)
    return Direction(_declared(message), _declared(answer))


_cached = lru_cache(maxsize=256)(_direction)


def _declared(kind: object) -> Declared | None:
    if kind is Any or isinstance(kind, TypeVar):
        return None
    try:
        return declare(kind, f"message type {kind!r}")
    except Exception as unusable:
        raise UsageError(str(unusable)) from None
