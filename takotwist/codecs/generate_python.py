"""Channels as Python types, for programs that read or publish with a client.

``TypedDict`` in its functional form, because a JSON name need not be a Python
one.  Rule: the result imports nothing but `typing`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from takotwist.codecs.type_shapes import (
    AllOf,
    Constant,
    Field,
    Many,
    Named,
    Names,
    OneOf,
    Plain,
    Record,
    Shape,
    Shapes,
    pascal,
)
from takotwist.core.channel import ChannelDefinition

HEAD = '''\
"""Written by ``tako types --lang py``.  Do not edit: change the channels and write it again."""

from typing import Any, Dict, List, Literal, Never, NotRequired, TypedDict, Union
'''

_IMPORTED = ("Any", "Dict", "List", "Literal", "Never", "NotRequired", "TypedDict", "Union")

_PLAIN = {
    "string": "str",
    "number": "float",
    "integer": "int",
    "boolean": "bool",
    "null": "None",
    "unknown": "Any",
    "never": "Never",
}


def python_stub(channels: Iterable[ChannelDefinition]) -> str:
    """A module with the params and messages of every channel.

    For ``chat``: ``ChatParams``, one type for each message's data (``ChatMsg``), and
    ``ChatType``, the names of its messages; where it has presence ``ChatPresenceInfo`` and
    ``ChatPresenceState``, and where the app says what its state is ``ChatState``.
    """
    out, taken = [HEAD], Names(*_IMPORTED)
    for channel in channels:
        name = pascal(channel.name)
        params, kinds = taken.take(f"{name}Params"), taken.take(f"{name}Type")
        _Writer(params, taken, out).write(Shapes.of(channel.params.schema.document))
        for kind, payload in channel.messages.items():
            data = taken.take(f"{name}{pascal(kind)}")
            _Writer(data, taken, out).write(Shapes.of(payload.schema.document))
        rules = channel.presence
        schemas = () if rules is None else (("info", rules.info), ("state", rules.state))
        for said, schema in schemas:
            if schema is not None:
                kind = taken.take(f"{name}Presence{pascal(said)}")
                _Writer(kind, taken, out).write(Shapes.of(schema.schema.document))
        if channel.state is not None and channel.state.schema is not None:
            state = taken.take(f"{name}State")
            _Writer(state, taken, out).write(Shapes.of(channel.state.schema.schema.document))
        known = ", ".join(repr(kind) for kind in channel.messages)
        out.append(f"{kinds} = {f'Literal[{known}]' if known else 'str'}\n")
    return "\n".join(out)


@attrs.define
class _Writer:
    """Writes the declarations of one schema; records inside others get names of their own."""

    _name: str
    _taken: Names
    _out: list[str]
    _names: Mapping[str, str] = attrs.field(factory=dict)

    def write(self, shapes: Shapes) -> None:
        self._names = self._taken.of(self._name, shapes)
        for inner, shape in [*shapes.named.items(), ("", shapes.root)]:
            self._declare(self._names[inner], shape)

    def _declare(self, name: str, shape: Shape) -> None:
        shape = _merged(shape)
        if isinstance(shape, Record) and shape.fields:
            members = "".join(
                f"    {field.name!r}: {self._member(name, field)},\n" for field in shape.fields
            )
            self._out.append(f'{name} = TypedDict("{name}", {{\n{members}}})\n')
        else:
            self._out.append(f"{name} = {self._typed(name, shape)}\n")

    def _member(self, owner: str, field: Field) -> str:
        text = self._typed(f"{owner}{pascal(field.name)}", field.shape)
        return text if field.required else f"NotRequired[{text}]"

    def _typed(self, name: str, shape: Shape) -> str:
        match _merged(shape):
            case Plain(plain):
                return _PLAIN[plain]
            case Constant(value):
                # A float is no literal type.
                return "float" if isinstance(value, float) else f"Literal[{value!r}]"
            case OneOf(shapes):
                # `Union` and not `|`: a name yet to come stands as a string.
                return f"Union[{', '.join(self._typed(name, one) for one in shapes)}]"
            case Many(item):
                return f"List[{self._typed(f'{name}Item', item)}]"
            case Named(other):
                return f'"{self._names[other]}"'
            case Record(fields, extra) if not fields:
                return f"Dict[str, {self._typed(name, extra) if extra else 'Never'}]"
            case Record() as record:
                own = self._taken.take(name)
                self._declare(own, record)
                return f'"{own}"'
        return "Any"


def _merged(shape: Shape) -> Shape:
    """Python has no intersection: records are merged, anything else may be all."""
    if not isinstance(shape, AllOf):
        return shape
    records = [one for one in shape.shapes if isinstance(one, Record)]
    if len(records) != len(shape.shapes):
        return Plain("unknown")
    fields = {field.name: field for record in records for field in record.fields}
    return Record(tuple(fields.values()))
