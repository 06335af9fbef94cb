"""The systemd units are ones that systemd takes, and as closed as their page says."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from shutil import which

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.page import DOCS

UNITS = DOCS / "operations"
MOST_EXPOSED = 1.3


class TestSystemd(SynchronousTestCase):
    def setUp(self) -> None:
        assert which("systemd-analyze"), "systemd-analyze is missing: apt-get install systemd"
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        for unit in UNITS.iterdir():
            twistd = str(Path(sys.executable).with_name("twistd"))
            text = unit.read_text().replace("/opt/takotwist/bin/twistd", twistd)
            (self.folder / unit.name).write_text(text)

    def analyze(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["systemd-analyze", *words],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )

    def test_verify(self) -> None:
        """No word is misspelt and no program is missing."""
        done = self.analyze("verify", "./takotwist.service", "./takotwist.socket")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("takotwist", done.stderr)

    def test_security(self) -> None:
        """The exposure is low, and the one that the page says for the systemd that it names."""
        page = (DOCS / "howto" / "systemd.md").read_text()
        marked = r"`systemd-analyze security takotwist` of systemd (\d+) rates it ([0-9.]+) "
        said = re.search(marked, page)
        assert said
        done = self.analyze(
            "security",
            "--offline=true",
            "--no-pager",
            f"--threshold={round(MOST_EXPOSED * 10)}",
            "./takotwist.service",
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        level = re.search(r"exposure level for takotwist\.service: ([0-9.]+) OK", done.stdout)
        assert level, done.stdout + done.stderr
        # Each systemd has a few more questions than the one before.
        if self.analyze("--version").stdout.startswith(f"systemd {said[1]} "):
            self.assertEqual(level[1], said[2])

    def test_drain_fits(self) -> None:
        """The time to stop is longer than the server's own drain by default."""
        text = (UNITS / "takotwist.service").read_text()
        seconds = re.search(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
        assert seconds
        from takotwist.server.config import Config

        self.assertGreater(int(seconds[1]), Config().limits.drain_seconds + 20)
