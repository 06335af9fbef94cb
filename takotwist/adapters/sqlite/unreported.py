"""Removal of messages that are in the file and were reported to nobody.

A commit that failed is undecided: its frames may be in the write-ahead log, and whoever
opens the file next reads them as committed.  Its publishers were refused and no reader was
given anything.  (To deliver it late was the alternative.  A disk that would not confirm a
write has not confirmed it because a later read shows it: what is in memory is read, and may
never reach the disk, so it must not be acknowledged.)
"""

from __future__ import annotations

import sqlite3


def drop_unreported(db: sqlite3.Connection, reported: int) -> None:
    """Remove all messages with an id above `reported`, inside a transaction.

    Their ids stay given out, and no cursor becomes too old: nobody has seen them.  But one
    that has a key has replaced the message that was there before, which is lost; then every
    cursor that is older is too old.
    """
    for topic, removed in db.execute(
        "SELECT id, removed FROM topic WHERE head > ?", (reported,)
    ).fetchall():
        [replacing] = db.execute(
            "SELECT max(id) FROM message WHERE topic = ? AND id > ? AND key IS NOT NULL",
            (topic, reported),
        ).fetchone()
        gone = db.execute("DELETE FROM message WHERE topic = ? AND id > ?", (topic, reported))
        if not gone.rowcount:
            continue
        removed = max(removed, replacing or 0)
        numbers = "SELECT count(*), coalesce(sum(size), 0), coalesce(min(id), 0), max(id)"
        count, size, oldest, newest = db.execute(
            f"{numbers} FROM message WHERE topic = ? AND kept IS NULL", (topic,)
        ).fetchone()
        kept, kept_size, _, newest_kept = db.execute(
            f"{numbers} FROM message WHERE topic = ? AND kept", (topic,)
        ).fetchone()
        db.execute(
            "UPDATE topic SET head = ?, oldest = ?, messages = ?, bytes = ?, removed = ?,"
            " kept = ?, kept_bytes = ? WHERE id = ?",
            (
                max(newest or 0, newest_kept or 0) or removed,
                *(oldest, count, size, removed, kept, kept_size, topic),
            ),
        )
        # A numbered topic counts on from what is left, or begins anew where nothing is.
        db.execute(
            "UPDATE topic SET (epoch, seq) ="
            " (SELECT epoch, seq FROM message WHERE topic = ?1 AND id = ?2) WHERE id = ?1",
            (topic, newest),
        )
