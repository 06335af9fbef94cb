"""Declaration of a key: its type, default, meaning, unit and name everywhere.

From these declarations come the reader, the environment's names, the errors
and the printed reference.
Rule: nothing about a key is written down a second time.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import attrs

from takotwist.server.config.kind import Kind

_KEY = "takotwist.setting"

#: Values of keys by their dotted names, as their kinds have read them.
Values: TypeAlias = dict[str, Any]


@attrs.frozen(slots=True, kw_only=True)
class Setting:
    """Declaration of a key, without the section that it is in.

    :ivar meaning: one or two sentences for an operator.
    :ivar unit: of a number, such as ``bytes``.
    :ivar derived: the default in words, where it depends on other keys.
    :ivar secret: true where the value must never be shown.
    :ivar live: true where SIGHUP changes it; else a restart does.
    """

    kind: Kind
    meaning: str
    unit: str = ""
    derived: str = ""
    secret: bool = False
    live: bool = False


@attrs.frozen(slots=True)
class Key:
    """One key of the configuration.

    :ivar section: empty for a key at the top of the file.
    :ivar default: the value where none is given.
    """

    section: str
    name: str
    default: object
    setting: Setting

    @property
    def dotted(self) -> str:
        """The name in errors: ``limits.max_connections``."""
        return f"{self.section}.{self.name}" if self.section else self.name

    @property
    def environment(self) -> str:
        """The environment variable that sets it."""
        return "TAKO_" + self.dotted.replace(".", "_").upper()


def setting(
    kind: Kind,
    default: object,
    meaning: str,
    *,
    unit: str = "",
    derived: str = "",
    secret: bool = False,
    live: bool = False,
) -> Any:
    """Declare a key, in place of `attrs.field`; the parameters are those of `Setting`."""
    declared = Setting(
        kind=kind, meaning=meaning, unit=unit, derived=derived, secret=secret, live=live
    )
    return attrs.field(default=default, repr=not secret, metadata={_KEY: declared})


def keys_of(section: type[attrs.AttrsInstance], name: str) -> tuple[Key, ...]:
    """The keys that a class declares, in their order."""
    return tuple(
        Key(name, field.name, field.default, field.metadata[_KEY])
        for field in attrs.fields(section)
        if _KEY in field.metadata
    )
