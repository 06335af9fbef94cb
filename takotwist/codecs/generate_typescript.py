"""Channels as TypeScript declarations, for ``useChannel("chat", { params })``, and functions.

Rule: ``type`` and never ``interface`` for params, because only a type alias fits
where the client wants any params.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping

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

HEAD = """\
// Written by `tako types --lang ts`. Do not edit: change the channels and write it again.
"""

#: Names of the module that are no channel's.
RESERVED = (
    "BroadcastChannel",
    "Channel",
    "Functions",
    "Named",
    "RegisteredChannels",
    "RegisteredFunctions",
)

#: Makes the table the types of `channel`, `useChannel` and `useChannelEvent` themselves.
_REGISTERED = """\
declare module "takotwist" {
  interface RegisteredChannels extends Channels {}
}
"""

_PLAIN = {"integer": "number"}
_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")


def typescript(
    channels: Iterable[ChannelDefinition],
    functions: Callable[[Names], list[str]] = lambda taken: [],
) -> str:
    """A ``.d.ts`` module: params and messages of every channel, and a table of them.

    For ``chat``: ``ChatParams``, ``ChatMessages`` (type to data), and ``Channels["chat"]``.
    `channel` of the package ``takotwist`` and its hooks have the types of the table.

    :param functions: what the module has besides; see `typescript_functions`.
    """
    out, table, taken = [HEAD], [], Names("Channels", *RESERVED)
    for channel in channels:
        params = taken.take(f"{pascal(channel.name)}Params")
        messages = taken.take(f"{pascal(channel.name)}Messages")
        out += _declared(params, Shapes.of(channel.params.schema.document), taken)
        members = []
        for kind, payload in channel.messages.items():
            data = taken.take(f"{pascal(channel.name)}{pascal(kind)}")
            out += _declared(data, Shapes.of(payload.schema.document), taken)
            members.append(f"  {key(kind)}: {data};\n")
        table.append(f"  {key(channel.name)}: {{ params: {params}; messages: {messages} }};\n")
        body = f"{{\n{''.join(members)}}}" if members else "Record<string, unknown>"
        out.append(f"export type {messages} = {body};\n")
    out.append(f"export type Channels = {{\n{''.join(table)}}};\n")
    if table:
        out.append(_REGISTERED)
    out[1:1] = functions(taken)
    return "\n".join(out)


def _declared(name: str, shapes: Shapes, taken: Names) -> Iterator[str]:
    names = taken.of(name, shapes)
    for inner, shape in [*shapes.named.items(), ("", shapes.root)]:
        yield f"export type {names[inner]} = {typed(shape, names, '')};\n"


def key(name: str) -> str:
    """A member's name, quoted where it must be."""
    return name if _NAME.fullmatch(name) else json.dumps(name)


def typed(shape: Shape, names: Mapping[str, str], indent: str) -> str:
    """The text of a type.

    :param names: of what it refers to.
    """
    match shape:
        case Plain(name):
            return _PLAIN.get(name, name)
        case Constant(value):
            return json.dumps(value)
        case OneOf(shapes):
            return " | ".join(_grouped(one, names, indent) for one in shapes)
        case AllOf(shapes):
            return " & ".join(_grouped(one, names, indent) for one in shapes)
        case Many(item):
            return f"readonly {_grouped(item, names, indent)}[]"
        case Named(name):
            return names[name]
        case Record(fields, extra):
            return _record(fields, extra, names, indent)


def _grouped(shape: Shape, names: Mapping[str, str], indent: str) -> str:
    text = typed(shape, names, indent)
    return f"({text})" if isinstance(shape, OneOf | AllOf | Many) else text


def _record(
    fields: tuple[Field, ...], extra: Shape | None, names: Mapping[str, str], indent: str
) -> str:
    if not fields:
        member = "never" if extra is None else typed(extra, names, indent)
        return f"{{ readonly [name: string]: {member} }}"
    inner, lines = indent + "  ", ["{"]
    for field in fields:
        if field.description:
            said = " ".join(field.description.split()).replace("*/", "* /")
            lines.append(f"{inner}/** {said} */")
        mark = "" if field.required else "?"
        lines.append(
            f"{inner}readonly {key(field.name)}{mark}: {typed(field.shape, names, inner)};"
        )
    if extra is not None:
        # What a member without a field may be is no narrower than the fields are.
        lines.append(f"{inner}readonly [name: string]: unknown;")
    return "\n".join([*lines, indent + "}"])
