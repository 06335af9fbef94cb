"""The log as one file: copied while it runs, moved out, taken in, looked through.

Rule: what is taken in without loss was moved out by `move_out`, which leaves nothing
behind that could go on with the same messages; whatever else is taken in makes every
older cursor too old.  So two servers never both answer for one cursor.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from urllib.parse import quote

import attrs

from takotwist.adapters.sqlite.errors import Kind, Trouble
from takotwist.adapters.sqlite.file import StoreFile
from takotwist.adapters.sqlite.migrations import STEPS, copy_into, version_of
from takotwist.adapters.sqlite.witness import (
    BLOCK,
    Account,
    Doubt,
    Found,
    Witness,
    doubt_about,
    lost_up_to,
    sync_folder,
)
from takotwist.core.counted import counted
from takotwist.core.log import LogStats

#: What belongs to a database file.
COMPANIONS = ("-wal", "-shm")


@attrs.frozen(slots=True)
class Contents:
    """Contents of a log.

    :ivar head: the highest id that it ever gave out.
    """

    stats: LogStats
    head: int


@attrs.frozen(slots=True)
class Checked:
    """Findings of `verify`.

    :ivar wrong: what is not as it should be; empty for a log that is sound.
    :ivar doubt: why a server that starts with it would take every older cursor for too old.
    :ivar moved: it is what `move_out` made.
    """

    contents: Contents
    wrong: tuple[str, ...]
    doubt: Doubt | None
    moved: bool


def back_up(path: str, to: str) -> Contents:
    """Copy the log at `path` into one new file, also while a server writes it.

    :raises Trouble: one of the two cannot be used.
    """
    with _troubles(), closing(_opened(path, "rw")) as db:
        _known(db)
        copy_into(db, to)
        with closing(_opened(to, "ro")) as copy:
            return _contents(copy)


def move_out(store: StoreFile, to: str) -> Contents:
    """Move the log of a server that does not run into one new file.

    Its witness stays, so that ids here go on rising.

    :raises Trouble: it cannot be used, or `to` not written; then it is where it was.
    """
    path = store.path
    with _troubles():
        if not os.path.exists(path):
            raise Trouble(Kind.CANNOT_OPEN, "there is none")
        # As a start does, with what it has to say about older copies.
        with closing(store.open_to_write()) as db:
            copy_into(db, to)
            store.close_in_order(db)
        with closing(_opened(to, "rw")) as copy:
            # In the copy alone: what stays here after a failure was not moved.
            copy.execute("UPDATE store SET moved = ?", (secrets.token_hex(8),))
            contents = _contents(copy)
        _remove(path)
        return contents


def take_in(source: str, path: str, boot: str, now_us: int) -> tuple[Contents, Doubt | None]:
    """Have the log in the file `source` at `path`, where no server runs, in place of what is there.

    :param boot: this run of the machine.
    :return: what it holds, and why every older cursor is too old, `None` where none is.
    :raises Trouble: it cannot be used; `path` is as it was.
    """
    unfinished = f"{path}.unfinished"
    with _troubles():
        _remove(unfinished)
        try:
            _copy_privately(source, unfinished)
            if os.path.exists(f"{source}-wal"):
                _copy_privately(f"{source}-wal", f"{unfinished}-wal")
            taken = _prepare(unfinished, path, boot, now_us)
            _remove(path)
            os.replace(unfinished, path)
            sync_folder(path)
            return taken
        finally:
            _remove(unfinished)


def _copy_privately(source: str, to: str) -> None:
    descriptor = os.open(to, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as copy, open(source, "rb") as original:
        shutil.copyfileobj(original, copy, 2**20)


def _prepare(unfinished: str, path: str, boot: str, now_us: int) -> tuple[Contents, Doubt | None]:
    """Write into the copy, and into the witness of its place, that they belong together."""
    witness, run = Witness(path), secrets.token_hex(8)
    witness.load()
    with closing(_opened(unfinished, "rw")) as db:
        _known(db)
        [verdict] = db.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok":
            raise Trouble(Kind.DAMAGED, verdict)
        found, moved = _found(db)
        doubt = doubt_about(found, witness, boot)
        if doubt is Doubt.NO_WITNESS and moved:
            doubt = None
        head = found.head
        db.execute("PRAGMA synchronous = FULL")
        db.execute("BEGIN IMMEDIATE")
        if doubt is not None:
            head = lost_up_to(doubt, found, witness, boot, now_us)
            db.execute("UPDATE store SET head = ?1, removed = ?1", (head,))
            db.execute("UPDATE topic SET removed = ?", (head,))
        db.execute("UPDATE store SET run = ?, boot = '', moved = ''", (run,))
        db.execute("COMMIT")
        # Into the one file, whatever the journal was.
        db.execute("PRAGMA journal_mode = DELETE").fetchall()
        contents = _contents(db)
    # Before the file has its name: without it the witness stands for what is not there.
    before = witness.says.run if witness.says is not None and not witness.doubt else ""
    witness.write(Account(before, run, head, head + BLOCK, ""))
    witness.close()
    return contents, doubt


def verify(path: str, boot: str, *, in_place: bool) -> Checked:
    """Look through a log, also while a server writes it.

    :param in_place: it is where a server has it, so its witness counts.
    :raises Trouble: it cannot be read.
    """
    witness = Witness(path)
    with _troubles():
        # Before the file: what is stored meanwhile may be in the file alone.
        witness.load()
        witness.close()
        with closing(_opened(path, "rw" if in_place else "ro")) as db:
            _known(db)
            db.execute("BEGIN")
            found_wrong = "\n".join(line for [line] in db.execute("PRAGMA integrity_check(20)"))
            wrong = [line for line in found_wrong.splitlines() if line != "ok"]
            wrong += _rows_that_disagree(db)
            found, moved = _found(db)
            doubt = doubt_about(found, witness, boot) if in_place else None
            return Checked(_contents(db), tuple(wrong), doubt, moved)


def _rows_that_disagree(db: sqlite3.Connection) -> Iterator[str]:
    [head] = db.execute("SELECT head FROM store").fetchone()
    for key, newest in db.execute("SELECT key, head FROM topic WHERE head > ?", (head,)):
        yield f"topic {key!r} has the id {newest}, and the log says that its highest is {head}"
    for key, said, size, count, its_size in db.execute(
        "SELECT topic.key, topic.messages + topic.kept, topic.bytes + topic.kept_bytes,"
        " count(message.id),"
        " coalesce(sum(message.size), 0)"
        " FROM topic LEFT JOIN message ON message.topic = topic.id GROUP BY topic.id"
    ):
        if (said, size) != (count, its_size):
            yield (
                f"topic {key!r} has {counted(count, 'message')} of {counted(its_size, 'byte')},"
                f" and says that it has {said} of {size}"
            )


def _contents(db: sqlite3.Connection) -> Contents:
    topics, messages, size, head = db.execute(
        "SELECT (SELECT count(*) FROM topic), count(*), coalesce(sum(size), 0),"
        " (SELECT head FROM store) FROM message"
    ).fetchone()
    return Contents(LogStats(topics, messages, size), head)


def _found(db: sqlite3.Connection) -> tuple[Found, bool]:
    began, head, run, boot, moved = db.execute(
        "SELECT began, head, run, boot, moved FROM store"
    ).fetchone()
    return Found(began, head, run, boot), bool(moved)


def _known(db: sqlite3.Connection) -> None:
    """:raises Trouble: it is not a log of this version."""
    version, newest = version_of(db), STEPS[-1].number
    if version > newest:
        raise Trouble(Kind.NEWER, f"its schema is {version}, this program knows {newest}")
    if version == 0:
        raise Trouble(Kind.DAMAGED, "it is empty")
    if version < newest:
        raise Trouble(
            Kind.FAILED, f"its schema is {version}; a start of the server brings it to {newest}"
        )


def _opened(path: str, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"file:{quote(os.path.abspath(path))}?mode={mode}", uri=True, isolation_level=None
    )


def _remove(path: str) -> None:
    for suffix in ("", *COMPANIONS):
        with suppress(FileNotFoundError):
            os.unlink(path + suffix)


@contextmanager
def _troubles() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise Trouble.of(error) from error
