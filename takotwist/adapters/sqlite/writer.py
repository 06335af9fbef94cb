"""Body of one transaction of the writer: entries are checked, numbered and stored.

Rule: every step is small, because all that is published waits behind it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import lru_cache, partial

from takotwist.adapters.sqlite.removal import oldest, remove
from takotwist.adapters.sqlite.rows import Known, TopicRow
from takotwist.core.log import Append, Appended, numbered
from takotwist.core.retention import APPEND_MESSAGES, Held, Watched, due_at
from takotwist.core.topic import MESSAGE_BYTES, Message, Topic

#: Messages in one statement.  Each statement gives the interpreter's lock away and asks
#: for it again, and has a price of its own besides.
_ROWS = 16

# With a key or a place.  The text goes in as bytes: a type may hold a lone surrogate, as JSON
# may, and one such message must not fail the whole transaction.
_INSERT_KEYED = (
    "INSERT INTO message (topic, id, size, type, idempotency_key, span, epoch, seq, data)"
    " VALUES (?, ?, ?, CAST(? AS TEXT), CAST(? AS TEXT), ?, ?, ?, ?)"
)


_REPLACE = (
    "INSERT INTO message (topic, id, size, type, data, key, kept)"
    " VALUES (?, ?, ?, CAST(? AS TEXT), ?, CAST(? AS TEXT), ?)"
)

_OF_KEY = "SELECT id, size, kept FROM message WHERE topic = ? AND key = CAST(? AS TEXT)"


@lru_cache(maxsize=_ROWS)
def _insert(rows: int) -> str:
    """The statement for so many messages without a key."""
    values = ", ".join(["(?, ?, ?, ?, ?)"] * rows)
    return f"INSERT INTO message (topic, id, size, type, data) VALUES {values}"


def head(db: sqlite3.Connection, known: Known) -> int:
    """The highest id ever given out."""
    known.begin(db)
    return known.head


def append(
    db: sqlite3.Connection,
    entries: Sequence[Append],
    now_us: int,
    watched: Watched,
    known: Known,
) -> tuple[list[Appended], int]:
    """Store `entries`; the answers, and the head after them.

    :param watched: when topics were last in use.
    """
    known.begin(db)
    return Transaction(db, now_us, known).store(entries, watched)


class Transaction:
    """One append under way."""

    def __init__(self, db: sqlite3.Connection, now_us: int, known: Known) -> None:
        self._db = db
        self._now_us = now_us
        self._known = known
        self._head = known.head
        self._topics: dict[str, TopicRow] = {}
        #: Five for each message.
        self._values: list[object] = []
        self._keys: dict[tuple[int, str], tuple[Message, ...]] = {}
        self._numbered: list[TopicRow] = []
        self._with_keys: dict[int, TopicRow] = {}

    def store(self, entries: Sequence[Append], watched: Watched) -> tuple[list[Appended], int]:
        db, known = self._db, self._known
        appended = [self._store(entry) for entry in entries]
        self._insert()
        for topic in self._numbered:
            topic.save_count(db)
        for topic in self._with_keys.values():
            topic.save_kept(db)
        for key, topic in self._topics.items():
            if topic.held.too_large:
                remove(db, topic, None, APPEND_MESSAGES)
            # It is there, so it was stored by now, whatever its id says.
            stored_us = min(topic.held.oldest, self._now_us)
            topic.save(db, min(topic.due_us, due_at(topic.held, watched.last(key), stored_us)))
        if self._head != known.head:
            db.execute("UPDATE store SET head = ?", (self._head,))
            known.head = self._head
        return appended, self._head

    def _store(self, entry: Append) -> Appended:
        if entry.after is not None:
            row = self._known.topic(self._db, entry.topic.key)
            if row is not None and row.held.newest > entry.after:
                return Appended(())
        if entry.max_kept and self._full(entry):
            return Appended((), full=True)
        topic = self._topic(entry)
        if topic is None:
            return Appended(())
        held, key = topic.held, entry.idempotency_key
        held.lifecycle = entry.lifecycle
        held.active_us = self._now_us
        if key is not None:
            known = self._keys.get((topic.id, key)) or answered(
                self._db, entry.topic, topic.id, encoded(key)
            )
            if known:
                return Appended(known, repeated=True)
        first = next_id = max(self._head + 1, self._now_us)
        if not entry.drafts:
            return Appended(())
        if entry.keys:
            return self._replace(topic, entry, next_id)
        number, of, values = topic.id, entry.topic, self._values
        start, size, messages = len(values), 0, []
        for draft in entry.drafts:
            kind, data = draft.type, draft.data
            its_size = len(data) + len(kind) + MESSAGE_BYTES
            messages.append(Message(of, next_id, kind, data))
            values += (number, next_id, its_size, kind, data)
            size += its_size
            next_id += 1
        stored = tuple(messages)
        if entry.numbered:
            stored = numbered(stored, topic.count)
            topic.count = stored[-1].place
            self._numbered.append(topic)
        if entry.numbered or key is not None or not "".join([one.type for one in stored]).isascii():
            del values[start:]
            self._insert_keyed(number, stored, key)
        if key is not None:
            self._keys[number, key] = stored
        held.add(first, len(stored), size)
        self._head = next_id - 1
        return Appended(stored)

    def _full(self, entry: Append) -> bool:
        """See `Held.full`."""
        db, row = self._db, self._known.topic(self._db, entry.topic.key)
        if row is None:
            return Held(entry.lifecycle, 0).full(entry, lambda key: None)
        return row.held.full(entry, partial(_stored, db, row.id))

    def _replace(self, topic: TopicRow, entry: Append, next_id: int) -> Appended:
        """Store messages in the place of those of their keys."""
        db, held, number = self._db, topic.held, topic.id
        # What is older than it in this batch has to be there.
        self._insert()
        messages = []
        for draft, key in zip(entry.drafts, map(encoded, entry.keys), strict=True):
            message = Message(entry.topic, next_id, draft.type, draft.data)
            kept = entry.kept and not draft.delete
            before = db.execute(_OF_KEY, (number, key)).fetchone()
            if before is not None:
                db.execute("DELETE FROM message WHERE topic = ? AND id = ?", (number, before[0]))
                held.replaced(before[1], kept=bool(before[2]))
                if before[0] == held.oldest:
                    held.oldest = oldest(db, number)
            kind = encoded(draft.type)
            values = (number, next_id, message.size, kind, draft.data, key, kept or None)
            db.execute(_REPLACE, values)
            if kept:
                held.keep(next_id, message.size)
            else:
                held.add(next_id, 1, message.size)
            messages.append(message)
            next_id += 1
        self._head = next_id - 1
        self._with_keys[number] = topic
        return Appended(tuple(messages))

    def _insert(self) -> None:
        values = self._values
        for at in range(0, len(values), 5 * _ROWS):
            some = values[at : at + 5 * _ROWS]
            self._db.execute(_insert(len(some) // 5), some)
        values.clear()

    def _insert_keyed(self, topic: int, messages: Sequence[Message], key: str | None) -> None:
        """The first of them says how many they are."""
        marks: list[tuple[bytes | None, int | None]] = [(None, None)] * len(messages)
        if key is not None:
            marks[0] = (encoded(key), len(messages))
        self._db.executemany(
            _INSERT_KEYED,
            [
                (
                    *(topic, one.id, one.size, encoded(one.type), *mark),
                    *(one.place or (None, None)),
                    one.data,
                )
                for one, mark in zip(messages, marks, strict=True)
            ],
        )

    def _topic(self, entry: Append) -> TopicRow | None:
        key = entry.topic.key
        topic = self._topics.get(key)
        if topic is None:
            topic = self._known.topic(self._db, key)
            if topic is None:
                if not entry.drafts:
                    return None
                topic = TopicRow.make(self._db, key, entry.lifecycle, self._known.removed)
                self._known.add(topic)
            self._topics[key] = topic
        return topic


def _stored(db: sqlite3.Connection, topic: int, key: str) -> tuple[int, bool] | None:
    """The size of the message of a key, and whether it is kept."""
    found = db.execute(_OF_KEY, (topic, encoded(key))).fetchone()
    return None if found is None else (found[1], bool(found[2]))


def answered(
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
        "SELECT id, type, data, epoch, seq FROM message"
        " WHERE topic = ? AND id BETWEEN ? AND ? ORDER BY id",
        (id, first, first + span - 1),
    )
    return tuple(stored_message(topic, *row) for row in rows)


def stored_message(
    topic: Topic, id: int, type: str, data: bytes, epoch: int | None, seq: int | None
) -> Message:
    """A message from its row."""
    if epoch is None or seq is None:
        return Message(topic, id, type, data)
    return Message(topic, id, type, data, (epoch, seq))


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
