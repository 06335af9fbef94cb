"""Finds the functions that pages may call, as channels are found.

Rule: all or nothing, as `takotwist.app.discovery` says it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from takotwist.app.discovery import load
from takotwist.errors import DefinitionError
from takotwist.live.function import Function


def discover_functions(
    source: str | Path, *, again: bool = False
) -> Mapping[str, Function[..., Any]]:
    """Load all functions of `source`, by their names on the wire.

    :param source: a folder, one file, or the dotted name of a module or package.
    :param again: read the files anew.
    :raises DefinitionError: names the file and, where there is one, the line.
    """
    return load(source, _collected, again=again)


def _collected(
    modules: Iterable[tuple[str, ModuleType]], each: bool
) -> Mapping[str, Function[..., Any]]:
    found: dict[str, Function[..., Any]] = {}
    for place, module in modules:
        mine = [value for value in vars(module).values() if isinstance(value, Function)]
        if each and not mine:
            raise DefinitionError(
                "the file defines no function for pages; decorate one with @function, or begin"
                " the file's name with an underscore",
                place=place,
            )
        for one in mine:
            first = found.setdefault(one.name, one)
            if first is not one:
                raise DefinitionError(
                    f"function {one.name!r} is already defined in {first.place}", place=one.place
                )
            # Its signature is read here, so that what is wrong with it is said at start.
            assert one.parameters is not None
    if not found and not each:
        raise DefinitionError("the module defines no function for pages")
    return found
