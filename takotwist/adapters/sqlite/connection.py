"""What adbapi takes for a database module: it connects one thread to the file.

A connection opens its file when it is first needed, and anew when the file at
the path has become another one.  Rule: it never fails in a way that adbapi
would log; all that goes wrong leaves `run` as a `Trouble`, with the transaction
undone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import Literal, TypeVar

from takotwist.adapters.sqlite.file import Content, Identity, StoreFile
from takotwist.adapters.sqlite.trouble import Kind, Trouble

# PEP 249, for adbapi.
apilevel = "2.0"
threadsafety = 1
paramstyle = "qmark"

T = TypeVar("T")

#: After these the open file is as good as before.
_HARMLESS = frozenset({Kind.LOCKED, Kind.FULL})


class Connection:
    """One thread's access to the file.

    :param file: the file.
    :param side: ``write`` for the one writer.
    """

    def __init__(self, file: StoreFile, side: Literal["write", "read"]) -> None:
        self._file = file
        self._writes = side == "write"
        self._db: sqlite3.Connection | None = None
        self._identity: Identity | None = None
        self._content: Content | None = None

    def run(
        self,
        work: Callable[[sqlite3.Connection], T],
        committed: Callable[[T], object] | None = None,
    ) -> T:
        """Do `work` in one transaction of the file that is at the path.

        :param committed: is told what `work` returned, at once after the commit.
        :raises Trouble: the file cannot be used; nothing of `work` has happened,
            or nobody can see it any more.
        """
        db = self._current()
        try:
            db.execute("BEGIN IMMEDIATE" if self._writes else "BEGIN")
            result = work(db)
            db.execute("COMMIT")
        except sqlite3.Error as error:
            trouble = Trouble.of(error)
            self._undo(trouble)
            raise trouble from error
        except BaseException:
            self._undo(None)
            raise
        if committed is not None:
            committed(result)
        if self._writes and not self._remember():
            self.close()
            raise Trouble(Kind.NOT_READY, "the file went away during the transaction")
        return result

    def close_in_order(self) -> None:
        """Close, with everything written home.  What fails is left to the next start."""
        if self._db is not None and self._identity == self._file.identity():
            with suppress(sqlite3.Error):
                self._file.close_in_order(self._db)
        self.close()

    def close(self) -> None:
        """Close at once.  Called by adbapi too."""
        db, self._db = self._db, None
        if db is not None:
            db.close()

    def commit(self) -> None:
        """For adbapi: `run` has committed."""

    def rollback(self) -> None:
        """For adbapi: `run` has undone what it could not commit."""

    def _current(self) -> sqlite3.Connection:
        if self._db is not None and self._identity != self._file.identity():
            self.close()
        if self._db is not None and self._writes and self._content != self._file.content():
            # Only this connection writes the database file, so it was not us.
            self.close()
            self._file.suspect()
        if self._db is None:
            self._db = self._file.open_to_write() if self._writes else self._file.open_to_read()
            self._identity = self._file.identity()
            self._content = self._file.content()
        return self._db

    def _remember(self) -> bool:
        """After a commit: whether the file is still the one that was opened."""
        self._content = self._file.content()
        return self._identity is not None and self._identity == self._file.identity()

    def _undo(self, trouble: Trouble | None) -> None:
        if self._db is None:
            return
        try:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        except sqlite3.Error:
            self.close()
        if trouble is not None and trouble.kind not in _HARMLESS:
            self.close()
            if self._writes and trouble.kind is Kind.DAMAGED:
                self._file.suspect()


def connect(file: StoreFile, side: Literal["write", "read"]) -> Connection:
    """A connection; nothing is opened yet, so this cannot fail."""
    return Connection(file, side)
