"""Finds the functions that pages may call, as channels are found.

Rule: all or nothing, as `takotwist.app.discovery` says it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from takotwist.app.discovery import collected, load
from takotwist.live.functions.function import Function


def discover_functions(
    source: str | Path, *, again: bool = False
) -> Mapping[str, Function[..., Any]]:
    """Load all functions of `source`, by their names on the wire.

    :param source: a folder, one file, or the dotted name of a module or package.
    :param again: read the files anew.
    :raises DefinitionError: names the file and, where there is one, the line.
    """
    how = "decorate one with @function"

    def collect(
        modules: Iterable[tuple[str, ModuleType]], each: bool
    ) -> Mapping[str, Function[..., Any]]:
        found = collected(modules, Function, "function for pages", how, each=each)
        for one in found.values():
            # Its signature is read here, so that what is wrong with it is said at start.
            assert one.parameters is not None
        return found

    return load(source, collect, again=again)
