"""`clients/js/install`, by which the examples and the tests have their packages."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

INSTALL = Path(__file__).parents[2] / "clients" / "js" / "install"

#: Stands in for npm: says what it was asked for, and leaves behind what npm does.
NPM = """#!/bin/sh
echo "$*" >> {said}
mkdir -p {folder}/node_modules
touch {folder}/node_modules/.package-lock.json
"""


class InstallTests(SynchronousTestCase):
    """A folder with a lock file, and a npm that only says what it would do."""

    def setUp(self) -> None:
        self.place = Path(self.mktemp()).absolute()
        self.folder, programs = self.place / "an example", self.place / "bin"
        self.folder.mkdir(parents=True)
        programs.mkdir()
        self.lock = self.folder / "package-lock.json"
        self.lock.write_text("{}")
        self.said = self.place / "said"
        npm = programs / "npm"
        npm.write_text(NPM.format(said=f"'{self.said}'", folder=f"'{self.folder}'"))
        npm.chmod(0o755)
        self.path = f"{programs}{os.pathsep}{os.environ['PATH']}"

    def installed(self) -> int:
        """How often npm has been asked, after another run."""
        environ = {**os.environ, "PATH": self.path}
        subprocess.run(["sh", INSTALL, self.folder], env=environ, check=True, capture_output=True)
        lines = self.said.read_text().splitlines()
        self.assertEqual(set(lines), {f"ci --silent --prefix {self.folder}"})
        return len(lines)

    def test_once(self) -> None:
        """What is installed is not installed again."""
        self.assertEqual([self.installed(), self.installed()], [1, 1])

    def test_changed(self) -> None:
        """A lock file that has changed since is installed anew, and once."""
        self.installed()
        marker = self.folder / "node_modules" / ".package-lock.json"
        os.utime(marker, (1_000_000_000, 1_000_000_000))
        self.assertEqual([self.installed(), self.installed()], [2, 2])

    def test_broken_off(self) -> None:
        """An installation that did not come to its end is made again."""
        (self.folder / "node_modules").mkdir()
        self.assertEqual(self.installed(), 1)
