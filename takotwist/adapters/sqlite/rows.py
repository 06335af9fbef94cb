"""A topic's row, and the numbers of it that retention decides by.

Rule: `due_us` is never later than the moment at which a sweep could find
something to do.  It may be earlier; a sweep that comes for nothing moves it, so
that not every publish has to write the index.
"""

from __future__ import annotations

import sqlite3
from functools import lru_cache

import attrs

from takotwist.core.channel import Lifecycle
from takotwist.core.retention import Held

_COLUMNS = (
    "id, key, head, oldest, messages, bytes, removed, active_us, due_us,"
    " replay_window_ms, inactivity_ttl_ms, replay_max_messages, replay_max_bytes"
)

#: Later than any time.
_NEVER = 2**62

#: Bounds in the order of the columns.
Bounds = tuple[int, int, int, int]

Row = tuple[int, str, int, int, int, int, int, int, int, int, int, int, int]


def bounds_of(lifecycle: Lifecycle) -> Bounds:
    """What of a lifecycle concerns the log."""
    return (
        lifecycle.replay_window_ms,
        lifecycle.inactivity_ttl_ms,
        lifecycle.replay_max_messages,
        lifecycle.replay_max_bytes,
    )


@lru_cache(maxsize=256)
def _lifecycle_of(bounds: Bounds) -> Lifecycle:
    window, ttl, most, most_bytes = bounds
    return Lifecycle(
        replay_window_ms=window,
        inactivity_ttl_ms=ttl,
        replay_max_messages=most,
        replay_max_bytes=most_bytes,
    )


@attrs.define(slots=True, eq=False)
class TopicRow:
    """One topic inside a transaction.

    :ivar held: its numbers; they go into the row with `save`.
    :ivar due_us: as it stands in the row.
    :ivar bounds: as they stand in the row.
    """

    id: int
    key: str
    held: Held
    due_us: int
    bounds: Bounds

    @classmethod
    def of(cls, row: Row) -> TopicRow:
        """From the columns of a select."""
        number, key, head, oldest, count, size, removed, active_us, due_us = row[:9]
        held = Held(_lifecycle_of(row[9:]), removed, head, oldest, count, size, active_us)
        return cls(number, key, held, due_us, row[9:])

    @classmethod
    def find(cls, db: sqlite3.Connection, key: str) -> TopicRow | None:
        """The topic of `key`, where there is one."""
        row = db.execute(f"SELECT {_COLUMNS} FROM topic WHERE key = ?", (key,)).fetchone()
        return None if row is None else cls.of(row)

    @classmethod
    def due(cls, db: sqlite3.Connection, now_us: int, most: int) -> list[TopicRow]:
        """The topics that a sweep shall look at, longest due first."""
        rows = db.execute(
            f"SELECT {_COLUMNS} FROM topic WHERE due_us <= ? ORDER BY due_us LIMIT ?",
            (now_us, most),
        )
        return [cls.of(row) for row in rows]

    @classmethod
    def make(cls, db: sqlite3.Connection, key: str, lifecycle: Lifecycle, removed: int) -> TopicRow:
        """A new topic."""
        bounds = bounds_of(lifecycle)
        made = db.execute(
            f"INSERT INTO topic ({_COLUMNS}) VALUES (NULL, ?, 0, 0, 0, 0, ?, 0, ?, ?, ?, ?, ?)",
            (key, removed, _NEVER, *bounds),
        )
        assert made.lastrowid is not None
        return cls(made.lastrowid, key, Held(lifecycle, removed), _NEVER, bounds)

    def save(self, db: sqlite3.Connection, due_us: int) -> None:
        """Write what has changed.  `due_us` and the bounds seldom do, so mostly they stay out."""
        held = self.held
        numbers = (held.head, held.oldest, held.count, held.bytes, held.removed, held.active_us)
        bounds = bounds_of(held.lifecycle)
        if due_us == self.due_us and bounds == self.bounds:
            db.execute(
                "UPDATE topic SET head = ?, oldest = ?, messages = ?, bytes = ?, removed = ?,"
                " active_us = ? WHERE id = ?",
                (*numbers, self.id),
            )
        else:
            db.execute(
                "UPDATE topic SET head = ?, oldest = ?, messages = ?, bytes = ?, removed = ?,"
                " active_us = ?, due_us = ?, replay_window_ms = ?, inactivity_ttl_ms = ?,"
                " replay_max_messages = ?, replay_max_bytes = ? WHERE id = ?",
                (*numbers, due_us, *bounds, self.id),
            )
            self.due_us, self.bounds = due_us, bounds
