"""What the writer remembers of the file between its transactions.

Nearly every transaction is about topics that the last ones were about, and to read
their rows again costs as much as to write the message.  Rule: nothing is remembered
of a transaction that was not committed, nor beyond one that somebody else committed.
"""

from __future__ import annotations

import sqlite3

import attrs

from takotwist.adapters.sqlite.rows import TopicRow
from takotwist.core.retention import Ages

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
