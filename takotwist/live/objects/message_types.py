"""The types of a live object's messages, from ``Channel[ClientToServer, ServerToClient]``.

Each is ``Callable[[Message], Answer]``, or just the type of the message.  Rule:
what comes in is checked, messages and answers; what goes out is the type
checker's business.
"""

from __future__ import annotations

import collections.abc
from functools import lru_cache
from typing import Any, TypeVar, get_args, get_origin

import attrs

from takotwist.app.types import Declared, DoesNotFit, declare
from takotwist.live.errors import UsageError, ValidationError
from takotwist.live.values import decode, read_marks


def _read(declared: Declared | None, data: bytes, values: bytes) -> Any:
    """:raises ValidationError: names the path."""
    try:
        return decode(data, read_marks(values), declared)
    except DoesNotFit as misfit:
        raise ValidationError(f"data{misfit.path}: {misfit.reason}") from None
    except (ValueError, RecursionError) as bad:
        raise ValidationError(f"data: {bad}") from None


@attrs.frozen(slots=True)
class Direction:
    """One direction: what is said and what is answered.  `None` is anything."""

    message: Declared | None = None
    answer: Declared | None = None

    def read_message(self, data: bytes, values: bytes = b"") -> Any:
        """:raises ValidationError: names the path."""
        return _read(self.message, data, values)

    def read_answer(self, data: bytes, values: bytes = b"") -> Any:
        """:raises ValidationError: names the path."""
        return _read(self.answer, data, values)


ANYTHING = Direction()


def direction_of(said: Any) -> Direction:
    """Understand one type argument.

    :raises UsageError: JSON cannot carry it.
    """
    try:
        return _cached(said)
    except TypeError as unhashable:
        if isinstance(unhashable, UsageError):
            raise
        return _direction(said)


def types_of(said: Any) -> tuple[Any, Any]:
    """Message and answer of one type argument.

    :raises UsageError: it takes more than a message.
    """
    if get_origin(said) is not collections.abc.Callable:
        return said, Any
    taken, answer = get_args(said)
    if taken is not Ellipsis and len(taken) != 1:
        raise UsageError(f"{said} must take one argument, the message")
    return Any if taken is Ellipsis else taken[0], answer


def _direction(said: Any) -> Direction:
    message, answer = types_of(said)
    return Direction(_declared(message), _declared(answer))


_cached = lru_cache(maxsize=256)(_direction)


def _declared(kind: Any) -> Declared | None:
    if kind is Any or isinstance(kind, TypeVar):
        return None
    try:
        return declare(kind, f"message type {kind!r}")
    except Exception as unusable:
        raise UsageError(str(unusable)) from None
