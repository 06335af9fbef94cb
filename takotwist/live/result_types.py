"""The types of functions, read from their annotations, for ``tako types``.

``-> BroadcastChannel[Message]``, ``-> ClientEnd[ClientToServer, ServerToClient]``, and
either inside lists, dicts, unions, TypedDicts, dataclasses and Structs.  Rule: nothing
is guessed; a result without an annotation is anything.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import inspect
import types
from collections.abc import Iterable, Mapping
from typing import (
    Annotated,
    Any,
    NotRequired,
    Required,
    TypedDict,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import msgspec
from twisted.internet.defer import Deferred

from takotwist.app.declared import Declared, declare
from takotwist.codecs.function_types import (
    Document,
    FunctionTypes,
    LiveTypes,
    MessageTypes,
    ParameterTypes,
)
from takotwist.codecs.shapes import ELSEWHERE
from takotwist.errors import DefinitionError
from takotwist.live.broadcast_channel import BroadcastChannel
from takotwist.live.channel import ClientEnd
from takotwist.live.function import Function
from takotwist.live.message_types import direction_of


class _Mark:
    """Stands for a live object where msgspec makes a schema."""

    #: Of the live object, as a name.
    number: str


def function_types(functions: Iterable[Function[..., Any]]) -> list[FunctionTypes]:
    """What `functions` take and give.

    :raises DefinitionError: a result has no type in JSON; names the function.
    """
    return [_types_of(one) for one in functions]


def _types_of(function: Function[..., Any]) -> FunctionTypes:
    reader = _Reader()
    result = get_type_hints(function.wrapped, include_extras=True).get("return", Any)
    try:
        document = reader.document(_awaited(result))
    except Exception as unusable:
        reason = getattr(unusable, "reason", unusable)
        raise DefinitionError(
            f"the result of {function.name!r} has no type in JSON: {reason}; Any leaves it open",
            place=function.place,
        ) from None
    said = inspect.getdoc(function.wrapped)
    return FunctionTypes(
        function.name,
        said.partition("\n\n")[0] if said else None,
        [
            ParameterTypes(one.name, _document(one.declared), one.required, one.by_name)
            for one in function.parameters
        ],
        document,
        reader.live,
    )


def _awaited(kind: Any) -> Any:
    """The result of what a function without ``async`` returns to be waited for."""
    origin = get_origin(kind)
    if origin in (Deferred, collections.abc.Awaitable, collections.abc.Coroutine):
        return get_args(kind)[-1]
    return kind


def _document(declared: Declared | None) -> Document:
    return None if declared is None else declared.document


class _Reader:
    """One result: the same type, with marks where there are live objects."""

    def __init__(self) -> None:
        self.live: list[LiveTypes] = []
        self._within: list[Any] = []

    def document(self, kind: Any) -> Document:
        """The schema of a result."""
        if kind is Any:
            return None
        marked = self._marked(kind)
        if not self.live:
            return declare(kind, "it").document
        found = msgspec.json.schema(marked, schema_hook=_said_elsewhere)
        # As `declare` has it: the type itself first, not a reference to it.
        root = found.get("$defs", {}).get(str(found.get("$ref", "")).removeprefix("#/$defs/"), {})
        return {**root, "$defs": found["$defs"]} if root else found

    def _marked(self, kind: Any) -> Any:
        origin, arguments = get_origin(kind), get_args(kind)
        if (origin or kind) is ClientEnd:
            return self._mark("channel", arguments or (Any, Any))
        if (origin or kind) is BroadcastChannel:
            return self._mark("broadcast", arguments or (Any,))
        if origin in (Union, types.UnionType):
            return Union[tuple(map(self._marked, arguments))]  # noqa: UP007
        if origin is Annotated:
            return Annotated[(self._marked(arguments[0]), *arguments[1:])]
        if origin in (list, dict, tuple, collections.abc.Mapping, collections.abc.Sequence):
            return origin[tuple(map(self._marked, arguments))]
        fields = _fields(kind)
        return kind if fields is None else self._record(kind, fields)

    def _record(self, kind: Any, fields: Mapping[str, Any]) -> Any:
        if kind in self._within:
            # It refers to itself, and keeps to it.
            return kind
        before = len(self.live)
        self._within.append(kind)
        marked = {name: self._field(one) for name, one in fields.items()}
        self._within.pop()
        if len(self.live) == before:
            return kind
        return TypedDict(kind.__name__, marked)  # type: ignore[operator]

    def _field(self, kind: Any) -> Any:
        if get_origin(kind) in (NotRequired, Required):
            return get_origin(kind)[self._marked(get_args(kind)[0])]
        return self._marked(kind)

    def _mark(self, kind: Any, arguments: tuple[Any, ...]) -> type[_Mark]:
        self.live.append(LiveTypes(kind, [_messages(one) for one in arguments]))
        return type("Mark", (_Mark,), {"number": str(len(self.live) - 1)})


def _said_elsewhere(mark: type) -> dict[str, Any]:
    if not issubclass(mark, _Mark):
        raise TypeError(f"JSON has no form for {mark.__name__!r}")
    return {ELSEWHERE: mark.number}


def _messages(said: Any) -> MessageTypes:
    direction = direction_of(said)
    return MessageTypes(_document(direction.message), _document(direction.answer))


def _fields(kind: Any) -> Mapping[str, Any] | None:
    """The members of a record by their names on the wire, or `None`."""
    if not isinstance(kind, type):
        return None
    if is_typeddict(kind):
        hints = get_type_hints(kind, include_extras=True)
        optional = kind.__optional_keys__  # type: ignore[attr-defined]
        return {name: _optional(one) if name in optional else one for name, one in hints.items()}
    if issubclass(kind, msgspec.Struct):
        return {one.encode_name: one.type for one in msgspec.structs.fields(kind)}
    if dataclasses.is_dataclass(kind):
        return get_type_hints(kind, include_extras=True)
    return None


def _optional(kind: Any) -> Any:
    return kind if get_origin(kind) is NotRequired else NotRequired[kind]
