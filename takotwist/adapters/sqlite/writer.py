"""What the one writer does: each function below is the inside of one transaction.

Rule: every step is small, because all that is published waits behind it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence

from takotwist.adapters.sqlite.rows import TopicRow
from takotwist.core.log import Append, Appended
from takotwist.core.message import Message
from takotwist.core.retention import (
    APPEND_MESSAGES,
    STEP_MESSAGES,
    STEP_TOPICS,
    Watched,
    cut,
    drop_at,
    due_at,
)
from takotwist.core.topic import Topic

#: Pages that the file may have free before it is made smaller: they are reused,
#: and moving pages back and forth would only cost.  And most pages in one step.
_FREE_PAGES, _FREE_SHARE, _VACUUM_PAGES = 1024, 4, 256

# The text goes in as bytes: a type may hold a lone surrogate, as JSON may, and
# one such message must not fail the whole transaction.
_INSERT = (
    "INSERT INTO message (topic, id, size, type, idempotency_key, span, data)"
    " VALUES (?, ?, ?, CAST(? AS TEXT), CAST(? AS TEXT), ?, ?)"
)

_Row = tuple[int, int, int, bytes, bytes | None, int | None, bytes]


def head(db: sqlite3.Connection) -> int:
    """The highest id ever given out."""
    [head] = db.execute("SELECT head FROM store").fetchone()
    return int(head)


def append(
    db: sqlite3.Connection, entries: Sequence[Append], now_us: int, watched: Watched
) -> tuple[list[Appended], int]:
    """Store `entries`; the answers, and the head after them.

    :param watched: when topics were last in use.
    """
    return _Batch(db, now_us).store(entries, watched)


class _Batch:
    """One append under way."""

    def __init__(self, db: sqlite3.Connection, now_us: int) -> None:
        self._db = db
        self._now_us = now_us
        self._head, self._removed = db.execute("SELECT head, removed FROM store").fetchone()
        self._topics: dict[str, TopicRow] = {}
        self._rows: list[_Row] = []
        self._keys: dict[tuple[int, str], tuple[Message, ...]] = {}

    def store(self, entries: Sequence[Append], watched: Watched) -> tuple[list[Appended], int]:
        before = self._head
        appended = [self._store(entry) for entry in entries]
        self._db.executemany(_INSERT, self._rows)
        for key, topic in self._topics.items():
            if topic.held.too_large:
                _remove(self._db, topic, None, APPEND_MESSAGES)
            topic.save(self._db, min(topic.due_us, due_at(topic.held, watched.last(key))))
        if self._head != before:
            self._db.execute("UPDATE store SET head = ?", (self._head,))
        return appended, self._head

    def _store(self, entry: Append) -> Appended:
        topic = self._topic(entry)
        if topic is None:
            return Appended(())
        topic.held.lifecycle = entry.lifecycle
        topic.held.active_us = self._now_us
        key = entry.idempotency_key
        if key is not None:
            known = self._keys.get((topic.id, key)) or _answered(
                self._db, entry.topic, topic.id, _encoded(key)
            )
            if known:
                return Appended(known, repeated=True)
        first = max(self._head + 1, self._now_us)
        messages = tuple(
            Message(entry.topic, number, draft.type, draft.data)
            for number, draft in enumerate(entry.drafts, first)
        )
        if messages:
            self._rows += (
                (topic.id, one.id, one.size, _encoded(one.type), None, None, one.data)
                for one in messages
            )
            if key is not None:
                at = len(self._rows) - len(messages)
                row = self._rows[at]
                self._rows[at] = (*row[:4], _encoded(key), len(messages), row[6])
                self._keys[topic.id, key] = messages
            topic.held.add(first, len(messages), entry.size)
            self._head = messages[-1].id
        return Appended(messages)

    def _topic(self, entry: Append) -> TopicRow | None:
        key = entry.topic.key
        topic = self._topics.get(key) or TopicRow.find(self._db, key)
        if topic is None:
            if not entry.drafts:
                return None
            topic = TopicRow.make(self._db, key, entry.lifecycle, self._removed)
        self._topics[key] = topic
        return topic


def sweep(
    db: sqlite3.Connection, now_us: int, in_use: Collection[str], watched: Watched
) -> tuple[bool, int]:
    """Remove one step of what is no longer kept; whether there is more, and the head."""
    room = STEP_MESSAGES
    for topic in TopicRow.due(db, now_us, STEP_TOPICS):
        if room <= 0:
            break
        in_use_us = now_us if topic.key in in_use else 0
        watched_us = watched.last(topic.key)
        dropped_us = drop_at(topic.held, watched_us, in_use_us)
        drop = dropped_us is not None and dropped_us <= now_us
        room -= _remove(db, topic, now_us, room, everything=drop)
        if drop and not topic.held.count:
            db.execute("DELETE FROM topic WHERE id = ?", (topic.id,))
            db.execute("UPDATE store SET removed = max(removed, ?)", (topic.held.head,))
        else:
            topic.save(db, due_at(topic.held, watched_us, in_use_us))
    shrinkable = _shrink(db, _VACUUM_PAGES if room > 0 else 0)
    due = db.execute("SELECT 1 FROM topic WHERE due_us <= ? LIMIT 1", (now_us,)).fetchone()
    return due is not None or shrinkable, head(db)


def _remove(
    db: sqlite3.Connection,
    topic: TopicRow,
    now_us: int | None,
    most: int,
    *,
    everything: bool = False,
) -> int:
    sizes = db.execute("SELECT id, size FROM message WHERE topic = ? ORDER BY id", (topic.id,))
    gone = cut(topic.held, now_us, sizes, most, everything=everything)
    sizes.close()
    if gone is None:
        return 0
    db.execute("DELETE FROM message WHERE topic = ? AND id <= ?", (topic.id, gone.up_to))
    topic.held.take(gone)
    return gone.count


def _shrink(db: sqlite3.Connection, most: int) -> bool:
    """Give up to `most` free pages back to the disk; whether more could be given."""
    [free] = db.execute("PRAGMA freelist_count").fetchone()
    [pages] = db.execute("PRAGMA page_count").fetchone()
    excess = free - max(_FREE_PAGES, pages // _FREE_SHARE)
    if excess <= 0:
        return False
    for _ in range(min(excess, most)):
        # One at a time: Python steps a statement without columns only once, and
        # each step of this one frees one page, whatever number it is given.
        db.execute("PRAGMA incremental_vacuum(1)")
    return bool(excess > most)


def _answered(
    db: sqlite3.Connection, topic: Topic, id: int, key: bytes
) -> tuple[Message, ...] | None:
    found = db.execute(
        "SELECT id, span FROM message WHERE topic = ? AND idempotency_key = CAST(? AS TEXT)",
        (id, key),
    ).fetchone()
    if found is None:
        return None
    first, span = found
    rows = db.execute(
        "SELECT id, type, data FROM message WHERE topic = ? AND id BETWEEN ? AND ? ORDER BY id",
        (id, first, first + span - 1),
    )
    return tuple(Message(topic, *row) for row in rows)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
