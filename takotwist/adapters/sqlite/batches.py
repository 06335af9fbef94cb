"""Appends of several processes in one transaction, by the log's one writer.

A batch whose answer was lost, because the way to the writer was cut or the writer was killed,
is asked about again.  Rule: the answer to a process's last batch is stored in the transaction
that stores the batch, so asking again stores nothing twice.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from takotwist.adapters.sqlite.rows import Known
from takotwist.adapters.sqlite.writer import Transaction, answered, encoded
from takotwist.core.log import Append, Appended, numbered
from takotwist.core.retention import Watched
from takotwist.core.topic import Message


class Batch(msgspec.Struct, frozen=True):
    """Entries that one process appends at once.

    :ivar node: names this run of the process.
    :ivar number: rises with each batch of it; the same number is the same batch, again.
    """

    node: str
    number: int
    entries: Sequence[Append]


#: The first id in the answer to an entry that was refused for `Append.max_kept`.
FULL = -1

#: Of each entry the id of its first message, 0 where none was stored, and its place.
_ANSWER = msgspec.msgpack.Decoder(list[tuple[int, tuple[int, int] | None]])


def append_batches(
    db: sqlite3.Connection,
    batches: Sequence[Batch],
    now_us: int,
    watched: Watched,
    known: Known,
) -> tuple[list[tuple[list[Appended], bool]], int]:
    """Store the batches of several processes in one transaction.

    :return: for each the answers, and whether they are those of the first time; and the head.
    """
    known.begin(db)
    told = {
        batch.node: db.execute(
            "SELECT answer FROM batch WHERE node = ? AND number = ?", (batch.node, batch.number)
        ).fetchone()
        for batch in batches
    }
    fresh = [entry for batch in batches if not told[batch.node] for entry in batch.entries]
    stored, head = Transaction(db, now_us, known).store(fresh, watched)
    answers: list[tuple[list[Appended], bool]] = []
    at = 0
    for batch in batches:
        row = told[batch.node]
        if row is not None:
            places = zip(batch.entries, _ANSWER.decode(row[0]), strict=True)
            answers.append(([_told_again(db, entry, *place) for entry, place in places], True))
            continue
        answer = stored[at : at + len(batch.entries)]
        at += len(batch.entries)
        answers.append((answer, False))
        db.execute(
            "INSERT INTO batch (node, number, stored_us, answer) VALUES (?1, ?2, ?3, ?4)"
            " ON CONFLICT (node) DO UPDATE SET number = ?2, stored_us = ?3, answer = ?4",
            (batch.node, batch.number, now_us, msgspec.msgpack.encode(list(map(_brief, answer)))),
        )
    return answers, head


def _brief(appended: Appended) -> tuple[int, tuple[int, int] | None]:
    if appended.full:
        return FULL, None
    if appended.repeated or not appended.messages:
        return 0, None
    return appended.messages[0].id, appended.messages[0].place


def _told_again(
    db: sqlite3.Connection, entry: Append, first: int, place: tuple[int, int] | None
) -> Appended:
    """The answer to an entry that was stored before; its messages may have been removed since."""
    if first == FULL:
        return Appended((), full=True)
    if first:
        messages: tuple[Message, ...] = tuple(
            [
                Message(entry.topic, number, draft.type, draft.data)
                for number, draft in enumerate(entry.drafts, first)
            ]
        )
        if place is not None:
            messages = numbered(messages, (place[0], place[1] - 1))
        return Appended(messages)
    if entry.idempotency_key is None:
        return Appended(())
    row = db.execute("SELECT id FROM topic WHERE key = ?", (entry.topic.key,)).fetchone()
    key = encoded(entry.idempotency_key)
    known = None if row is None else answered(db, entry.topic, row[0], key)
    return Appended(known or (), repeated=True)
