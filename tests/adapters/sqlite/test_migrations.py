"""A database file is brought to the schema of this program, or left alone."""

from __future__ import annotations

import os
import sqlite3
import stat

from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.sqlite.errors import Kind, Trouble
from takotwist.adapters.sqlite.migrations import (
    APPLICATION_ID,
    STEPS,
    Step,
    bring_up_to_date,
    version_of,
)

SECOND = Step(STEPS[-1].number + 1, "CREATE TABLE more (a INTEGER);\nINSERT INTO more VALUES (7);")
BROKEN = Step(STEPS[-1].number + 1, "CREATE TABLE more (a INTEGER);\nSELECT * FROM missing;")


class MigrationTests(SynchronousTestCase):
    """Each test begins with a path at which there is nothing."""

    def setUp(self) -> None:
        self.path = self.mktemp()
        self.db = self.open()

    def open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(db.close)
        return db

    def asked(self, what: str) -> object:
        return self.db.execute(what).fetchone()[0]

    def refused(self, kind: Kind) -> Trouble:
        trouble = self.assertRaises(Trouble, bring_up_to_date, self.db, self.path, 5)
        self.assertIs(trouble.kind, kind)
        return trouble

    def test_steps_are_numbered(self) -> None:
        """The schema's files are numbered from 1 without a gap."""
        self.assertEqual([step.number for step in STEPS], list(range(1, len(STEPS) + 1)))

    def test_new(self) -> None:
        """A new file gets the schema, a beginning, and what can only be set before any table."""
        self.assertEqual(bring_up_to_date(self.db, self.path, 5), 0)
        self.assertEqual(version_of(self.db), STEPS[-1].number)
        self.assertEqual(
            self.db.execute("SELECT began, head, removed FROM store").fetchall(), [(5, 5, 5)]
        )
        self.assertEqual(self.asked("PRAGMA auto_vacuum"), 2)
        self.assertEqual(self.asked("PRAGMA journal_mode"), "wal")
        self.assertEqual(self.asked("PRAGMA application_id"), APPLICATION_ID)

    def test_nothing_to_do(self) -> None:
        """A file that is up to date is left alone."""
        bring_up_to_date(self.db, self.path, 5)
        self.assertEqual(bring_up_to_date(self.db, self.path, 6), STEPS[-1].number)
        self.assertEqual(self.asked("SELECT began FROM store"), 5)

    def test_upgrade_keeps_a_copy(self) -> None:
        """Before an upgrade the file as it was is kept beside it."""
        bring_up_to_date(self.db, self.path, 5)
        before = bring_up_to_date(self.db, self.path, 6, (*STEPS, SECOND))
        self.assertEqual(before, STEPS[-1].number)
        self.assertEqual(self.asked("SELECT a FROM more"), 7)
        self.assertEqual(self.asked("SELECT began FROM store"), 5)
        self.assertEqual(version_of(self.db), SECOND.number)
        copy = sqlite3.connect(f"{self.path}.v{STEPS[-1].number}")
        self.addCleanup(copy.close)
        self.assertEqual(version_of(copy), STEPS[-1].number)
        self.assertEqual(copy.execute("SELECT began FROM store").fetchone(), (5,))
        self.assertEqual(stat.S_IMODE(os.stat(f"{self.path}.v{STEPS[-1].number}").st_mode), 0o600)

    def test_failed_upgrade_changes_nothing(self) -> None:
        """An upgrade that fails half way leaves the file as it was, and can be tried again,
        even over a copy that was not finished."""
        bring_up_to_date(self.db, self.path, 5)
        self.assertRaises(
            sqlite3.OperationalError, bring_up_to_date, self.db, self.path, 6, (*STEPS, BROKEN)
        )
        self.assertEqual(version_of(self.db), STEPS[-1].number)
        self.assertEqual(self.asked("SELECT count(*) FROM sqlite_master WHERE name = 'more'"), 0)
        with open(f"{self.path}.v{STEPS[-1].number}.unfinished", "w") as file:
            file.write("half")
        bring_up_to_date(self.db, self.path, 6, (*STEPS, SECOND))
        self.assertEqual(self.asked("SELECT a FROM more"), 7)
        self.assertFalse(os.path.exists(f"{self.path}.v{STEPS[-1].number}.unfinished"))

    def test_newer(self) -> None:
        """A file of a newer program is refused, and says which is which."""
        bring_up_to_date(self.db, self.path, 5, (*STEPS, SECOND))
        trouble = self.refused(Kind.NEWER)
        self.assertIn(str(SECOND.number), trouble.detail)

    def test_foreign(self) -> None:
        """Another program's database is refused and not touched."""
        self.db.execute("CREATE TABLE theirs (a)")
        self.refused(Kind.FOREIGN)
        self.assertEqual(self.asked("SELECT count(*) FROM sqlite_master"), 1)

    def test_foreign_by_its_header(self) -> None:
        """So is one that has no tables yet but says whose it is."""
        self.db.execute("PRAGMA application_id = 7")
        self.refused(Kind.FOREIGN)
