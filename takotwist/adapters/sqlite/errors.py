"""Why the replay log's file cannot be used, and what the operator can do about it."""

from __future__ import annotations

import errno
import sqlite3
from enum import Enum

from takotwist.adapters import log_condition


class Kind(Enum):
    """Kinds of trouble, each with its advice."""

    LOCKED = (
        "another program holds a lock on it",
        "End that program; a replay log belongs to one takotwist alone.",
    )
    READ_ONLY = (
        "it may not be written",
        "Give this user write permission on the file and its folder.",
    )
    FULL = ("the disk is full", "Free some space on that disk.")
    DAMAGED = (
        "it is damaged or no database",
        "Put a good copy in its place, or move it away together with its -wal and -shm"
        " files; then a new log is begun.",
    )
    CANNOT_OPEN = (
        "it cannot be opened",
        "See that its folder exists and that this user may read and write there.",
    )
    DISK_ERROR = ("the disk reports an error", "See the system's log about that disk.")
    FOREIGN = (
        "it is the database of another program",
        "Set the replay path to a file of takotwist's own.",
    )
    NEWER = (
        "it was written by a newer takotwist",
        "Run that version again, or set the replay path to another file.",
    )
    NOT_READY = ("it is not there, or of an earlier version", "It is being made.")
    FAILED = ("SQLite reports an error", "See the detail.")


class Trouble(log_condition.Trouble):
    """The file cannot be used now."""

    @classmethod
    def of(cls, error: sqlite3.Error | OSError) -> Trouble:
        """Translate an error of SQLite or of the file system."""
        if isinstance(error, sqlite3.Error):
            # The low byte is the primary code, the rest a shade of it.
            code = getattr(error, "sqlite_errorcode", None) or 0
            if code == sqlite3.SQLITE_IOERR_SHMSIZE:
                # No room for the -shm; SQLite has no other way of saying so.
                return cls(Kind.FULL, str(error))
            return cls(_KINDS.get(code & 0xFF, Kind.FAILED), str(error))
        kind = _ERRNOS.get(error.errno or 0, Kind.CANNOT_OPEN)
        detail = error.strerror or str(error)
        return cls(kind, f"{detail}: {error.filename}" if error.filename else detail)


_KINDS = {
    sqlite3.SQLITE_BUSY: Kind.LOCKED,
    sqlite3.SQLITE_LOCKED: Kind.LOCKED,
    sqlite3.SQLITE_PROTOCOL: Kind.LOCKED,
    sqlite3.SQLITE_READONLY: Kind.READ_ONLY,
    sqlite3.SQLITE_FULL: Kind.FULL,
    sqlite3.SQLITE_CORRUPT: Kind.DAMAGED,
    sqlite3.SQLITE_NOTADB: Kind.DAMAGED,
    sqlite3.SQLITE_CANTOPEN: Kind.CANNOT_OPEN,
    sqlite3.SQLITE_PERM: Kind.CANNOT_OPEN,
    sqlite3.SQLITE_AUTH: Kind.CANNOT_OPEN,
    sqlite3.SQLITE_IOERR: Kind.DISK_ERROR,
}

_ERRNOS = {
    errno.ENOSPC: Kind.FULL,
    errno.EDQUOT: Kind.FULL,
    errno.EFBIG: Kind.FULL,
    errno.EIO: Kind.DISK_ERROR,
    errno.EROFS: Kind.READ_ONLY,
}
