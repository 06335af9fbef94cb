"""The database file: which one it is, whether it is still there, and how it is opened.

Somebody may delete, replace or damage the file, under a running server or between two.
Rule: nothing is acknowledged that went into a file which is no longer at its path;
where messages that were acknowledged may be missing, every older cursor is too old; and
nobody's damaged file is deleted or moved, that is for the operator.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import Literal
from urllib.parse import quote

import attrs

from takotwist.adapters.sqlite.errors import Kind, Trouble
from takotwist.adapters.sqlite.migrations import (
    STEPS,
    Step,
    bring_up_to_date,
    use_write_ahead_log,
)
from takotwist.adapters.sqlite.unreported import drop_unreported
from takotwist.adapters.sqlite.witness import (
    BLOCK,
    Account,
    Found,
    Witness,
    doubt_about,
    lost_up_to,
)
from takotwist.core.retention import Watched

Durability = Literal["commit", "power"]

#: Seconds that a lock of another program is waited for.  Short, because the one
#: writer waits for it and everybody waits for the writer.
LOCK_SECONDS = 0.25

#: The write-ahead log is cut back to so many bytes after it has been written home, which a
#: commit does at so many pages, if there was no rest (`connection.HOME_PAGES`) before.
WAL_BYTES, WAL_PAGES = 8 * 2**20, 4000

#: (device, inode) of the database, its -wal and its -shm.
Inode = tuple[int, int]
Identity = tuple[Inode, Inode, Inode]

#: Said after what happened to a file, since this is what follows for clients.
TOO_OLD = "Every cursor from before is too old: those clients are told to load their state anew"

#: What changes when somebody else writes into the database file.
Content = tuple[int, int, int]


def _identity(path: str) -> Inode | None:
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


def _decoded(text: bytes) -> str:
    # A type may hold what JSON may hold, lone surrogates included.
    return text.decode("utf-8", "surrogatepass")


def this_boot() -> str:
    """Identifier of this boot of the machine.

    Where the system does not say, each run of the process is one of its own: then
    a log that was not closed in order owns up to losses, rather than hope.
    """
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return f"?{secrets.token_hex(8)}"


@attrs.define(slots=True, eq=False)
class StoreFile:
    """One database file, shared by the connections to it.

    :ivar path: where it is.
    :ivar durability: ``commit`` survives the end of the process, ``power`` the machine's.
    :ivar wall: unix time in seconds: says at which id a new log begins.
    :ivar watched: is told the longest inactivity ttl found in the file.
    :ivar boot: which run of the machine this is.
    :ivar run: which run of a server.
    :ivar witness: what was given out, beside the file.
    :ivar notices: what happened to the file, for the operator.
    :ivar opened: the files that the writer has open, `None` where it has not.
    :ivar readers: what closes each reader's connection.
    :ivar begun: whether file and witness say that this run writes.
    """

    path: str
    durability: Durability
    wall: Callable[[], float]
    watched: Watched
    steps: tuple[Step, ...] = STEPS
    boot: str = attrs.field(factory=this_boot)
    run: str = attrs.field(factory=lambda: secrets.token_hex(8))
    witness: Witness = attrs.field(init=False)
    notices: list[str] = attrs.field(factory=list, init=False)
    opened: Identity | None = None
    readers: list[Callable[[], None]] = attrs.field(factory=list, init=False)
    begun: bool = attrs.field(default=False, init=False)
    _suspect: bool = attrs.field(default=False, init=False)
    _damage: tuple[Content | None, str] | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.witness = Witness(self.path)

    def identity(self) -> Identity | None:
        """Identity of the files at the path; `None` where one is missing."""
        main = _identity(self.path)
        wal = _identity(self.path + "-wal")
        shm = _identity(self.path + "-shm")
        return None if main is None or wal is None or shm is None else (main, wal, shm)

    def content(self) -> Content | None:
        """Changes when the database file is written to, the write-ahead log aside."""
        try:
            stat = os.stat(self.path)
        except OSError:
            return None
        return stat.st_ino, stat.st_size, stat.st_mtime_ns

    def suspect(self) -> None:
        """The file was found damaged, or somebody wrote into it: look through it when next opened.

        To be called after the connection was closed, since closing may write.
        """
        self._suspect = True

    def open_to_write(self) -> sqlite3.Connection:
        """The file, made or upgraded where need be.

        :raises Trouble: it cannot be used.
        """
        if self._damage is not None and self._damage[0] == self.content():
            # Looking through a large file takes long; it is as it was.
            raise Trouble(Kind.DAMAGED, self._damage[1])
        self._damage = None
        self.begun = False
        try:
            self.witness.load()
            self._make_if_missing()
            db = self._connect()
        except (sqlite3.Error, OSError) as error:
            raise Trouble.of(error) from None
        try:
            self._prepare(db)
        except (sqlite3.Error, OSError, Trouble) as error:
            db.close()
            trouble = error if isinstance(error, Trouble) else Trouble.of(error)
            if trouble.kind is Kind.DAMAGED:
                self._suspect = True
                self._damage = (self.content(), trouble.detail)
            raise trouble from None
        return db

    def open_to_read(self) -> sqlite3.Connection:
        """The file as the writer has it open.

        :raises Trouble: it cannot be used.
        """
        try:
            db = self._connect()
            db.execute("PRAGMA query_only = ON")
        except sqlite3.Error as error:
            raise Trouble.of(error) from None
        return db

    def leave(self, db: sqlite3.Connection, identity: Identity) -> None:
        """Close a file of which at least a part is no longer at the path.

        :param identity: the files that `db` has open, the last connection to them.
        """
        if _identity(self.path) == identity[0]:
            # Only its -wal or -shm went.  They are still open here, so what is in
            # them can come home; else it would be lost, which is seen when it is opened.
            with suppress(sqlite3.Error):
                [kept, *_] = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                if kept == 0:
                    self.notices.append(
                        "had its -wal or -shm removed under the running server. What was in"
                        " them was written into it: no message is lost, and no cursor"
                    )
            db.close()
            return
        db.close()
        for suffix, its in zip(("-wal", "-shm"), identity[1:], strict=True):
            # What the old file left behind; SQLite would read it into the new one.
            if _identity(self.path + suffix) == its:
                with suppress(OSError):
                    os.unlink(self.path + suffix)

    def begin(self, db: sqlite3.Connection) -> None:
        """Have file and witness say that this run writes.  To be called outside of a transaction.

        The witness first says that it is about to, so that neither of the two is ever
        taken for a stranger by the other, however this ends.

        :raises OSError: and `sqlite3.Error`: one of them cannot be written; nothing was begun.
        """
        accepted = self.witness.says
        assert accepted is not None
        now_us = int(self.wall() * 1_000_000)
        reserved = max(accepted.reserved, max(accepted.head, now_us) + BLOCK)
        if accepted.run != self.run:
            self.witness.write(attrs.evolve(accepted, next=self.run, reserved=reserved))
        boot = self.boot if self.durability == "commit" else ""
        # FULL, whatever the durability: what is noted here has to be on the disk before
        # the commits that it speaks of.
        db.execute("PRAGMA synchronous = FULL")
        db.execute(
            "UPDATE store SET boot = ?1, run = ?2 WHERE boot != ?1 OR run != ?2", (boot, self.run)
        )
        if self.durability == "commit":
            db.execute("PRAGMA synchronous = NORMAL")
        self.witness.write(Account(self.run, "", accepted.head, reserved, self.boot))
        self.begun = True

    def reserve(self, head: int) -> None:
        """Ids up to `head` are about to be given out.

        :raises OSError: that cannot be noted.
        """
        said = self.witness.says
        assert said is not None
        if head > said.reserved:
            self.witness.write(attrs.evolve(said, reserved=head + BLOCK))

    def stored(self, head: int) -> None:
        """Messages up to `head` were committed, and are about to be reported.

        :raises OSError: that cannot be noted.
        """
        said = self.witness.says
        assert said is not None
        if head > said.head:
            self.witness.note(head)

    def look_after_witness(self) -> None:
        """Make the witness again where somebody removed it; what fails is tried again."""
        with suppress(OSError):
            if self.witness.keep():
                self.notices.append(
                    "had its witness file removed under the running server. It was made again:"
                    " no message is lost, and no cursor"
                )

    def close_in_order(self, db: sqlite3.Connection) -> None:
        """Everything home into the database file, and nothing left to doubt."""
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        db.execute("UPDATE store SET boot = ''")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        said = self.witness.says
        if self.begun and said is not None:
            with suppress(OSError):
                self.witness.keep()
                self.witness.write(attrs.evolve(said, reserved=said.head, boot=""))
        self.witness.close()
        self.begun = False

    def _make_if_missing(self) -> None:
        if os.path.exists(self.path):
            return
        for suffix in ("-wal", "-shm"):
            # They belong to a file that is gone; SQLite would read them into the new one.
            if os.path.exists(self.path + suffix):
                os.unlink(self.path + suffix)
        # Empty, which SQLite takes for a new database.  Messages are nobody
        # else's business, and -wal and -shm take their mode from it.
        os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(
            f"file:{quote(os.path.abspath(self.path))}?mode=rw",
            uri=True,
            timeout=LOCK_SECONDS,
            isolation_level=None,
            # adbapi closes the connections of its threads from the reactor's.
            check_same_thread=False,
        )
        db.text_factory = _decoded
        return db

    def _prepare(self, db: sqlite3.Connection) -> None:
        if self._suspect:
            [verdict] = db.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise Trouble(Kind.DAMAGED, verdict)
        now_us = int(self.wall() * 1_000_000)
        # What is noted here has to be on the disk before the commits that it speaks of.
        db.execute("PRAGMA synchronous = FULL")
        said = self.witness.says
        given = said.given(self.boot) if said is not None else 0
        if bring_up_to_date(db, self.path, max(given + 1, now_us), self.steps) == 0:
            # Else it is all in the -wal for a while, and looks like no log without it.
            db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            if given:
                self.notices.append(f"was gone or empty, and a new one was begun. {TOO_OLD}")
        use_write_ahead_log(db)
        db.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
        db.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
        db.execute("PRAGMA secure_delete = FAST")
        self._own_up_to_losses(db, now_us)
        if self.durability == "commit":
            db.execute("PRAGMA synchronous = NORMAL")
        [longest] = db.execute("SELECT coalesce(max(inactivity_ttl_ms), 0) FROM topic").fetchone()
        self.watched.told(longest)
        self._suspect = False
        try:
            self.begin(db)
        except (sqlite3.Error, OSError) as error:
            # What is stored can still be read; the first transaction tries again.
            if Trouble.of(error).kind is not Kind.FULL:
                raise

    def _own_up_to_losses(self, db: sqlite3.Connection, now_us: int) -> None:
        """Raise the watermarks where messages that were acknowledged may be missing."""
        witness, doubt = self.witness, None
        db.execute("BEGIN IMMEDIATE")
        try:
            found = Found(*db.execute("SELECT began, head, run, boot FROM store").fetchone())
            doubt = doubt_about(found, witness, self.boot)
            head = found.head
            if doubt is not None:
                head = lost_up_to(doubt, found, witness, self.boot, now_us)
                db.execute("UPDATE store SET head = ?1, removed = ?1", (head,))
                # Numbers that were given to what is missing are given to nothing else.
                db.execute("UPDATE topic SET removed = ?, epoch = NULL, seq = NULL", (head,))
            elif found.run == self.run and witness.says is not None:
                drop_unreported(db, witness.says.head)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        if doubt is not None:
            self.notices.append(f"{doubt.value}. {TOO_OLD}")
        said = witness.says
        reserved = max(said.reserved, head) if said is not None else head
        # From here on the file is believed; the witness is told of it by `begin`.
        witness.accept(Account(found.run, "", head, reserved, self.boot))
