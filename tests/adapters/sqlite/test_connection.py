"""One thread's access to the file: what was not kept is not reported as kept."""

from __future__ import annotations

import os
import sqlite3

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.sqlite.connection import HOME_PAGES, Connection, connect
from takotwist.adapters.sqlite.errors import Kind, Trouble
from takotwist.adapters.sqlite.file import StoreFile
from takotwist.adapters.sqlite.witness import BLOCK
from takotwist.core.retention import Watched


def head(db: sqlite3.Connection) -> int:
    return db.execute("SELECT head FROM store").fetchone()[0]


def raise_head(db: sqlite3.Connection) -> int:
    db.execute("UPDATE store SET head = head + 1")
    return head(db)


class ConnectionTests(SynchronousTestCase):
    """Each test begins with a writer and a reader that have opened nothing; a new log's head is 1,
    since the clock stands at 0."""

    def setUp(self) -> None:
        self.path = self.mktemp()
        self.file = StoreFile(self.path, "commit", Clock().seconds, Watched())
        self.writer = connect(self.file, "write")
        self.reader = connect(self.file, "read")
        self.addCleanup(self.writer.close)
        self.addCleanup(self.reader.close)

    def trouble(self, connection: Connection, work=head) -> Kind:
        return self.assertRaises(Trouble, connection.run, work).kind

    def test_reader_waits_for_the_writer(self) -> None:
        """A reader opens nothing before the writer did."""
        self.assertIs(self.trouble(self.reader), Kind.NOT_READY)
        self.assertFalse(os.path.exists(self.path))
        self.writer.run(raise_head)
        self.assertEqual(self.reader.run(head), 2)

    def test_rest(self) -> None:
        """A rest writes a long write-ahead log home, and a short one not yet."""
        self.writer.run(raise_head)
        self.reader.run(head)
        before = self.file.content()
        self.writer.rest()
        self.assertEqual(self.file.content(), before)
        for _ in range(HOME_PAGES):
            self.writer.run(raise_head)
        self.writer.rest()
        written = self.file.content()
        self.assertNotEqual(written, before)
        self.writer.run(raise_head)
        self.writer.rest()
        self.assertEqual(self.file.content(), written)
        self.assertEqual(self.reader.run(head), HOME_PAGES + 3)

    def test_rest_hides_nothing(self) -> None:
        """What somebody else wrote into the file before a rest is looked into after it."""
        suspected: list[StoreFile] = []
        self.patch(StoreFile, "suspect", lambda file: suspected.append(file))
        for _ in range(HOME_PAGES):
            self.writer.run(raise_head)
        with open(self.path, "r+b") as file:
            file.seek(0)
            file.write(b"x" * 100)
        self.writer.rest()
        self.assertEqual(suspected, [])
        self.assertIs(self.trouble(self.writer), Kind.DAMAGED)
        self.assertEqual(suspected, [self.file])

    def test_rest_without_a_file(self) -> None:
        """A rest before anything was opened, and one after the file has gone, do nothing."""
        self.writer.rest()
        self.assertFalse(os.path.exists(self.path))
        for _ in range(HOME_PAGES):
            self.writer.run(raise_head)
        os.unlink(self.path)
        self.writer.rest()
        self.assertFalse(os.path.exists(self.path))

    def test_opened_again_and_again(self) -> None:
        """A file that is opened anew with each call, as on a bad disk, reserves no more ids."""
        for _ in range(5):
            self.writer.run(raise_head, head_of=int)
            self.file.opened = None
        says = self.file.witness.says
        assert says is not None
        self.assertEqual(says.head, 6)
        self.assertLessEqual(says.reserved, says.head + BLOCK)

    def test_reader_cannot_write(self) -> None:
        """A reader that tries to write is refused."""
        self.writer.run(head)
        self.assertIs(self.trouble(self.reader, raise_head), Kind.READ_ONLY)

    def test_committed_is_told(self) -> None:
        """The writer is told of a commit, and of no failure."""
        told: list[int] = []
        self.writer.run(raise_head, told.append)
        self.assertRaises(ZeroDivisionError, self.writer.run, lambda db: 1 // 0, told.append)
        self.assertEqual(told, [2])

    def test_failure_undoes_all(self) -> None:
        """What fails half way leaves nothing behind, and the next call works."""

        def fail(db: sqlite3.Connection) -> int:
            raise_head(db)
            raise ValueError

        self.assertRaises(ValueError, self.writer.run, fail)
        self.assertEqual(self.writer.run(head), 1)
        self.assertIs(
            self.trouble(self.writer, lambda db: raise_head(db) and db.execute("nonsense")),
            Kind.FAILED,
        )
        self.assertEqual(self.writer.run(head), 1)

    def test_deleted_during_the_transaction(self) -> None:
        """A commit into a file that has just been deleted is no commit."""

        def delete(db: sqlite3.Connection) -> int:
            os.unlink(self.path)
            return raise_head(db)

        self.writer.run(raise_head)
        self.assertIs(self.trouble(self.writer, delete), Kind.NOT_READY)
        self.assertEqual(self.writer.run(head), 2)

    def test_reader_follows_the_writer(self) -> None:
        """After the file was replaced the reader reads nothing until the writer has looked."""
        self.writer.run(raise_head, head_of=int)
        self.reader.run(head)
        os.unlink(self.path)
        self.assertIs(self.trouble(self.reader), Kind.NOT_READY)
        self.writer.run(head)
        self.assertEqual(self.reader.run(head), 3)

    def test_damage_found_by_a_reader(self) -> None:
        """Damage that a reader finds is looked into before anybody uses the file again."""
        self.writer.run(lambda db: db.execute("INSERT INTO topic SELECT 1, 'a'" + ", 0" * 15))
        self.writer.close_in_order()
        self.writer.run(head)
        with sqlite3.connect(self.path) as other:
            [page] = other.execute(
                "SELECT rootpage FROM sqlite_master WHERE name = 'message'"
            ).fetchone()
        other.close()
        with open(self.path, "r+b") as file:
            file.seek((page - 1) * 4096)
            file.write(b"\xff" * 4096)
        self.assertIs(
            self.trouble(self.reader, lambda db: db.execute("SELECT * FROM message").fetchall()),
            Kind.DAMAGED,
        )
        self.assertIs(self.trouble(self.reader), Kind.NOT_READY)
        self.assertIs(self.trouble(self.writer), Kind.DAMAGED)
        self.assertIs(self.trouble(self.writer), Kind.DAMAGED)
