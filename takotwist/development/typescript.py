"""The TypeScript types of a running server's definitions, written where they have changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from takotwist.codecs.generate_typescript import typescript, typescript_functions
from takotwist.core.channel import Defined
from takotwist.live.functions.function import Function
from takotwist.live.functions.result_types import function_types


def types_of(channels: Iterable[Defined], functions: Mapping[str, Function[..., object]]) -> str:
    """The text of ``tako types --lang ts`` for these definitions.

    :raises DefinitionError: a function's annotation cannot be read.
    """
    shapes = function_types(one for _, one in sorted(functions.items()))
    return typescript(
        sorted((one.definition for one in channels), key=lambda one: one.name),
        lambda taken: typescript_functions(shapes, taken),
    )


def write_types(file: Path, text: str) -> bool:
    """Write the file where it has another text; whether it had.

    :raises OSError: it cannot be written.
    """
    if file.exists() and file.read_text("utf-8") == text:
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    # Put in its place at once: a bundler reads it as soon as it changes.
    new = file.with_name(f".{file.name}.new")
    new.write_text(text, "utf-8")
    new.replace(file)
    return True
