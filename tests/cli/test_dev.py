"""`tako dev` before it runs: what it needs, and what it checks."""

from __future__ import annotations

from unittest.mock import patch

from tests.cli.command import CommandTestCase


class DevCommandTests(CommandTestCase):
    """Without a server."""

    def test_without_watchfiles(self) -> None:
        """Where the extra is not installed, it says how to get it."""
        with patch("takotwist.cli.dev.find_spec", return_value=None):
            done = self.run_command("dev")
        self.assertEqual(done.exit_code, 1)
        self.assertIn("pip install 'takotwist[dev]'", done.output)

    def test_check(self) -> None:
        """What is checked before a start over is what a start reads; it opens nothing."""
        (self.folder / "channels").mkdir()
        self.write("channels/a.py", "from takotwist import define_channel\na = define_channel('a')")
        self.assertEqual(self.run_command("dev", "--check").exit_code, 0)
        self.assertFalse((self.folder / "state").exists())
        for file, text, said in (
            ("channels/b.py", "x = (", "channels/b.py:1: SyntaxError"),
            ("channels/b.py", "import a_module_of_nobody", "No module named 'a_module_of_nobody'"),
            ("tako.toml", "[app]\npages = 'nowhere:site'", "there is no module 'nowhere'"),
            ("tako.toml", "[dev]\nrum = []", "tako.toml:2: dev.rum: is unknown"),
        ):
            self.write(file, text)
            done = self.run_command("dev", "--check")
            self.assertEqual(done.exit_code, 1)
            self.assertIn(said, done.output)
