"""What the readers do: each function below is the inside of one read transaction.

Rule: messages and watermark come from the same snapshot; read apart, a removal
between the two would make a gap that nobody is told of.
"""

from __future__ import annotations

import sqlite3

from takotwist.core.log import LogStats, Page
from takotwist.core.topic import Message, Topic


def read(db: sqlite3.Connection, topic: Topic, after: int, limit: int, max_bytes: int) -> Page:
    """One page of `topic`; see `IReplayLog.read`."""
    head, removed = db.execute("SELECT head, removed FROM store").fetchone()
    row = db.execute("SELECT id, removed FROM topic WHERE key = ?", (topic.key,)).fetchone()
    if row is None:
        return Page((), False, head, removed)
    number, removed = row
    messages: list[Message] = []
    more = False
    found = db.execute(
        "SELECT size, id, type, data FROM message WHERE topic = ? AND id > ? ORDER BY id LIMIT ?",
        (number, after, limit + 1),
    )
    for size, *columns in found:
        max_bytes -= size
        if len(messages) == limit or (messages and max_bytes < 0):
            more = True
            break
        messages.append(Message(topic, *columns))
    found.close()
    return Page(tuple(messages), more, head, removed)


def stats(db: sqlite3.Connection) -> LogStats:
    """How much the log holds."""
    topics, messages, size = db.execute(
        "SELECT count(*), coalesce(sum(messages), 0), coalesce(sum(bytes), 0) FROM topic"
    ).fetchone()
    return LogStats(topics, messages, size)
