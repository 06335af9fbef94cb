"""How far a subscription has come.

Rule: a position goes forward or is restarted on purpose.  Nothing that is
merely repeated, late or older moves it back, which is what keeps a message
from being delivered twice.
"""

from __future__ import annotations

import attrs


def _newer(id: str, than: str) -> bool:
    if id.isascii() and id.isdigit() and than.isascii() and than.isdigit():
        return int(id) > int(than)
    # An id of some other server: all that can be said is whether it is the same.
    return id != than


@attrs.define(slots=True)
class Position:
    """The cursor of one subscription.

    :ivar cursor: the id to resume after, ``"0"`` for all that is in the window,
        `None` for live.
    """

    cursor: str | None = None

    def advance(self, id: str) -> bool:
        """Go on to `id`.

        :return: whether that was forward; if not, `id` was seen before.
        """
        if self.cursor is not None and not _newer(id, self.cursor):
            return False
        self.cursor = id
        return True

    def restart(self, cursor: str | None) -> None:
        """Continuity ended; what was seen before no longer counts."""
        self.cursor = cursor
