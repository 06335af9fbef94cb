"""The section of `tako dev`."""

from __future__ import annotations

from tests.server.config.folder import FolderTestCase


class DevTests(FolderTestCase):
    """Commands, an address and a file."""

    def test_read(self) -> None:
        """Commands are kept as they are said; the file is in the project's folder."""
        dev = self.load(
            '[dev]\nrun = ["npm run dev", "sh -c \'echo a b\'"]\n'
            'pages_url = "http://127.0.0.1:5173/"\ntypes = "src/t.d.ts"'
        ).dev
        self.assertEqual(dev.run, ("npm run dev", "sh -c 'echo a b'"))
        self.assertEqual(dev.pages_url, "http://127.0.0.1:5173")
        self.assertEqual(dev.types, self.folder / "src" / "t.d.ts")

    def test_no_command(self) -> None:
        """What no shell could split is said with its line."""
        for run in ("'echo \"a'", "''", "3"):
            [problem] = self.problems(f"[dev]\nrun = [{run}]")
            self.assertIn("tako.toml:2: dev.run: item 1", problem)
            self.assertIn("must be a command line", problem)
