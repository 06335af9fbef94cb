"""A JSON Schema (draft 2020-12) that says no in one sentence which names the place.

Rule: a schema is compiled once, when its definition is read; a bad schema is
the definition's error, never a request's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import jsonschema_rs
import msgspec

from takotwist.errors import BodyInvalid, DefinitionError


def path_of(parts: list[str | int], root: str) -> str:
    """A place inside a JSON value, as a person writes it: ``data.items[0].text``."""
    return root + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)


@attrs.frozen(slots=True, eq=False)
class Schema:
    """One compiled schema.

    :ivar document: the JSON Schema itself.
    """

    document: Mapping[str, Any]
    _validator: jsonschema_rs.Draft202012Validator

    @classmethod
    def of(cls, document: Mapping[str, Any] | bool, what: str) -> Schema:
        """Compile `document`.

        :param what: what the schema is for, named in the error.
        :raises DefinitionError: when it is no JSON Schema, or refers outside itself.
        """
        if isinstance(document, bool):
            document = {} if document else {"not": {}}
        try:
            return cls(document, jsonschema_rs.Draft202012Validator(dict(document)))
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as bad:
            first = str(bad).splitlines()[0]
            raise DefinitionError(f"{what} is no valid JSON Schema: {first}") from None

    def complaints(self, value: Any) -> Iterator[tuple[list[str | int], str]]:
        """Each place where `value` does not fit, and why."""
        for error in self._validator.iter_errors(value):
            yield list(error.instance_path), error.message

    def resolve(self, node: Any) -> Mapping[str, Any]:
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
    def of(cls, document: Mapping[str, Any] | bool, type: str) -> PayloadSchema:
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
