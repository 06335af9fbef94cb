"""The types of functions, read from their annotations, for ``tako types``.

``-> BroadcastChannel[Message]``, ``-> ClientEnd[ClientToServer, ServerToClient]``, dates
and bytes, and each of them inside lists, dicts, unions, TypedDicts, dataclasses and
Structs.  Rule: nothing is guessed; a result without an annotation is anything.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import inspect
import types
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import (
    Annotated,
    Any,
    NotRequired,
    Required,
    TypedDict,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import attrs
import msgspec
from twisted.internet.defer import Deferred

from takotwist.app.types import PydanticType, declare
from takotwist.codecs.type_shapes import (
    BYTES,
    DATE,
    ELSEWHERE,
    Document,
    FunctionTypes,
    LiveTypes,
    MessageTypes,
    ParameterTypes,
)
from takotwist.core.json_values import Json
from takotwist.errors import DefinitionError
from takotwist.live.functions.function import Function
from takotwist.live.objects.broadcast_channel import BroadcastChannel
from takotwist.live.objects.channel import ClientEnd
from takotwist.live.objects.outcome import types_of

_CONTAINERS = frozenset(
    [
        list,
        dict,
        tuple,
        set,
        frozenset,
        collections.abc.Mapping,
        collections.abc.Sequence,
    ]
)

#: How pydantic's schemas say what is carried as it is.
_FORMATS = {"date-time": DATE, "binary": BYTES}


class _Mark:
    """Stands for what is no JSON where msgspec makes a schema."""

    #: A live object's number, or the kind of a value.
    number: str


class _Date(_Mark):
    number = DATE


class _Bytes(_Mark):
    number = BYTES


def function_types(functions: Iterable[Function[..., object]]) -> list[FunctionTypes]:
    """The types of parameters and results of `functions`.

    :raises DefinitionError: a result has no type in JSON; names the function.
    """
    return [_types_of(one) for one in functions]


def _types_of(function: Function[..., object]) -> FunctionTypes:
    reader = _Reader()
    hints = get_type_hints(function.wrapped, include_extras=True)
    result = hints.get("return", Any)
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
            ParameterTypes(one.name, _document(hints.get(one.name, Any)), one.required, one.by_name)
            for one in function.parameters
        ],
        document,
        reader.live,
    )


def _awaited(kind: object) -> object:
    """The result of what a function without ``async`` returns to be waited for."""
    origin = get_origin(kind)
    if origin in (Deferred, collections.abc.Awaitable, collections.abc.Coroutine):
        return get_args(kind)[-1]
    return kind


def _document(kind: object) -> Document:
    """The schema of a parameter or a message."""
    return None if isinstance(kind, TypeVar) else _Reader().document(kind)


class _Reader:
    """One type: the same, with marks where there are live objects, dates and bytes."""

    def __init__(self) -> None:
        self.live: list[LiveTypes] = []
        self._marks = 0
        self._within: list[object] = []

    def document(self, kind: object) -> Document:
        """Its schema."""
        if kind is Any:
            return None
        marked = self._marked(kind)
        if not self._marks:
            declared = declare(kind, "it")
            # Its models are not looked into here; their schemas say what they are.
            is_model = isinstance(declared, PydanticType)
            document: Document = _with_values(declared.document) if is_model else declared.document
            return document
        found = msgspec.json.schema(marked, schema_hook=_said_elsewhere)
        # As `declare` has it: the type itself first, not a reference to it.
        root = found.get("$defs", {}).get(str(found.get("$ref", "")).removeprefix("#/$defs/"), {})
        return {**root, "$defs": found["$defs"]} if root else found

    def _marked(self, kind: object) -> Any:
        origin, arguments = get_origin(kind), get_args(kind)
        if kind is datetime or kind in (bytes, bytearray, memoryview):
            self._marks += 1
            return _Date if kind is datetime else _Bytes
        if (origin or kind) is ClientEnd:
            return self._mark("channel", arguments or (Any, Any))
        if (origin or kind) is BroadcastChannel:
            return self._mark("broadcast", arguments or (Any,))
        if origin in (Union, types.UnionType):
            return Union[tuple(map(self._marked, arguments))]  # noqa: UP007
        if origin is Annotated:
            marked = self._marked(arguments[0])
            is_value = marked in (_Date, _Bytes)
            return marked if is_value else Annotated[(marked, *arguments[1:])]
        if origin in _CONTAINERS:
            return origin[tuple(map(self._marked, arguments))]
        fields = _fields(kind)
        return kind if fields is None else self._record(kind, fields)

    def _record(self, kind: Any, fields: Mapping[str, Any]) -> Any:
        if kind in self._within:
            # It refers to itself, and keeps to it.
            return kind
        before = self._marks
        self._within.append(kind)
        marked = {name: self._field(one) for name, one in fields.items()}
        self._within.pop()
        if self._marks == before:
            return kind
        if issubclass(kind, msgspec.Struct):
            return _same_struct(kind, marked)
        return TypedDict(kind.__name__, marked)  # type: ignore[operator]

    def _field(self, kind: Any) -> Any:
        if get_origin(kind) in (NotRequired, Required):
            return get_origin(kind)[self._marked(get_args(kind)[0])]
        return self._marked(kind)

    def _mark(self, kind: Any, arguments: tuple[Any, ...]) -> type[_Mark]:
        self._marks += 1
        self.live.append(LiveTypes(kind, [_messages(one) for one in arguments]))
        return type("Mark", (_Mark,), {"number": str(len(self.live) - 1)})


def _said_elsewhere(mark: type) -> dict[str, Json]:
    if not issubclass(mark, _Mark):
        raise TypeError(f"JSON has no form for {mark.__name__!r}")
    return {ELSEWHERE: mark.number}


def _messages(said: object) -> MessageTypes:
    message, answer = types_of(said)
    return MessageTypes(_document(message), _document(answer))


def _same_struct(kind: type[msgspec.Struct], marked: Mapping[str, object]) -> type[msgspec.Struct]:
    """A Struct with the same schema but for the types of its fields.

    A record of its members would lose its tag, and which of them may be left out.
    """
    config = kind.__struct_config__
    fields = []
    for one in msgspec.structs.fields(kind):
        default = msgspec.field(name=one.encode_name) if one.required else None
        default = default or msgspec.field(name=one.encode_name, default=None)
        fields.append((one.name, marked[one.encode_name], default))
    return msgspec.defstruct(
        kind.__name__,
        fields,
        kw_only=True,
        tag=config.tag,
        tag_field=config.tag_field,
        array_like=config.array_like,
        forbid_unknown_fields=config.forbid_unknown_fields,
    )


def _with_values(node: object) -> Json:
    """A schema of pydantic, with marks for the dates and bytes in it."""
    if isinstance(node, list):
        return [_with_values(one) for one in node]
    if not isinstance(node, Mapping):
        return node
    if node.get("type") == "string" and node.get("format") in _FORMATS:
        return {ELSEWHERE: _FORMATS[node["format"]]}
    return {key: _with_values(one) for key, one in node.items()}


def _fields(kind: object) -> Mapping[str, object] | None:
    """The members of a record by their names on the wire, or `None`."""
    if not isinstance(kind, type):
        return None
    if is_typeddict(kind):
        hints = get_type_hints(kind, include_extras=True)
        optional: frozenset[str] = vars(kind)["__optional_keys__"]
        return {name: _optional(one) if name in optional else one for name, one in hints.items()}
    if issubclass(kind, msgspec.Struct):
        return {one.encode_name: one.type for one in msgspec.structs.fields(kind)}
    if dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind, include_extras=True)
        return {
            one.name: hints[one.name]
            if one.default is one.default_factory is dataclasses.MISSING
            else _optional(hints[one.name])
            for one in dataclasses.fields(kind)
        }
    if attrs.has(kind):
        hints = get_type_hints(kind, include_extras=True)
        return {
            one.name: hints[one.name]
            if one.default is attrs.NOTHING
            else _optional(hints[one.name])
            for one in attrs.fields(kind)
        }
    return None


def _optional(kind: object) -> object:
    return kind if get_origin(kind) is NotRequired else NotRequired[kind]
