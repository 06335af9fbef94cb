"""Folders that the server makes."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from takotwist.errors import ConfigError
from takotwist.server.state_folder import make_folder


class TestMakeFolder(SynchronousTestCase):
    """For its own files, so for its own user."""

    def test_made(self) -> None:
        """It is made with what is above it, nobody else may look into it, and it stays."""
        folder = Path(self.mktemp()) / "state" / "tls"
        make_folder(folder)
        make_folder(folder)
        self.assertEqual(folder.stat().st_mode & 0o777, 0o700)

    def test_cannot_be_made(self) -> None:
        """What is in its place is named, and the key of the configuration."""
        file = Path(self.mktemp())
        file.write_text("")
        refused = self.assertRaises(ConfigError, make_folder, file / "state")
        self.assertIn("state_dir: cannot be made: Not a directory", str(refused))
        self.assertIn(str(file), str(refused))
