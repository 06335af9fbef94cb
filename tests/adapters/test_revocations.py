"""Revoked subjects."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.revocations import MAX_BYTES, Revocations, read_revocations, revoke
from takotwist.errors import ConfigError


class RevocationsTests(SynchronousTestCase):
    """The file, and what of it is noticed."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def test_older_tokens(self) -> None:
        """What was issued up to then is void, what comes later counts; others are not touched."""
        revoke(self.path, "ann smith", 1000)
        revocations = Revocations(self.path)
        for issued, void in ((None, True), (999.5, True), (1000, True), (1001, False)):
            self.assertEqual(revocations.revoked("ann smith", issued), void, issued)
        self.assertFalse(revocations.revoked("ann", 1))
        self.assertFalse(revocations.revoked(None, 1))

    def test_noticed(self) -> None:
        """A line that is added is seen once, and only it."""
        revocations = Revocations(self.path)
        self.assertEqual(revocations.look(), frozenset())
        revoke(self.path, "ann", 1000)
        self.assertEqual(revocations.look(), {"ann"})
        revoke(self.path, "bob", 1000)
        revoke(self.path, "ann", 900)
        self.assertEqual(revocations.look(), {"bob"})
        self.assertTrue(revocations.revoked("ann", 1000))
        self.assertEqual(revocations.look(), frozenset())

    def test_removed(self) -> None:
        """A file that is removed revokes nothing any more: that is the operator's word."""
        revoke(self.path, "ann", 1000)
        revocations = Revocations(self.path)
        self.path.unlink()
        self.assertEqual(revocations.look(), frozenset())
        self.assertFalse(revocations.revoked("ann", 1000))

    def test_broken(self) -> None:
        """A file that becomes unreadable changes nothing, and is one line in the log."""
        revoke(self.path, "ann", 1000)
        revocations = Revocations(self.path)
        self.path.write_text("bob\n")
        for _ in range(3):
            self.assertEqual(revocations.look(), frozenset())
        self.assertTrue(revocations.revoked("ann", 1000))
        self.assertRaises(ConfigError, Revocations, self.path)
        self.path.write_text("# none\n\n1 carl")
        self.assertEqual(revocations.look(), {"carl"})

    def test_written(self) -> None:
        """The file is its owner's alone; a line that somebody began by hand is ended first."""
        before = os.umask(0)
        try:
            revoke(self.path, "ann", 1)
        finally:
            os.umask(before)
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
        self.path.write_text("7 by hand")
        revoke(self.path, "ann", 2)
        self.assertEqual(read_revocations(self.path), {"by hand": 7.0, "ann": 2.0})

    def test_bounds(self) -> None:
        """A subject is one line; a full file is said, and nothing is lost of it."""
        for subject in ("", "a\n9 b", "a\x00", "a\u2028b"):
            self.assertRaises(ValueError, revoke, self.path, subject, 1)
        self.assertFalse(self.path.exists())
        self.path.write_bytes(b"#" * (MAX_BYTES - 3))
        self.assertIn("full", str(self.assertRaises(ValueError, revoke, self.path, "ann", 1)))
        self.assertEqual(self.path.stat().st_size, MAX_BYTES - 3)
        self.path.write_bytes(b"#" * (MAX_BYTES + 1))
        self.assertRaises(ValueError, read_revocations, self.path)

    def test_disk_that_is_full(self) -> None:
        """A line that does not fit is said, and no part of it stays."""
        revoke(self.path, "ann", 1)
        write = os.write
        self.patch(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
        self.assertIn("full", str(self.assertRaises(ValueError, revoke, self.path, "bob", 2)))
        self.assertEqual(read_revocations(self.path), {"ann": 1.0})
