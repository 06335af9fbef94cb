from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from takotwist.errors import ConfigError
from takotwist.server.reset_key import NAME, SIZE, reset_key


class ResetKeyTests(SynchronousTestCase):
    """A key in the state folder."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def test_kept(self) -> None:
        """It is the same at each start, and only the server's user can read it."""
        key = reset_key(self.folder)
        self.assertEqual((len(key), reset_key(self.folder)), (SIZE, key))
        self.assertEqual((self.folder / NAME).stat().st_mode & 0o777, 0o600)
        self.assertEqual([one.name for one in self.folder.iterdir()], [NAME])

    def test_no_key(self) -> None:
        """What cannot be one, such as half of it, is made anew."""
        for content in (b"", b"x" * 31, b"x" * 33):
            (self.folder / NAME).write_bytes(content)
            (self.folder / f"{NAME}.new").write_bytes(b"left by a start that was cut")
            key = reset_key(self.folder)
            self.assertEqual((len(key), reset_key(self.folder)), (SIZE, key))

    def test_no_folder(self) -> None:
        """Where it cannot be kept, the start says so in a sentence."""
        said = self.assertRaises(ConfigError, reset_key, self.folder / "missing")
        self.assertIn("state_dir", str(said))
