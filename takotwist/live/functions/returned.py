"""Whether what a function returned is what its annotation says.

A mismatch is a bug of the app: the caller is told nothing but that the function
failed, the log names the function and the field.  Rule: checked as JSON will
carry it, with live objects standing where they were.
"""

from __future__ import annotations

import collections.abc
from collections.abc import Mapping
from typing import Any, get_args, get_origin, get_type_hints
from uuid import UUID

import attrs
import msgspec
from twisted.internet.defer import Deferred

from takotwist.app.types import DoesNotFit, declare, to_json
from takotwist.errors import DefinitionError

#: Annotations of what a function without ``async`` returns to be waited for.
_AWAITED = (Deferred, collections.abc.Awaitable, collections.abc.Coroutine)


class WrongResult(Exception):
    """A result is not what was declared; says where and why."""


@attrs.frozen(slots=True)
class Returned:
    """One return annotation."""

    _kind: Any

    @classmethod
    def of(cls, wrapped: collections.abc.Callable[..., Any]) -> Returned | None:
        """`None` where there is no annotation, or none that could be checked."""
        kind = get_type_hints(wrapped, include_extras=True).get("return", Any)
        if get_origin(kind) in _AWAITED:
            kind = get_args(kind)[-1]
        if kind is Any:
            return None
        try:
            msgspec.json.Decoder(kind)
        except TypeError:
            # Such as a live object or something else: nobody but msgspec could tell them apart.
            return None
        return cls(kind)

    def check(self, plain: Any, objects: Mapping[UUID, Any]) -> None:
        """Check a result.

        :param plain: mappings, lists, texts and so on, and marks of live objects.
        :param objects: by their marks.
        :raises WrongResult: it does not fit.
        """

        def read(kind: Any, value: Any) -> Any:
            if isinstance(value, UUID) and value in objects:
                return objects[value]
            if kind is object:
                return value
            return _read(kind, value)

        try:
            msgspec.convert(plain, self._kind, dec_hook=read, str_keys=True)
        except msgspec.ValidationError as misfit:
            reason, _, path = str(misfit).partition(" - at `$")
            raise WrongResult(f"result{path.rstrip('`')}: {reason}") from None


def _read(kind: Any, value: Any) -> Any:
    """A value of a type that msgspec does not know: a model of pydantic."""
    construct = getattr(kind, "model_construct", None)
    if callable(construct) and _has_mark(value):
        # Only the app's model itself could tell, and it was one before it was JSON.
        return construct()
    try:
        return declare(kind, "it").read(to_json(value))
    except DoesNotFit as misfit:
        raise ValueError(str(misfit)) from None
    except DefinitionError:
        name = getattr(get_origin(kind) or kind, "__name__", kind)
        raise ValueError(f"Expected `{name}`, got `{type(value).__name__}`") from None


def _has_mark(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_mark, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_has_mark, value))
    return isinstance(value, UUID)
