"""Removal of messages that are too old or too many, in small steps.

Rule: every step is small, because all that is published waits behind it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

from takotwist.adapters.sqlite.rows import Known, TopicRow
from takotwist.core.retention import (
    STEP_MESSAGES,
    STEP_TOPICS,
    Ages,
    Cut,
    Watched,
    cut,
    drop_at,
    due_at,
)

#: Answers to batches of processes that are gone are kept for so long, in microseconds.
ANSWERS_US = 24 * 3600 * 1_000_000

#: Pages that the file may have free before it is made smaller: they are reused,
#: and moving pages back and forth would only cost.  And most pages in one step.
_FREE_PAGES, _FREE_SHARE, _VACUUM_PAGES = 1024, 4, 256


#: From so many messages over the bound on, they are counted off in one statement.
_SURPLUS = 8


def sweep(
    db: sqlite3.Connection,
    now_us: int,
    in_use: Collection[str],
    watched: Watched,
    known: Known,
) -> tuple[bool, int]:
    """Remove one step of what is no longer kept; whether there is more, and the head."""
    known.begin(db)
    _look(db, now_us, known)
    db.execute("DELETE FROM batch WHERE stored_us < ?", (now_us - ANSWERS_US,))
    ages = known.ages
    room = STEP_MESSAGES
    for topic in TopicRow.due(db, now_us, STEP_TOPICS):
        if room <= 0:
            break
        known.topics.pop(topic.key, None)
        in_use_us = now_us if topic.key in in_use else 0
        watched_us = min(watched.last(topic.key), now_us)
        topic.held.active_us = min(topic.held.active_us, now_us)
        dropped_us = drop_at(topic.held, watched_us, in_use_us)
        drop = dropped_us is not None and dropped_us <= now_us
        room -= remove(db, topic, now_us, room, everything=drop, ages=ages)
        if drop and not topic.held.count:
            db.execute("DELETE FROM topic WHERE id = ?", (topic.id,))
            known.removed = max(known.removed, topic.held.head)
            db.execute("UPDATE store SET removed = ?", (known.removed,))
        else:
            stored_us = ages.stored_by(topic.held.oldest)
            topic.save(db, due_at(topic.held, watched_us, stored_us, in_use_us))
    shrinkable = _shrink(db, _VACUUM_PAGES if room > 0 else 0)
    due = db.execute("SELECT 1 FROM topic WHERE due_us <= ? LIMIT 1", (now_us,)).fetchone()
    return due is not None or shrinkable, known.head


def remove(
    db: sqlite3.Connection,
    topic: TopicRow,
    now_us: int | None,
    most: int,
    *,
    everything: bool = False,
    ages: Ages | None = None,
) -> int:
    """Remove one step from the old end of `topic`; how many messages went.

    :param now_us: and the others: see `retention.cut`.
    """
    surplus = min(most, topic.held.count - topic.held.lifecycle.replay_max_messages)
    if surplus >= _SURPLUS and not everything:
        # These go whatever they are, so nobody has to look at each.
        size, last = db.execute(
            "SELECT sum(size), max(id) FROM"
            " (SELECT id, size FROM message WHERE topic = ? AND id >= ? AND kept IS NULL"
            " ORDER BY id LIMIT ?)",
            (topic.id, topic.held.oldest, surplus),
        ).fetchone()
        _take(db, topic, Cut(last, surplus, size, oldest(db, topic.id, last)))
        if now_us is None and not topic.held.too_large:
            return surplus
        return surplus + remove(db, topic, now_us, most - surplus, ages=ages)
    sizes = db.execute(
        "SELECT id, size FROM message WHERE topic = ? AND id >= ? AND kept IS NULL ORDER BY id",
        (topic.id, topic.held.oldest),
    )
    gone = cut(topic.held, now_us, sizes, most, everything=everything, ages=ages)
    sizes.close()
    if gone is None:
        return 0
    _take(db, topic, gone)
    return gone.count


def oldest(db: sqlite3.Connection, topic: int, after: int = 0) -> int:
    """The id of the first message in a topic's window after the id `after`; 0 where none is."""
    found = db.execute(
        "SELECT id FROM message WHERE topic = ? AND id > ? AND kept IS NULL ORDER BY id LIMIT 1",
        (topic, after),
    ).fetchone()
    return 0 if found is None else int(found[0])


def _look(db: sqlite3.Connection, now_us: int, known: Known) -> None:
    """Read ids and clock; a removal that was planned by a clock that was wrong is due now."""
    before = db.execute("SELECT id, by_us FROM mark ORDER BY id").fetchall()
    ages = known.ages
    ages.marks = list(before)
    if ages.look(known.head, now_us):
        # All topics at once, which is long; but it is once for each time that the clock is set.
        known.topics.clear()
        db.execute("UPDATE topic SET due_us = ?1 WHERE due_us > ?1", (now_us,))
    if ages.marks == before:
        return
    added = ages.marks
    if ages.marks[:-1] == before:
        added = ages.marks[-1:]
    else:
        db.execute("DELETE FROM mark")
    db.executemany("INSERT INTO mark (id, by_us) VALUES (?, ?)", added)


def _take(db: sqlite3.Connection, topic: TopicRow, gone: Cut) -> None:
    db.execute(
        "DELETE FROM message WHERE topic = ? AND id BETWEEN ? AND ? AND kept IS NULL",
        (topic.id, topic.held.oldest, gone.up_to),
    )
    topic.held.take(gone)


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
