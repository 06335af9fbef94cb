"""TypeScript declarations of channels, and of the functions that pages may call.

They type ``useChannel("chat", { params })`` and ``call("onJoinChat", ["lobby"])``.

Rules: ``type`` and never ``interface`` for params, because only a type alias fits where
the client wants any params.  The compiler checks what a page gives as the server does, by
position and by name; what nobody has declared is ``any`` as a result, and ``unknown``
elsewhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from takotwist.codecs.type_shapes import (
    BYTES,
    DATE,
    AllOf,
    Constant,
    Document,
    Field,
    FunctionTypes,
    LiveTypes,
    Many,
    MessageTypes,
    Named,
    Names,
    OneOf,
    ParameterTypes,
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
#: A page may import the hooks alone; what is declared of a module that no file imports is passed
#: over by TypeScript 7.
_LOADED = 'import type {} from "takotwist";\n'
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

    For ``chat``: ``ChatParams``, ``ChatMessages`` (type to data), where it has presence
    ``ChatPresenceInfo`` and ``ChatPresenceState``, where the app says what its state is
    ``ChatState``, and ``Channels["chat"]``.
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
        said = [f"params: {params}", f"messages: {messages}"]
        if channel.presence is not None:
            said.append(f"presence: {_presence(channel, taken, out)}")
        if channel.state is not None and channel.state.schema is not None:
            state = taken.take(f"{pascal(channel.name)}State")
            out += _declared(state, Shapes.of(channel.state.schema.schema.document), taken)
            said.append(f"state: {state}")
        table.append(f"  {key(channel.name)}: {{ {'; '.join(said)} }};\n")
        body = f"{{\n{''.join(members)}}}" if members else "Record<string, unknown>"
        out.append(f"export type {messages} = {body};\n")
    out.append(f"export type Channels = {{\n{''.join(table)}}};\n")
    if table:
        out.append(_REGISTERED)
        out.insert(1, _LOADED)
    out[1:1] = functions(taken)
    return "\n".join(out)


def _presence(channel: ChannelDefinition, taken: Names, out: list[str]) -> str:
    """The types of a channel's members: ``info`` and ``state``."""
    assert channel.presence is not None
    members = []
    for name, schema in (("info", channel.presence.info), ("state", channel.presence.state)):
        kind = "unknown"
        if schema is not None:
            kind = taken.take(f"{pascal(channel.name)}Presence{pascal(name)}")
            out += _declared(kind, Shapes.of(schema.schema.document), taken)
        members.append(f"{name}: {kind}")
    return f"{{ {'; '.join(members)} }}"


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


#: Names that a parameter cannot have in TypeScript, though it can in Python.
_RESERVED = frozenset(
    [
        "case",
        "catch",
        "const",
        "debugger",
        "default",
        "delete",
        "do",
        "enum",
        "export",
        "extends",
        "function",
        "in",
        "instanceof",
        "new",
        "null",
        "super",
        "switch",
        "this",
        "throw",
        "true",
        "false",
        "typeof",
        "var",
        "void",
    ]
)


#: What a page has for values that JSON has no form for.
_CARRIED = {DATE: "Date", BYTES: "Uint8Array"}

#: Makes them the types of `call` itself.
_REGISTERED_FUNCTIONS = """\
declare module "takotwist/live" {
  interface RegisteredFunctions extends Functions {}
}
"""


def typescript_functions(functions: Iterable[FunctionTypes], taken: Names) -> list[str]:
    """Declarations of what functions take and give, and a table of them.

    For ``onJoinChat``: ``Functions["onJoinChat"]``, and what it is made of by names that
    begin with ``OnJoinChat``.  `call` of ``takotwist/live`` has the types of the table.

    :param taken: the names that the module has.
    """
    out: list[str] = []
    members, imported = [], {"Named"}
    for one in functions:
        writer = _Writer(pascal(one.name), taken, out, imported)
        members.append(writer.member(one))
    if not members:
        return []
    imports = f'import type {{ {", ".join(sorted(imported))} }} from "takotwist/live";\n'
    out.append(f"export type Functions = {{\n{''.join(members)}}};\n")
    out.append(_REGISTERED_FUNCTIONS)
    return [imports, *out]


class _Writer:
    """One function.

    :param out: where declarations go.
    """

    def __init__(self, base: str, taken: Names, out: list[str], imported: set[str]) -> None:
        self._base, self._taken, self._out, self._imported = base, taken, out, imported

    def member(self, function: FunctionTypes) -> str:
        """Its line in the table."""
        types = {one.name: self._parameter(one) for one in function.parameters}
        live = {str(number): self._live(one) for number, one in enumerate(function.live)}
        result = self._type("Result", function.result, "any", live)
        text = f"({self._positional(function.parameters, types)}) => {result}"
        if types:
            named = "; ".join(
                f"readonly {key(one.name)}{'' if one.required else '?'}: {types[one.name]}"
                for one in function.parameters
            )
            text = f"({text}) & Named<{{ {named} }}>"
        said = _comment(function.description)
        return f"{said}  {key(function.name)}: {text};\n"

    @staticmethod
    def _positional(parameters: Sequence[ParameterTypes], types: Mapping[str, str]) -> str:
        if any(one.by_name and one.required for one in parameters):
            return "...args: never"
        return ", ".join(
            f"{_identifier(one.name)}{'' if one.required else '?'}: {types[one.name]}"
            for one in parameters
            if not one.by_name
        )

    def _parameter(self, one: ParameterTypes) -> str:
        return self._type(pascal(one.name), one.document, "unknown")

    def _live(self, one: LiveTypes) -> str:
        if one.kind == "broadcast":
            self._imported.add("BroadcastChannel")
            [direction] = one.directions
            message = self._type("Message", direction.message, "unknown")
            return f"BroadcastChannel<{message}>"
        self._imported.add("Channel")
        ends = zip(("ToServer", "ToClient"), one.directions, strict=True)
        return f"Channel<{', '.join(self._direction(name, said) for name, said in ends)}>"

    def _direction(self, name: str, said: MessageTypes) -> str:
        message = self._type(f"{name}Message", said.message, "unknown")
        answer = self._type(f"{name}Answer", said.answer, "unknown")
        own = self._taken.take(f"{self._base}{name}")
        self._out.append(f"export type {own} = (message: {message}) => {answer};\n")
        return own

    def _type(
        self, name: str, document: Document, anything: str, elsewhere: Mapping[str, str] = {}
    ) -> str:
        """The text of a type; what has members is declared under a name first."""
        if document is None:
            return anything
        shapes = Shapes.of(document)
        # Said once, so that it may refer to itself.
        own = self._taken.take(f"{self._base}{name}")
        names = {**self._taken.of(own, shapes), **_CARRIED, **elsewhere}
        for inner, shape in shapes.named.items():
            self._out.append(f"export type {names[inner]} = {typed(shape, names, '')};\n")
        text = typed(shapes.root, names, "")
        if isinstance(shapes.root, Record) or re.search(rf"\b{own}\b", text):
            self._out.append(f"export type {own} = {text};\n")
            return own
        return text


def _identifier(name: str) -> str:
    return f"{name}_" if name in _RESERVED or not _NAME.fullmatch(name) else name


def _comment(description: str | None) -> str:
    if not description:
        return ""
    return f"  /** {' '.join(description.split()).replace('*/', '* /')} */\n"
