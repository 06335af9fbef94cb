"""Functions that pages may call as TypeScript, for ``call("onJoinChat", ["lobby"])``.

Rule: what a page gives is checked by the compiler as the server checks it, by position
and by name; what nobody has declared is ``any`` as a result, and ``unknown`` elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from takotwist.codecs.function_types import (
    BYTES,
    DATE,
    Document,
    FunctionTypes,
    LiveTypes,
    MessageTypes,
    ParameterTypes,
)
from takotwist.codecs.generate_typescript import key, typed
from takotwist.codecs.type_shapes import Names, Record, Shapes, pascal

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
_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")

#: What a page has for values that JSON has no form for.
_CARRIED = {DATE: "Date", BYTES: "Uint8Array"}

#: Makes them the types of `call` itself.
_REGISTERED = """\
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
    out.append(_REGISTERED)
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
