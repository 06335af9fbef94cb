"""One line of the table of limits.

Rule: what a line says is what its client is told; nothing is written down twice.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from takotwist.server.config.config import KEYS
from takotwist.server.config.reference import default_text
from tests.sockets.server_process import ServerProcess

#: Before a code, in what is said.
_WORDS = ("close", "error", "line", "GOAWAY", "end", "ended", "live.refused")


@attrs.frozen
class Limit:
    """One line.

    :ivar what: is bounded.
    :ivar bound: key of the configuration, or a number that is fixed.
    :ivar says: what each of the clients in `reach` is told, in their order: a status with
        a code, a close with its code and reason, an error frame with its code.
    :ivar toml: configuration that makes the limit low enough.
    :ivar reach: reaches it; returns what it was told.
    """

    what: str
    bound: str
    says: tuple[str, ...]
    reach: Callable[[ServerProcess], list[str]]
    toml: str = ""
    tls: bool = False

    @property
    def default(self) -> str:
        """As the table shows it."""
        key = KEYS.get(self.bound)
        if key is None:
            return self.bound
        unit = f" {key.setting.unit}" if key.setting.unit else ""
        return f"{_number(default_text(key))}{unit}"

    @property
    def row(self) -> str:
        """Of the table."""
        key = f"`{self.bound}`" if self.bound in KEYS else "fixed"
        says = "; ".join(
            f"`{one}`" if one[0].isdigit() or one.split()[0] in _WORDS else one for one in self.says
        )
        return f"| {self.what} | {self.default} | {key} | {says} |"


def _number(text: str) -> str:
    return f"{int(text):,}" if text.isdigit() else text
