"""Shapes of JSON Schemas, and the types of functions, for those who print types.

A shape keeps what a type can say and drops what it cannot: lengths, patterns, formats.
Functions' types are JSON Schemas too.

Rules: a shape is never narrower than its schema, so a generated type refuses nothing
that the server would take.  What JSON cannot carry stands in a schema as a mark: a live
object by a number that says which one it is, a date and bytes by their names here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

import attrs

from takotwist.core.json_values import JsonObject


@attrs.frozen
class Plain:
    """``string``, ``number``, ``integer``, ``boolean``, ``null``, ``unknown`` or ``never``."""

    name: str


@attrs.frozen
class Constant:
    """Exactly this string, number, boolean or `None`."""

    value: object


@attrs.frozen
class OneOf:
    """Any of these."""

    shapes: tuple[Shape, ...]


@attrs.frozen
class AllOf:
    """All of these at once."""

    shapes: tuple[Shape, ...]


@attrs.frozen
class Many:
    """A list."""

    item: Shape


@attrs.frozen
class Field:
    """A member of a `Record`."""

    name: str
    shape: Shape
    required: bool
    description: str | None = None


@attrs.frozen
class Record:
    """An object.

    :ivar extra: the shape of members that have no field, or `None` where there are none
        to speak of.
    """

    fields: tuple[Field, ...]
    extra: Shape | None = None


@attrs.frozen
class Named:
    """A shape that stands in `Shapes.named`; empty is the root.

    What a schema has at `ELSEWHERE` is named by whoever prints it.
    """

    name: str


Shape = Plain | Constant | OneOf | AllOf | Many | Record | Named

#: A key of a schema that is none: the name of something that is no JSON.
ELSEWHERE = "x-takotwist-elsewhere"

UNKNOWN, NEVER = Plain("unknown"), Plain("never")

_PLAIN = frozenset({"string", "number", "integer", "boolean", "null"})


@attrs.frozen
class Shapes:
    """The shapes of one schema.

    :ivar root: its own shape.
    :ivar named: those that it refers to, by name.
    """

    root: Shape
    named: Mapping[str, Shape]

    @classmethod
    def of(cls, document: Mapping[str, object]) -> Shapes:
        """The shapes of a schema that is valid (draft 2020-12)."""
        reader = _Reader(document)
        root = reader.shape(document)
        return cls(root, {name: shape for name, shape in reader.named.items() if shape})


class _Reader:
    def __init__(self, document: Mapping[str, object]) -> None:
        self._document = document
        self._names = Names()
        #: The name of each reference: of two that read alike, such as ``a-b`` and ``a.b``,
        #: one name for both would give the one the shape of the other.
        self._name_of: dict[str, str] = {}
        self.named: dict[str, Shape | None] = {}

    def shape(self, node: object) -> Shape:
        if node is False or node == {"not": {}}:
            return NEVER
        if not isinstance(node, Mapping):
            return UNKNOWN
        if ELSEWHERE in node:
            return Named(node[ELSEWHERE])
        parts: list[Shape] = []
        if "$ref" in node:
            parts.append(self._reference(str(node["$ref"])))
        if "const" in node:
            parts.append(_constant(node["const"]))
        elif "enum" in node:
            parts.append(_one_of([_constant(value) for value in node["enum"]]))
        elif "type" in node or "properties" in node:
            said = node.get("type", "object")
            names = [said] if isinstance(said, str) else list(said)
            parts.append(_one_of([self._typed(name, node) for name in names]))
        for union in ("anyOf", "oneOf"):
            if union in node:
                parts.append(_one_of([self.shape(branch) for branch in node[union]]))
        parts += [self.shape(branch) for branch in node.get("allOf", ())]
        telling = [part for part in parts if part != UNKNOWN]
        if len(telling) > 1:
            return AllOf(tuple(dict.fromkeys(telling)))
        return telling[0] if telling else UNKNOWN

    def _typed(self, name: str, node: JsonObject) -> Shape:
        if name == "object":
            return self._record(node)
        if name == "array":
            fixed = [self.shape(item) for item in node.get("prefixItems", ())]
            rest = node.get("items", True)
            every = fixed if rest is False else [*fixed, self.shape(rest)]
            return Many(_one_of(every))
        return Plain(name) if name in _PLAIN else UNKNOWN

    def _record(self, node: JsonObject) -> Record:
        required = set(node.get("required", ()))
        fields = []
        for name, value in node.get("properties", {}).items():
            said = value.get("description") if isinstance(value, Mapping) else None
            fields.append(Field(name, self.shape(value), name in required, said))
        if "patternProperties" in node:
            return Record(tuple(fields), UNKNOWN)
        more = node.get("additionalProperties", None if fields else True)
        return Record(tuple(fields), None if more in (None, False) else self.shape(more))

    def _reference(self, reference: str) -> Shape:
        if reference == "#":
            return Named("")
        if not reference.startswith("#/"):
            return UNKNOWN
        node: object = self._document
        for part in reference[2:].split("/"):
            part = part.replace("~1", "/").replace("~0", "~")
            node = node.get(part) if isinstance(node, Mapping) else None
        name = self._name_of.get(reference)
        if name is None:
            last = reference.rpartition("/")[2].replace("~1", "/").replace("~0", "~")
            # Set before it is read: a schema may refer to itself.
            name = self._name_of[reference] = self._names.take(pascal(last))
            self.named[name] = None
            self.named[name] = self.shape(node)
        return Named(name)


def _constant(value: object) -> Shape:
    return UNKNOWN if isinstance(value, Mapping | list) else Constant(value)


def _one_of(shapes: list[Shape]) -> Shape:
    distinct = tuple(dict.fromkeys(shapes))
    if UNKNOWN in distinct:
        return UNKNOWN
    return distinct[0] if len(distinct) == 1 else OneOf(distinct) if distinct else NEVER


def pascal(text: str) -> str:
    """`text` as a type's name: ``room-updates`` is ``RoomUpdates``."""
    words = [word for word in re.split(r"[^A-Za-z0-9]+", text) if word]
    name = "".join(word[0].upper() + word[1:] for word in words)
    return name if name[:1].isalpha() else f"T{name}"


class Names:
    """Gives every declaration a name of its own: ``a-b`` and ``a.b`` are both ``AB``.

    :param taken: names that are used otherwise.
    """

    def __init__(self, *taken: str) -> None:
        self._taken = set(taken)

    def take(self, wanted: str) -> str:
        """`wanted`, with a number where it is taken."""
        number, free = 2, wanted
        while free in self._taken:
            free, number = f"{wanted}{number}", number + 1
        self._taken.add(free)
        return free

    def of(self, root: str, shapes: Shapes) -> dict[str, str]:
        """Names for a schema: its root's is `root`, those that it refers to begin with it."""
        return {"": root, **{inner: self.take(f"{root}{inner}") for inner in shapes.named}}


#: What is carried beside JSON (protocol, live objects, section 2).
DATE, BYTES = "date", "bytes"

#: A JSON Schema; `None` is anything.
Document = JsonObject | None


@attrs.frozen
class MessageTypes:
    """One direction of a live object.

    :ivar answer: what its listeners answer.
    """

    message: Document
    answer: Document = None


@attrs.frozen
class LiveTypes:
    """A live object in a result.

    :ivar directions: of a channel, to the server and to the client; of a broadcast the one.
    """

    kind: Literal["channel", "broadcast"]
    directions: Sequence[MessageTypes]


@attrs.frozen
class ParameterTypes:
    """One parameter.

    :ivar by_name: whether it can be given by name only.
    """

    name: str
    document: Document
    required: bool
    by_name: bool


@attrs.frozen
class FunctionTypes:
    """One function that pages may call.

    :ivar name: on the wire.
    :ivar description: what its author says about it.
    :ivar result: `None` is anything, live objects included.
    :ivar live: the live objects of `result`, by the numbers of their marks.
    """

    name: str
    description: str | None
    parameters: Sequence[ParameterTypes]
    result: Document
    live: Sequence[LiveTypes]
