"""`examples/*/start`: somebody who waits for an installation is told what for."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

EXAMPLES = Path(__file__).parents[2] / "examples"

#: Stands in for a program: says its name and what it was asked for.
_PROGRAM = """#!/bin/sh
echo "$(basename "$0") $*"
echo "$(basename "$0") $*" >> "$ASKED"
"""

#: Makes an environment of such programs.
_PYTHON = (
    _PROGRAM
    + """
mkdir -p "$3/bin"
for name in python pip tako; do cp "{program}" "$3/bin/$name"; done
"""
)


class StartTests(SynchronousTestCase):
    """In a checkout in which nothing is installed."""

    def setUp(self) -> None:
        self.root = Path(self.mktemp()).absolute() / "a checkout"
        programs = self.root / "programs"
        programs.mkdir(parents=True)
        for name, text in {
            "npm": _PROGRAM,
            "python3": _PYTHON.format(program=programs / "program"),
            "program": _PROGRAM,
        }.items():
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        self.environ = {**os.environ, "PATH": path, "ASKED": str(self.root / "asked")}

    def said(self, start: Path) -> list[str]:
        """What running it prints."""
        done = subprocess.run(
            ["sh", start, "--flag"],
            env=self.environ,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.splitlines()

    def test_says_what_it_does(self) -> None:
        """Before it installs it says so; the second time it has nothing to say."""
        found = sorted(EXAMPLES.glob("*/start"))
        self.assertEqual(len(found), 5)
        for start in found:
            shutil.rmtree(self.root / ".venv", ignore_errors=True)
            here = self.root / "examples" / start.parent.name
            here.mkdir(parents=True)
            shutil.copy(start, here)
            shutil.copy(EXAMPLES / "install", self.root / "examples")
            (here / "build").write_text("#!/bin/sh\n")
            (here / "build").chmod(0o755)
            first, *rest = self.said(here / "start")
            with self.subTest(example=here.name):
                self.assertIn("installing takotwist", first)
                self.assertIn(str(self.root / ".venv"), first)
                self.assertIn("--flag", rest[-1])
                asked = (self.root / "asked").read_text()
                self.assertRegex(asked, r"python3 -m venv .*\npython -m pip install .*--editable")
                self.assertEqual("[webtransport]" in asked, here.name == "streams")
                again = self.said(here / "start")
                self.assertEqual([line for line in again if "install" in line], [])

    def test_says_how_far_it_is(self) -> None:
        """What takes longer than a second is said in a terminal, each second; a failure in full."""
        examples = self.root / "examples"
        examples.mkdir()
        shutil.copy(EXAMPLES / "install", examples)
        slow = (
            '#!/bin/sh\necho "Collecting attrs>=24"\n'
            'until [ -f "$ASKED.end" ]; do sleep 0.1; done\necho "no space left" >&2\nexit 1\n'
        )
        (self.root / "programs" / "program").write_text(slow)
        reading, writing = pty.openpty()
        self.addCleanup(os.close, reading)
        done = subprocess.Popen(
            ["sh", examples / "install"],
            env=self.environ,
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.close(writing)
        said, seconds = "", set[str]()
        while len(seconds) < 2:
            said += os.read(reading, 65_536).decode()
            seconds = set(re.findall(r"(\d+) s  Collecting attrs", said))
        # Now it may end.
        (self.root / "asked.end").touch()
        _, wrong = done.communicate()
        self.assertEqual(done.returncode, 1)
        self.assertIn("no space left", wrong)
