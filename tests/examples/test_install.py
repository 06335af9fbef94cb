"""`clients/js/install`, by which the examples and the tests have their packages."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

INSTALL = Path(__file__).parents[2] / "clients" / "js" / "install"

#: Stands in for npm: says what it was asked for, and leaves behind what npm does, unless it is
#: one of the first times, at which it fails.
NPM = """#!/bin/sh
echo "$*" >> {said}
/bin/sleep 0.3
[ "$(wc -l < {said})" -gt {failures} ] || exit 1
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
        self.npm = programs / "npm"
        self.npm_fails(0)
        # Nobody waits here before the next try.
        (programs / "sleep").symlink_to("/bin/true")
        self.path = f"{programs}{os.pathsep}{os.environ['PATH']}"

    def npm_fails(self, times: int) -> None:
        """As many times as that, from the first on."""
        self.npm.write_text(
            NPM.format(said=f"'{self.said}'", folder=f"'{self.folder}'", failures=times)
        )
        self.npm.chmod(0o755)

    def start(self) -> subprocess.Popen[bytes]:
        """One run."""
        environ = {**os.environ, "PATH": self.path}
        return subprocess.Popen(
            ["sh", INSTALL, self.folder], env=environ, stdout=subprocess.DEVNULL
        )

    def installed(self, at_once: int = 1, status: int = 0) -> int:
        """How often npm has been asked, after another run, or several at once."""
        runs = [self.start() for _ in range(at_once)]
        self.assertEqual({one.wait() for one in runs}, {status})
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

    def test_at_once(self) -> None:
        """Of several at once one installs, and the others wait for it."""
        self.assertEqual(self.installed(at_once=3), 1)

    def test_registry_that_hiccups(self) -> None:
        """What fails is tried again, a few times."""
        self.npm_fails(2)
        self.assertEqual(self.installed(), 3)

    def test_registry_that_is_away(self) -> None:
        """And then it has failed."""
        self.npm_fails(9)
        self.assertEqual(self.installed(status=1), 3)
