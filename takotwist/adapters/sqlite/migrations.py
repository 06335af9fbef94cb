"""Brings a database file to the schema of this program.

The schema is the files ``schema/NNN_*.sql`` in order; ``user_version`` says how
many of them a file has seen.  Rule: a file is changed in one transaction, after
a copy of it was kept, or not at all; one from a newer program is left alone.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.resources import files

import attrs

from takotwist.adapters.sqlite.errors import Kind, Trouble
from takotwist.adapters.sqlite.witness import sync_folder

#: Says in the file's header whose file it is: "TAKO".
APPLICATION_ID = 0x54414B4F


@attrs.frozen(slots=True)
class Step:
    """One SQL file.

    :ivar number: its place; a file that has seen it has this ``user_version``.
    :ivar sql: its statements.
    """

    number: int
    sql: str


def _steps() -> tuple[Step, ...]:
    folder = files("takotwist.adapters.sqlite") / "schema"
    return tuple(
        Step(int(file.name[:3]), file.read_text("utf-8"))
        for file in sorted(folder.iterdir(), key=lambda file: file.name)
        if file.name.endswith(".sql")
    )


#: The schema of this program.
STEPS = _steps()


def version_of(db: sqlite3.Connection) -> int:
    """The schema version of the file; 0 for a new one.

    :raises Trouble: it belongs to another program.
    """
    [version] = db.execute("PRAGMA user_version").fetchone()
    [application] = db.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION_ID:
        [tables] = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables or version or application:
            raise Trouble(Kind.FOREIGN, f"application_id {application:#x}")
    return int(version)


def bring_up_to_date(
    db: sqlite3.Connection, path: str, begins_at: int, steps: Sequence[Step] = STEPS
) -> int:
    """Make the schema in a new file, or upgrade an old one.

    :param begins_at: the id at which a new log begins.
    :return: the version that it had: 0 for a new one.
    :raises Trouble: the file is newer than this program, or another program's.
    """
    newest = steps[-1].number
    version = version_of(db)
    if version > newest:
        raise Trouble(Kind.NEWER, f"its schema is {version}, this program knows {newest}")
    if version == newest:
        return version
    if version == 0:
        # Both are written into an empty file's header, so they come before any
        # table; with incremental vacuum the file can shrink a little at a time.
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        use_write_ahead_log(db)
    else:
        copy_into(db, f"{path}.v{version}")
    db.execute("BEGIN IMMEDIATE")
    try:
        for step in steps:
            if step.number > version:
                for statement in _statements(step.sql):
                    db.execute(statement)
        if version == 0:
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(
                "INSERT INTO store (only_row, began, head, removed) VALUES (1, ?1, ?1, ?1)",
                (begins_at,),
            )
        db.execute(f"PRAGMA user_version = {newest}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    return version


def use_write_ahead_log(db: sqlite3.Connection) -> None:
    """:raises Trouble: the file system cannot do it (a network share, as a rule)."""
    [mode] = db.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise Trouble(Kind.CANNOT_OPEN, "its file system has no write-ahead log; use a local disk")


def copy_into(db: sqlite3.Connection, to: str) -> None:
    """Have a copy of the whole database at `to`, which only this user may read.

    It is whole and on the disk before it has its name.
    """
    unfinished = f"{to}.unfinished"
    with suppress(FileNotFoundError):
        os.unlink(unfinished)
    try:
        # SQLite takes an empty file for none, and leaves its mode.
        os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        db.execute("VACUUM INTO ?", (unfinished,))
        descriptor = os.open(unfinished, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(unfinished, to)
        sync_folder(to)
    except BaseException:
        with suppress(OSError):
            os.unlink(unfinished)
        raise


def _statements(sql: str) -> Iterator[str]:
    # Not `executescript`: it commits what is open before it begins.
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
