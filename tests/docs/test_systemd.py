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
MOST_EXPOSED = 1.5


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
        """The exposure is what the page says, and low."""
        done = self.analyze("security", "--offline=true", "--no-pager", "./takotwist.service")
        level = re.search(r"exposure level for takotwist\.service: ([0-9.]+)", done.stdout)
        assert level, done.stdout + done.stderr
        self.assertLessEqual(float(level[1]), MOST_EXPOSED)

    def test_drain_fits(self) -> None:
        """The time to stop is longer than the server's own drain by default."""
        text = (UNITS / "takotwist.service").read_text()
        seconds = re.search(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
        assert seconds
        from takotwist.server.config import Config

        self.assertGreater(int(seconds[1]), Config().limits.drain_seconds + 20)
