"""The operator is told of a change, once, with what to do."""

from __future__ import annotations

import sqlite3

from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.log_condition import Condition
from takotwist.adapters.sqlite.errors import Kind, Trouble

FULL = Trouble(Kind.FULL, "database or disk is full")
LOCKED = Trouble(Kind.LOCKED, "database is locked")


class TroubleTests(SynchronousTestCase):
    """What an error means."""

    def test_of_sqlite(self) -> None:
        """SQLite's code decides, its finer shades put aside."""
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE
        trouble = Trouble.of(error)
        self.assertEqual((trouble.kind, trouble.detail), (Kind.DISK_ERROR, "disk I/O error"))

    def test_of_anything_else(self) -> None:
        """An error without a code is told as it is."""
        self.assertIs(Trouble.of(sqlite3.InterfaceError("odd")).kind, Kind.FAILED)

    def test_of_the_file_system(self) -> None:
        """An error of the file system means that the file cannot be opened."""
        trouble = Trouble.of(FileNotFoundError(2, "No such file or directory"))
        self.assertEqual(
            (trouble.kind, trouble.detail), (Kind.CANNOT_OPEN, "No such file or directory")
        )


class ConditionTests(SynchronousTestCase):
    """What the operator hears."""

    def setUp(self) -> None:
        self.said: list[str] = []
        globalLogPublisher.addObserver(self._hear)
        self.addCleanup(globalLogPublisher.removeObserver, self._hear)
        self.condition = Condition("/srv/replay.sqlite")

    def _hear(self, event) -> None:
        if event.get("log_namespace", "").startswith("takotwist"):
            self.said.append(formatEvent(event))

    def test_silent_while_all_is_well(self) -> None:
        """Success is no news."""
        self.condition.worked("write")
        self.condition.worked("read")
        self.assertEqual(self.said, [])

    def test_each_change_once(self) -> None:
        """A trouble is told once, with its path, its cause and what to do; its end is told once."""
        for _ in range(3):
            self.condition.failed("write", FULL)
        [line] = self.said
        for word in ("/srv/replay.sqlite", "the disk is full", "Free some space"):
            self.assertIn(word, line)
        self.condition.worked("write")
        self.condition.worked("write")
        self.assertEqual(len(self.said), 2)
        self.assertIn("available again", self.said[1])

    def test_another_trouble_is_a_change(self) -> None:
        """A new cause is told too."""
        self.condition.failed("write", FULL)
        self.condition.failed("write", LOCKED)
        self.assertEqual(len(self.said), 2)

    def test_same_trouble_of_both_sides_is_told_once(self) -> None:
        """Reads and writes that fail for one cause make one line."""
        self.condition.failed("write", LOCKED)
        self.condition.failed("read", LOCKED)
        self.assertEqual(len(self.said), 1)

    def test_sweeps_do_not_end_a_trouble_of_writes(self) -> None:
        """Nor because there was nothing to remove from it, each second while publishes fail."""
        for _ in range(3):
            self.condition.failed("write", FULL)
            self.condition.worked("sweep")
        self.assertEqual(len(self.said), 1)
        self.condition.failed("sweep", FULL)
        self.condition.worked("write")
        self.assertEqual(len(self.said), 2)

    def test_reads_do_not_end_a_trouble_of_writes(self) -> None:
        """A disk that is full for publishes is not available again because it can be read."""
        self.condition.failed("write", FULL)
        self.condition.worked("read")
        self.condition.failed("write", FULL)
        self.assertEqual(len(self.said), 1)
