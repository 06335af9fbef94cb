"""The payloads of a channel's messages: their types, read and written.

Rule: data is checked against what was declared wherever it comes in and goes out, and an error
names the message type and the path inside ``data``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs
import msgspec

from takotwist.app.types import Declared, DoesNotFit, declare, to_json
from takotwist.codecs.plain_json import ENCODING_ERRORS, failed_in, fault_in
from takotwist.core.params import PayloadSchema
from takotwist.core.topic import MAX_TYPE_LENGTH, RESERVED_TYPE_PREFIX
from takotwist.errors import BodyInvalid, DefinitionError, TakoError


def check_type(type: str) -> str:
    """A message type that may be used (protocol, section 2).

    :raises DefinitionError: names the type.
    """
    if not isinstance(type, str) or not 1 <= len(type) <= MAX_TYPE_LENGTH:
        raise DefinitionError(f"message type {type!r} must be 1 to {MAX_TYPE_LENGTH} characters")
    if type.startswith(RESERVED_TYPE_PREFIX):
        raise DefinitionError(f"message type {type!r}: the prefix 'tako.' belongs to the server")
    return type


@attrs.define(slots=True, eq=False)
class Payloads:
    """The payloads that a channel declares.

    :ivar channel: its name, for people.
    :ivar schemas: by message type.  None: any type, any payload.
    """

    channel: str
    schemas: dict[str, PayloadSchema] = attrs.field(factory=dict, init=False)
    _declared: dict[str, Declared] = attrs.field(factory=dict, init=False)
    #: The message types of each class; a JSON Schema has none.
    _types: dict[type, list[str]] = attrs.field(factory=dict, init=False)

    @classmethod
    def of(cls, channel: str, messages: Mapping[str, object]) -> Payloads:
        """:raises DefinitionError: names the message type."""
        payloads = cls(channel)
        for name, kind in messages.items():
            payloads.add(name, kind)
        return payloads

    def add(self, type_: str, kind: object) -> None:
        """Declare one more.

        :raises DefinitionError: the type is declared already, or cannot be.
        """
        if check_type(type_) in self._declared:
            raise DefinitionError(f"channel {self.channel!r} has a message type {type_!r} already")
        declared = declare(kind, f"message type {type_!r}")
        self.schemas[type_] = PayloadSchema.of(declared.document, type_)
        self._declared[type_] = declared
        if isinstance(kind, type):
            self._types.setdefault(kind, []).append(type_)

    def wire_names(self, field: str) -> set[str]:
        """The names on the wire of a field of every payload; itself where none is declared."""
        names = {one.wire_names.get(field, field) for one in self._declared.values()}
        return names or {field}

    def type_of(self, message: object) -> str:
        """The message type whose payload `message` is.

        :raises BodyInvalid: none is, or several are.
        """
        for kind in message.__class__.__mro__:
            if kind in self._types:
                return self.only(kind, BodyInvalid)
        return self.only(message.__class__, BodyInvalid)

    def only(self, kind: type, error: Callable[[str], TakoError]) -> str:
        """The one message type of a class; raises `error` where it is not one."""
        found = self._types.get(kind, ())
        if len(found) == 1:
            return found[0]
        if found:
            raise error(f"{kind.__name__} is the payload of {', '.join(found)}: say which one.")
        known = ", ".join(f"{one.__name__} of {names[0]!r}" for one, names in self._types.items())
        raise error(
            f"{kind.__name__} is the payload of no message type of channel {self.channel!r}"
            f" (its payloads: {known or 'none; say the type, then the data'})."
        )

    def read(self, type: str, data: bytes) -> object:
        """A payload as the declared type; raises as `Channel.read_data`."""
        declared = self._checked(type, data)
        if declared is None:
            return msgspec.json.decode(data)
        try:
            return declared.read(data)
        except DoesNotFit as misfit:
            raise BodyInvalid(f"data{misfit.path}: {misfit.reason}") from None

    def write(self, type: str, data: object) -> bytes:
        """A payload as JSON; raises as `Channel.write_data`."""
        place = f"data of message type {type!r}"
        # A declared class says what its sets and bytes are; nobody says it of plain data.
        fault = None if self._declared else fault_in(data, place)
        if fault is not None:
            raise BodyInvalid(f"{fault}.")
        try:
            encoded = to_json(data)
        except ENCODING_ERRORS as failed:
            raise BodyInvalid(f"{failed_in(data, place, to_json, failed)}.") from None
        self._checked(type, encoded)
        return encoded

    def _checked(self, type: str, data: bytes) -> Declared | None:
        if not self._declared:
            return None
        if type not in self._declared:
            known = ", ".join(self._declared)
            raise BodyInvalid(f"type {type!r} is none of this channel's types ({known}).")
        self.schemas[type].check(data)
        return self._declared[type]
