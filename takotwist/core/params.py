"""Typed params from the text of a query, and JSON Schemas that refuse in one sentence.

Query values are strings; the schema's property types say what they stand for.  An
error names the param, or the place in the payload.

Rules: whatever the spelling, equal values come out equal, because a topic is made of
what comes out.  A schema (draft 2020-12) is compiled once, when its definition is
read; a bad schema is the definition's error, never a request's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import attrs
import msgspec

from takotwist.core.json_values import Json, JsonObject
from takotwist.errors import BodyInvalid, DefinitionError, ParamsInvalid

if TYPE_CHECKING:
    import jsonschema_rs


def path_of(parts: list[str | int], root: str) -> str:
    """A place inside a JSON value, as a person writes it: ``data.items[0].text``."""
    return root + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)


@attrs.frozen(slots=True, eq=False)
class Schema:
    """One compiled schema.

    :ivar document: the JSON Schema itself.
    """

    document: JsonObject
    _validator: jsonschema_rs.Draft202012Validator

    @classmethod
    def of(cls, document: Mapping[str, object] | bool, what: str) -> Schema:
        """Compile `document`.

        :param what: what the schema is for, named in the error.
        :raises DefinitionError: when it is no JSON Schema, or refers outside itself.
        """
        if isinstance(document, bool):
            document = {} if document else {"not": {}}
        # Here, because a process without channels, such as a supervisor's, needs none of its 4 MB.
        import jsonschema_rs

        try:
            return cls(document, jsonschema_rs.Draft202012Validator(dict(document)))
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as bad:
            first = str(bad).splitlines()[0]
            raise DefinitionError(f"{what} is no valid JSON Schema: {first}") from None

    def complaints(self, value: object) -> Iterator[tuple[list[str | int], str]]:
        """Each place where `value` does not fit, and why."""
        for error in self._validator.iter_errors(value):
            yield list(error.instance_path), error.message

    def resolve(self, node: object) -> JsonObject:
        """`node`, or what its local ``$ref`` points to; an empty mapping where it is no schema."""
        for _ in range(32):
            if not isinstance(node, Mapping):
                return {}
            reference = node.get("$ref")
            if not isinstance(reference, str) or not reference.startswith("#/"):
                return node
            node = self.document
            for part in reference[2:].split("/"):
                part = part.replace("~1", "/").replace("~0", "~")
                node = node.get(part, {}) if isinstance(node, Mapping) else {}
        return {}


@attrs.frozen(slots=True, eq=False)
class PayloadSchema:
    """The schema of one message type's `data`."""

    schema: Schema

    @classmethod
    def of(cls, document: Mapping[str, object] | bool, type: str) -> PayloadSchema:
        """:raises DefinitionError: when `document` is no JSON Schema."""
        return cls(Schema.of(document, f"the payload schema of message type {type!r}"))

    def check(self, data: bytes) -> None:
        """Refuse a payload that does not fit.

        :param data: one JSON value, encoded.
        :raises BodyInvalid: names the path inside ``data``.
        """
        value = msgspec.json.decode(data)
        for path, message in self.schema.complaints(value):
            raise BodyInvalid(f"{path_of(path, 'data')}: {message}")


_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_MISS = object()


def _integer(text: str) -> object:
    return int(text) if _INTEGER.fullmatch(text) else _MISS


def _number(text: str) -> object:
    if not _NUMBER.fullmatch(text):
        return _MISS
    value = float(text)
    if not math.isfinite(value):
        return _MISS
    # One number, one spelling: "10", "10.0" and "1e1" are the same topic.
    return int(value) if value.is_integer() and abs(value) <= 2**53 else value


def _boolean(text: str) -> object:
    return {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), _MISS)


def _null(text: str) -> object:
    return None if text in ("", "null") else _MISS


_READERS: dict[str, Callable[[str], object]] = {
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "null": _null,
    "string": lambda text: text,
}


@attrs.frozen(slots=True, eq=False)
class Params:
    """The params of one channel.

    :ivar schema: a JSON Schema of type object.
    :ivar names: the params that the schema declares.
    """

    schema: Schema
    names: tuple[str, ...]
    _open: bool

    @classmethod
    def none(cls) -> Params:
        """The params of a channel that has none."""
        return cls.of({"type": "object", "properties": {}, "additionalProperties": False})

    @classmethod
    def of(cls, document: Mapping[str, object]) -> Params:
        """Compile a params schema.

        A query key that the schema does not declare is refused, because a
        misspelt optional param would otherwise quietly lead to another topic.
        A schema that says ``additionalProperties`` or ``patternProperties``
        decides for itself.

        :raises DefinitionError: when it is no schema of an object.
        """
        schema = Schema.of(document, "the params schema")
        root = schema.resolve(schema.document)
        if root.get("type") != "object":
            raise DefinitionError("the params schema must be of type object")
        properties = root.get("properties", {})
        is_open = "patternProperties" in root or root.get("additionalProperties", False) not in (
            False,
            None,
        )
        return cls(schema, tuple(properties), is_open)

    def bind_query(self, query: Mapping[str, Sequence[str]]) -> dict[str, Json]:
        """Validated params of a query string.

        :param query: key -> its values in order, reserved keys already taken out.
        :raises ParamsInvalid: names the param.
        """
        raw: dict[str, Json] = {}
        for name, values in query.items():
            if self._is_array(name):
                raw[name] = list(values)
            elif len(values) == 1:
                raw[name] = values[0]
            else:
                raise ParamsInvalid(f"param {name!r} is given {len(values)} times.")
        return self.bind(raw)

    def bind(self, raw: Mapping[str, object]) -> dict[str, Json]:
        """Validated params of a mapping, whose strings are coerced like a query's.

        :raises ParamsInvalid: names the param.
        """
        bound: dict[str, Json] = {}
        root = self.schema.resolve(self.schema.document)
        properties: JsonObject = root.get("properties", {})
        for name, value in raw.items():
            if name not in properties and not self._open:
                known = ", ".join(self.names) or "none"
                raise ParamsInvalid(f"{name!r} is no param of this channel (its params: {known}).")
            bound[name] = self._coerced(value, properties.get(name, {}))
        for name, declared in properties.items():
            node = self.schema.resolve(declared)
            if name not in bound and "default" in {**node, **declared}:
                bound[name] = {**node, **declared}["default"]
        for path, message in self.schema.complaints(bound):
            place = path_of(path[1:], str(path[0])) if path else "params"
            raise ParamsInvalid(f"{place}: {message}")
        return bound

    def _is_array(self, name: str) -> bool:
        root = self.schema.resolve(self.schema.document)
        return "array" in self._types(root.get("properties", {}).get(name, {}))

    def _types(self, declared: object) -> list[str]:
        node = self.schema.resolve(declared)
        said = node.get("type", [])
        types = [said] if isinstance(said, str) else list(said)
        for union in ("anyOf", "oneOf", "allOf"):
            for branch in node.get(union, ()):
                types += self._types(branch)
        for value in [*node.get("enum", ()), *([node["const"]] if "const" in node else [])]:
            types.append(_type_name(value))
        # A string fits nothing else's text better than itself, so it is tried last.
        return sorted(dict.fromkeys(types), key=lambda name: name == "string")

    def _coerced(self, value: object, declared: object) -> object:
        types = self._types(declared)
        if isinstance(value, list) and "array" in types:
            items = self.schema.resolve(declared).get("items", {})
            return [self._coerced(item, items) for item in value]
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if not isinstance(value, str):
            return value
        for name in types:
            reader = _READERS.get(name)
            read = _MISS if reader is None else reader(value)
            if read is not _MISS:
                return read
        return value


def _type_name(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    return "number" if isinstance(value, float) else "string"
