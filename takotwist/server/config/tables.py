"""Tables of tables: ``[pusher.apps.NAME]``, ``[webhooks.endpoints.NAME]``.

Rule: an error names the table and the key, and never a value, which may be a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from takotwist.server.config.kind import Unfit
from takotwist.server.config.problems import did_you_mean
from takotwist.server.config.setting import Key

_T = TypeVar("_T")


def read_table(
    kind: type[_T], keys: Mapping[str, Key], table: object, folder: Path, what: str, **more: str
) -> _T:
    """One table.  :raises Unfit: names what is wrong in it, and no value."""
    if not isinstance(table, dict):
        raise Unfit(f"{what} must be a table")
    said: dict[str, object] = {}
    for name, value in table.items():
        if name not in keys:
            raise Unfit(f"{what} has {name!r}, which is unknown{did_you_mean(name, keys)}")
        try:
            said[name] = keys[name].setting.kind.read(value, folder)
        except Unfit as unfit:
            raise Unfit(f"{what} has {name}, which {unfit.needs}") from None
    return kind(**said, **more)


def read_tables(
    kind: type[_T], keys: Mapping[str, Key], value: object, folder: Path, where: str
) -> list[_T]:
    """All tables of a table, each with its name.

    :param where: what stands before a name, such as ``pusher.apps``.
    :raises Unfit: one does not fit.
    """
    if value == []:
        return []
    if not isinstance(value, dict):
        raise Unfit(f"must be tables, each [{where}.NAME]")
    tables = []
    for name, table in value.items():
        if not (name.isascii() and 1 <= len(name) <= 64):
            raise Unfit("has a name that is not 1 to 64 ASCII characters")
        tables.append(read_table(kind, keys, table, folder, f"{where}.{name}", name=name))
    return tables
