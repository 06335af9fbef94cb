"""A topic's row, and the numbers of it that retention decides by.

Rule: `due_us` is never later than the moment at which a sweep could find
something to do.  It may be earlier; a sweep that comes for nothing moves it, so
that not every publish has to write the index.

What the writer remembers of the file between its transactions.

Nearly every transaction is about topics that the last ones were about, and to read
their rows again costs as much as to write the message.  Rule: nothing is remembered
of a transaction that was not committed, nor beyond one that somebody else committed.
"""

from __future__ import annotations

import sqlite3
from typing import Any

import attrs

from takotwist.core.channel import Lifecycle
from takotwist.core.retention import NEVER, Ages, Bounds, Held, bounds_of, lifecycle_of

_COLUMNS = (
    "id, key, head, oldest, messages, bytes, removed, active_us, due_us,"
    " replay_window_ms, inactivity_ttl_ms, replay_max_messages, replay_max_bytes, epoch, seq,"
    " kept, kept_bytes"
)

#: What `_COLUMNS` selects.
Row = tuple[Any, ...]


@attrs.define(slots=True, eq=False)
class TopicRow:
    """One topic inside a transaction.

    :ivar held: its numbers; they go into the row with `save`.
    :ivar due_us: as it stands in the row.
    :ivar bounds: as they stand in the row.
    :ivar count: the place of the newest numbered message.
    """

    id: int
    key: str
    held: Held
    due_us: int
    bounds: Bounds
    count: tuple[int, int] | None = None

    @classmethod
    def of(cls, row: Row) -> TopicRow:
        """From the columns of a select."""
        number, key, head, oldest, count, size, removed, active_us, due_us = row[:9]
        bounds, epoch, seq = (row[9], row[10], row[11], row[12]), row[13], row[14]
        held = Held(lifecycle_of(bounds), removed, head, oldest, count, size, active_us, *row[15:])
        place = None if epoch is None or seq is None else (epoch, seq)
        return cls(number, key, held, due_us, bounds, place)

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
            f"INSERT INTO topic ({_COLUMNS})"
            " VALUES (NULL, ?, 0, 0, 0, 0, ?, 0, ?, ?, ?, ?, ?, NULL, NULL, 0, 0)",
            (key, removed, NEVER, *bounds),
        )
        assert made.lastrowid is not None
        return cls(made.lastrowid, key, Held(lifecycle, removed), NEVER, bounds)

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

    def save_count(self, db: sqlite3.Connection) -> None:
        """Write `count`, which only numbered topics have."""
        if self.count is not None:
            db.execute("UPDATE topic SET epoch = ?, seq = ? WHERE id = ?", (*self.count, self.id))

    def save_kept(self, db: sqlite3.Connection) -> None:
        """Write the numbers of what is kept, which only topics with keys have."""
        db.execute(
            "UPDATE topic SET kept = ?, kept_bytes = ? WHERE id = ?",
            (self.held.kept, self.held.kept_bytes, self.id),
        )


#: Topics that are remembered; the one longest known goes first.
MAX_TOPICS = 8192


@attrs.define(slots=True, eq=False)
class Known:
    """The store's row and rows of topics, as they stand in the file.

    :ivar head: the highest id ever given out.
    :ivar removed: the watermark of topics that have no row.
    :ivar topics: by key.
    :ivar ages: as last looked at.
    """

    head: int = 0
    removed: int = 0
    topics: dict[str, TopicRow] = attrs.field(factory=dict, init=False)
    ages: Ages = attrs.field(factory=Ages, init=False)
    _db: sqlite3.Connection | None = None
    _version: int = 0
    _settled: bool = False

    def begin(self, db: sqlite3.Connection) -> None:
        """A transaction that writes has begun; `settle` follows, when it was committed."""
        # Changes when somebody else commits; our own commits leave it as it is.
        [version] = db.execute("PRAGMA data_version").fetchone()
        if not self._settled or self._db is not db or self._version != version:
            self.topics.clear()
            self.ages = Ages()
            self._db, self._version = db, version
            self.head, self.removed = db.execute("SELECT head, removed FROM store").fetchone()
        self._settled = False

    def settle(self) -> None:
        """It was committed."""
        self._settled = True

    def topic(self, db: sqlite3.Connection, key: str) -> TopicRow | None:
        """The topic of `key`, where there is one."""
        row = self.topics.get(key)
        if row is None:
            row = TopicRow.find(db, key)
            if row is not None:
                self.add(row)
        return row

    def add(self, row: TopicRow) -> None:
        """A topic was read or made."""
        if len(self.topics) >= MAX_TOPICS:
            del self.topics[next(iter(self.topics))]
        self.topics[row.key] = row
