"""Database module for adbapi: it connects one thread to the file.

A connection opens its file when it is first needed, and anew when the file at
the path has become another one.  Rule: it never fails in a way that adbapi
would log; all that goes wrong leaves `run` as a `Trouble`, with the transaction
undone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from typing import Literal, TypeVar

from takotwist.adapters.sqlite.errors import Kind, Trouble
from takotwist.adapters.sqlite.file import Content, Identity, StoreFile

# PEP 249, for adbapi.
apilevel = "2.0"
threadsafety = 1
paramstyle = "qmark"

T = TypeVar("T")

#: From about so many pages in the write-ahead log on, the next moment without work is used
#: to write them home.  (SQLite would do it within a commit, which waits for the disk then.)
HOME_PAGES = 1000

#: After these the open file is as good as before.
_HARMLESS = frozenset({Kind.LOCKED, Kind.FULL})


class Connection:
    """One thread's access to the file.

    The writer's leads: a reader opens only the file that the writer has open, and
    the writer closes the readers' before it leaves a file.  SQLite keeps one
    shared memory for all connections of a process to one file, so a single one
    left behind would tie the next to files that are gone.

    :param file: the file.
    :param side: ``write`` for the one writer.
    """

    def __init__(self, file: StoreFile, side: Literal["write", "read"]) -> None:
        self._file = file
        self._writes = side == "write"
        self._db: sqlite3.Connection | None = None
        self._identity: Identity | None = None
        self._content: Content | None = None
        self._changes = self._pages = 0
        self._in_use = Lock()
        if not self._writes:
            file.readers.append(self._shut)

    def run(
        self,
        work: Callable[[sqlite3.Connection], T],
        committed: Callable[[T], object] | None = None,
        head_of: Callable[[T], int] | None = None,
    ) -> T:
        """Do `work` in one transaction of the file that is at the path.

        :param committed: is told what `work` returned, at once after the commit.
        :param head_of: of what `work` returned, the highest id that may be given out after it.
            To be given with all work that writes.
        :raises Trouble: the file cannot be used; nothing of `work` has happened,
            or nobody can see it any more.
        """
        with self._in_use:
            db = self._current()
            done = False
            try:
                if head_of is not None and not self._file.begun:
                    self._file.begin(db)
                db.execute("BEGIN IMMEDIATE" if self._writes else "BEGIN")
                result = work(db)
                if head_of is None:
                    db.execute("COMMIT")
                else:
                    head = head_of(result)
                    self._file.reserve(head)
                    db.execute("COMMIT")
                    done = True
                    self._file.stored(head)
            except (sqlite3.Error, OSError) as error:
                trouble = Trouble.of(error)
                self._undo(trouble, done=done)
                raise trouble from error
            except BaseException:
                self._undo(None, done=done)
                raise
            if committed is not None:
                committed(result)
            if self._writes:
                self._check_still_there()
                self._count(db)
            return result

    def rest(self) -> None:
        """There is no work for a moment: write the write-ahead log home, where it is long.

        What fails is left to the next commit, which will fail too and say so.
        """
        with self._in_use:
            self._file.look_after_witness()
            if self._db is None or self._pages < HOME_PAGES:
                return
            self._pages = 0
            # Where somebody else wrote, the next transaction has to see it.
            if self._content == self._file.content():
                with suppress(sqlite3.Error):
                    self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                self._content = self._file.content()

    def close_in_order(self) -> None:
        """Close the writer's, with everything written home.

        What fails is left to the next start.
        """
        with self._in_use:
            if self._db is not None and self._identity == self._file.identity():
                with suppress(sqlite3.Error):
                    self._file.close_in_order(self._db)
            self._leave()

    def close(self) -> None:
        """Close for good.  For adbapi."""
        if self._writes:
            self._leave()
        else:
            self._shut()
            self._file.readers.remove(self._shut)

    def commit(self) -> None:
        """For adbapi: `run` has committed."""

    def rollback(self) -> None:
        """For adbapi: `run` has undone what it could not commit."""

    def _current(self) -> sqlite3.Connection:
        identity = self._file.identity()
        if not self._writes:
            if identity is None or identity != self._file.opened:
                raise Trouble(Kind.NOT_READY, "the writer does not have it open")
            if self._db is None:
                self._db = self._file.open_to_read()
            return self._db
        if self._db is not None and (self._identity != identity or self._file.opened is None):
            self._leave()
        elif self._db is not None and self._content != self._file.content():
            # Only this connection writes the database file, so it was not us.
            self._leave()
            self._file.suspect()
        if self._db is None:
            self._db = self._file.open_to_write()
            self._identity = self._file.opened = self._file.identity()
            self._content = self._file.content()
            self._changes = self._pages = 0
        return self._db

    def _check_still_there(self) -> None:
        self._content = self._file.content()
        if self._identity is None or self._identity != self._file.identity():
            self._leave()
            raise Trouble(Kind.NOT_READY, "the file went away during the transaction")

    def _count(self, db: sqlite3.Connection) -> None:
        changes = db.total_changes
        # Two changes dirty a page of their own, as a rule, and a commit three besides.
        self._pages += 3 + (changes - self._changes) // 2
        self._changes = changes

    def _leave(self) -> None:
        """Close the writer's, after the readers'."""
        self._file.opened = None
        for shut in tuple(self._file.readers):
            shut()
        db, self._db = self._db, None
        if db is None:
            return
        if self._identity is not None and self._identity != self._file.identity():
            self._file.leave(db, self._identity)
        else:
            db.close()

    def _shut(self) -> None:
        """Close a reader's, when it has finished what it reads."""
        with self._in_use:
            db, self._db = self._db, None
            if db is not None:
                db.close()

    def _undo(self, trouble: Trouble | None, *, done: bool) -> None:
        """:param done: it was committed.  Then the next to open the file takes it back."""
        harmless = not done and (trouble is None or trouble.kind in _HARMLESS)
        try:
            if self._db is not None and self._db.in_transaction:
                self._db.execute("ROLLBACK")
        except sqlite3.Error:
            harmless = False
        if harmless:
            return
        if not self._writes:
            db, self._db = self._db, None
            if db is not None:
                db.close()
            if trouble is not None and trouble.kind is Kind.DAMAGED:
                # The writer looks through the file before anybody uses it again: else
                # it would be said to work and to be damaged in turn, topic by topic.
                self._file.opened = None
                self._file.suspect()
            return
        self._leave()
        if trouble is not None and trouble.kind is Kind.DAMAGED:
            self._file.suspect()


def connect(file: StoreFile, side: Literal["write", "read"]) -> Connection:
    """A connection; nothing is opened yet, so this cannot fail."""
    return Connection(file, side)
