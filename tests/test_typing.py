"""What the type checkers of users say of their apps."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.page import ROOT, blocks_of

#: What the README says stands for the app's own.
STUBS = """
from __future__ import annotations
from typing import Protocol
from takotwist import HeaderCredential

class User(Protocol):
    id: str
    def may_enter(self, room: str) -> bool: ...

class Messages(Protocol):
    async def insert(self, *, room: str, author: str | None, text: str) -> None: ...

messages: Messages

async def read_session(header: HeaderCredential | None) -> User | None: ...
"""


class TypingTests(SynchronousTestCase):
    """mypy and pyright, in strict mode, from the user's side."""

    if not all(map(importlib.util.find_spec, ("mypy", "basedpyright"))):
        skip = "mypy and basedpyright are in the extra lint"

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)

    def run_mypy(self, file: Path) -> list[str]:
        ran = subprocess.run(
            [
                *(sys.executable, "-m", "mypy", "--strict", "--no-error-summary"),
                *("--config-file=", "--follow-imports=silent"),
                f"--cache-dir={self.folder / 'cache'}",
                str(file),
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
        )
        return (ran.stdout + ran.stderr).splitlines()

    def run_pyright(self, file: Path) -> list[str]:
        settings = {
            "include": [str(file)],
            "typeCheckingMode": "strict",
            "enableTypeIgnoreComments": False,
            "reportUnnecessaryTypeIgnoreComment": "error",
        }
        project = self.folder / "pyrightconfig.json"
        project.write_text(json.dumps(settings))
        ran = subprocess.run(
            [
                *(sys.executable, "-m", "basedpyright", "--outputjson"),
                *("--project", str(project), "--pythonpath", sys.executable),
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
        )
        said = json.loads(ran.stdout)
        self.assertEqual(said["summary"]["filesAnalyzed"], 1, ran.stderr)
        return [
            f"{one['range']['start']['line'] + 1}: {one['message']}"
            for one in said["generalDiagnostics"]
        ]

    def test_typed_app(self) -> None:
        """What is right passes both, and each wrong line of `typing_app` is an error for both."""
        app = ROOT / "tests" / "typing_app.py"
        self.assertEqual(self.run_mypy(app), [])
        self.assertEqual(self.run_pyright(app), [])
        # The same without its ignores: the checkers were at work.
        bare = self.folder / "bare.py"
        bare.write_text(app.read_text().replace("# type: ignore", "#").replace("# pyright:", "#"))
        wrong = app.read_text().count("# type: ignore[")
        self.assertGreater(wrong, 15)
        self.assertGreaterEqual(len([one for one in self.run_mypy(bare) if "error:" in one]), wrong)
        self.assertGreaterEqual(len(self.run_pyright(bare)), app.read_text().count("# pyright:"))

    def test_readme(self) -> None:
        """The README's code passes as it is printed, beside the names that it says are yours."""
        code = [block.text for block in blocks_of(ROOT / "README.md") if block.language == "python"]
        definition, publish = code
        self.assertIn("await chat(", publish)
        file = self.folder / "readme.py"
        file.write_text(f"{STUBS}\n{definition}\n\nasync def backend() -> None:\n    {publish}")
        self.assertEqual(self.run_mypy(file), [])
        self.assertEqual(self.run_pyright(file), [])
        file.write_text(file.read_text().replace('room_id="lobby"', 'room="lobby"'))
        for said in (self.run_mypy(file), self.run_pyright(file)):
            self.assertTrue(any("__call__" in one for one in said), said)
