"""What an app's modules hold of a kind: channels, or functions that pages may call.

Rule: one name is one object, whichever modules it is seen in.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import Protocol, TypeVar

from takotwist.errors import DefinitionError


class Named(Protocol):
    """What is looked for: it has a name, and a place for people."""

    @property
    def name(self) -> str: ...

    @property
    def place(self) -> str: ...


N = TypeVar("N", bound=Named)


def collected(
    modules: Iterable[tuple[str, ModuleType]], kind: type[N], what: str, how: str, *, each: bool
) -> dict[str, N]:
    """What modules hold of a kind, by name, in the order of files and of lines.

    One object may be seen in several modules, by import; two objects may not have one name.

    :param what: names the kind for people; `how` says how one is made.
    :param each: whether each module must have one.
    :raises DefinitionError: names the file, or where both objects are defined.
    """
    by_name: dict[str, N] = {}
    place = ""
    for place, module in modules:
        found = [value for value in vars(module).values() if isinstance(value, kind)]
        if each and not found:
            raise DefinitionError(
                f"the file defines no {what}; {how}, or begin the file's name with an underscore",
                place=place,
            )
        for one in found:
            first = by_name.setdefault(one.name, one)
            if first is not one:
                raise DefinitionError(
                    f"{what.split()[0]} {one.name!r} is already defined in {first.place}",
                    place=one.place,
                )
    if not by_name and not each:
        raise DefinitionError(f"the module defines no {what}", place=place or None)
    return by_name
