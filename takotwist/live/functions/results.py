"""Results of functions: checked against the annotation, encoded, live objects taken out.

Rules: a live object's place is a path and not a mark inside the data, so nothing that a
function returns can be taken for a live object.  A result is checked as JSON will carry
it, with live objects standing where they were; a mismatch is a bug of the app: the
caller is told nothing but that the function failed, the log names the function and the
field.
"""

from __future__ import annotations

import collections.abc
from collections.abc import Mapping
from datetime import datetime
from typing import Any, get_args, get_origin, get_type_hints
from uuid import UUID, uuid4

import attrs
import msgspec
from twisted.internet.defer import Deferred

from takotwist.app.types import DoesNotFit, declare, to_json
from takotwist.errors import DefinitionError
from takotwist.live.errors import UsageError
from takotwist.live.objects.broadcast_channel import BroadcastChannel
from takotwist.live.objects.channel import Channel, ClientEnd
from takotwist.live.objects.live_object import LiveObject
from takotwist.live.values import Encoded, at_its_place, dump_model, marked, marks_json

#: Annotations of what a function without ``async`` returns to be waited for.
_AWAITED = (Deferred, collections.abc.Awaitable, collections.abc.Coroutine)


class WrongResult(Exception):
    """A result is not what was declared; names the field and the reason."""


@attrs.frozen(slots=True)
class Returned:
    """A return annotation, with the check of results against it."""

    _kind: object

    @classmethod
    def of(cls, wrapped: collections.abc.Callable[..., object]) -> Returned | None:
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

    def check(self, plain: object, objects: Mapping[UUID, object]) -> None:
        """Check a result.

        :param plain: mappings, lists, texts and so on, and marks of live objects.
        :param objects: by their marks.
        :raises WrongResult: it does not fit.
        """

        def read(kind: object, value: object) -> object:
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


def _read(kind: object, value: object) -> object:
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


def _has_mark(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_has_mark, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_has_mark, value))
    return isinstance(value, UUID)


#: Types that stay as they are until their place is known: marks of live objects, dates, bytes.
CARRIED = (UUID, datetime, bytes, bytearray, memoryview)


@attrs.frozen(slots=True)
class Found:
    """A live object in a result.

    :ivar path: keys and indices from the root.
    """

    path: tuple[str | int, ...]
    one: LiveObject


def take_apart(result: object, returned: Returned | None = None) -> tuple[Encoded, list[Found]]:
    """Encode a result, with `null` where live objects were.

    :param returned: what it is to be.
    :raises TypeError: :raises ValueError: JSON has no form for something in it.
    :raises UsageError: a channel is in it and not its `client`.
    :raises WrongResult: it is something else.
    """
    # A mark is no text, or it could stand where a text is declared.
    objects: dict[UUID, object] = {}

    def hook(value: object) -> object:
        if isinstance(value, ClientEnd | BroadcastChannel):
            mark = uuid4()
            objects[mark] = value
            return mark
        if isinstance(value, Channel):
            raise UsageError("return channel.client, the client's end, and not the channel")
        # A live object in a model is still one then.
        return dump_model(value)

    if isinstance(result, ClientEnd | LiveObject):
        result = hook(result)
    try:
        plain = msgspec.to_builtins(result, enc_hook=hook, str_keys=True, builtin_types=CARRIED)
    except UsageError:
        raise
    except (TypeError, ValueError, RecursionError) as unusable:
        raise at_its_place(result, "result", unusable, hook) from None
    if returned is not None:
        returned.check(plain, objects)
    found: list[Found] = []
    if objects:
        plain = _without(plain, objects, (), found)
    plain, marks = marked(plain, "result")
    return Encoded(msgspec.json.encode(plain), marks_json(marks)), found


def _without(
    value: object,
    objects: Mapping[UUID, Any],
    path: tuple[str | int, ...],
    found: list[Found],
) -> object:
    if isinstance(value, UUID):
        said = objects.get(value)
        if said is None:
            return value
        one = said.channel if isinstance(said, ClientEnd) else said
        if any(other.one is one for other in found):
            raise UsageError(f"{one!r} stands twice in the result; one client has one end")
        found.append(Found(path, one))
        return None
    if isinstance(value, dict):
        return {key: _without(inner, objects, (*path, key), found) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [
            _without(inner, objects, (*path, index), found) for index, inner in enumerate(value)
        ]
    return value


def answer_json(result: Encoded, found: list[Found]) -> bytes:
    """The body of an answer (protocol, live objects, section 2)."""
    body: dict[str, object] = {"result": msgspec.Raw(result.data)}
    if result.values:
        body["values"] = msgspec.Raw(result.values)
    if found:
        body["live"] = [
            {"path": list(one.path), "id": one.one.id, "kind": one.one.kind, "ack": one.one.ack}
            | ({"durable": True} if one.one.durable else {})
            | ({"overflow": one.one.overflows} if one.one.overflows != "end" else {})
            for one in found
        ]
    return msgspec.json.encode(body)
