"""The reference of the Python API, out of the docstrings of what is public.

Rule: nothing is written by hand but the list of modules; what stands in their
``__all__`` is on the page, with its public methods.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from types import ModuleType
from typing import Any

#: Modules that say what is public in them.
MODULES = (
    "takotwist",
    "takotwist.live",
    "takotwist.client.asyncio",
    "takotwist.client.twisted",
    "takotwist.client.sync",
    "takotwist.streams",
    "takotwist.streams.files",
    "takotwist.streams.http3",
    "takotwist.streams.webtransport",
)

_HEAD = """\
# Python API, from the docstrings

This page is made by `python -m tests.docs.generated`; do not edit it.
[Python API](python-api.md) is the shorter one, by what you want to do.

"""


def api() -> str:
    """``docs/reference/python-docstrings.md``."""
    parts = [_HEAD]
    for name in MODULES:
        module = importlib.import_module(name)
        parts.append(f"## `{name}`\n\n")
        for public in sorted(module.__all__):
            found = getattr(module, public)
            if not isinstance(found, ModuleType):
                parts += _entry(public, found)
    return "".join(parts).rstrip() + "\n"


def _entry(name: str, found: Any) -> Iterator[str]:
    yield f"### `{name}`\n\n"
    if not (inspect.isclass(found) or inspect.isroutine(found)):
        # An alias of a type, which has no docstring, or one of its kind.
        yield _block(f"{name} = {found!r}", "")
        return
    yield _block(f"{name}{_arguments(found)}", _doc(found))
    if inspect.isclass(found):
        for method, function in _methods(found):
            yield _block(f"{name}.{method}", _doc(function))


def _block(head: str, text: str) -> str:
    lines = [head, *(f"    {line}".rstrip() for line in text.splitlines())]
    return "```text\n" + "\n".join(lines) + "\n```\n\n"


def _doc(found: Any) -> str:
    return inspect.cleandoc(getattr(found, "__doc__", None) or "")


def _arguments(found: Any) -> str:
    """Names and plain defaults; types are in the source, where checkers read them."""
    if inspect.isclass(found) and issubclass(found, BaseException):
        return ""
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        return ""
    shown = []
    for one in signature.parameters.values():
        if one.name in ("self", "cls"):
            continue
        default = one.default
        if default is not one.empty and not isinstance(default, str | int | float | bytes | None):
            default = ...
        shown.append(one.replace(annotation=one.empty, default=default))
    text = str(signature.replace(parameters=shown, return_annotation=signature.empty))
    return text.replace("Ellipsis", "...")


def _methods(kind: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties with a docstring, of the class and of ours below it."""
    seen = set()
    for owner in kind.__mro__:
        if not owner.__module__.startswith("takotwist"):
            continue
        for name, member in vars(owner).items():
            function = getattr(member, "__func__", member)
            is_property = isinstance(member, property)
            if (
                name.startswith("_")
                or name in seen
                or not (is_property or inspect.isfunction(function))
            ):
                continue
            seen.add(name)
            if _doc(function):
                yield (name if is_property else name + _arguments(function)), function
