"""`tako keys new`: publish keys."""

from __future__ import annotations

import os
import stat

from takotwist.server.config.check import SHORTEST_SAFE_KEY
from takotwist.server.config.derive import read_secret_file
from tests.cli.command import CommandTestCase


class KeysTests(CommandTestCase):
    """Making a key, and putting it where the server reads it."""

    def test_printed(self) -> None:
        """Each is another one, long enough, and of a form that is known in logs."""
        first, second = (self.run_command("keys", "new").stdout.strip() for _ in range(2))
        self.assertNotEqual(first, second)
        self.assertRegex(first, r"^tako_pk_[A-Za-z0-9_-]{43}$")
        self.assertGreater(len(first), SHORTEST_SAFE_KEY)

    def test_appended(self) -> None:
        """The file is made for its owner, and holds each key with its note."""
        before = os.umask(0)
        try:
            first = self.run_command("keys", "new", "--append", "k", "--note", "bill\nevil_key")
        finally:
            os.umask(before)
        second = self.run_command("keys", "new", "--append", "k")
        file = self.folder / "k"
        self.assertEqual(stat.S_IMODE(file.stat().st_mode), 0o600)
        keys = (first.stdout.strip(), second.stdout.strip())
        self.assertEqual(read_secret_file(file).secrets, keys)
        self.assertEqual(file.read_text().splitlines()[0], "# bill evil_key")
        self.assertIn("SIGHUP", first.stderr)

    def test_file_without_an_end_of_line(self) -> None:
        """A key that somebody added by hand is not joined with the new one."""
        self.write("k", "tako_pk_by_hand")
        new = self.run_command("keys", "new", "--append", "k").stdout.strip()
        self.assertEqual(read_secret_file(self.folder / "k").secrets, ("tako_pk_by_hand", new))

    def test_file_that_everybody_reads(self) -> None:
        """An open file is used, and complained of."""
        self.write("k", "")
        os.chmod(self.folder / "k", 0o644)
        self.assertIn("chmod 600", self.run_command("keys", "new", "--append", "k").stderr)

    def test_file_that_cannot_be_written(self) -> None:
        """A folder that is missing is an error in one line, and no key is lost in it."""
        done = self.run_command("keys", "new", "--append", "no/k")
        self.assertEqual(done.exit_code, 1)
        self.assertIn("no/k: No such file or directory", done.stderr)
        self.assertEqual(done.stdout, "")
