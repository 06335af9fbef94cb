"""The check of a commit's subject, and the hook that calls it."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.commit_subject import LONGEST, fault, main, subject_of

ROOT = Path(__file__).parent.parent


class FaultTests(SynchronousTestCase):
    """One subject."""

    def test_good(self) -> None:
        """A component, whatever it is called, and up to the very length."""
        for subject in (
            "fanout: call socket.send directly",
            "server/config: read what Windows writes",
            "npm package, docs: name every entry",
            "HTTP/2: pass priorities over",
            "fanout: " + "x" * (LONGEST - len("fanout: ")),
        ):
            self.assertIsNone(fault(subject), subject)

    def test_too_long(self) -> None:
        """One character more, with the number; characters count, not bytes."""
        self.assertIn("73 characters", fault("docs: " + "x" * 67) or "")
        self.assertIsNone(fault("docs: " + "ö" * 66))

    def test_no_component(self) -> None:
        """A sentence, a colon without what is done, and a colon with no space are refused."""
        for subject in (
            "Fix the tests",
            "docs:",
            "docs:fix",
            ": fix",
            "(docs): fix",
            "see http://x",
        ):
            self.assertIn("component", fault(subject) or "", subject)

    def test_of_git(self) -> None:
        """What git writes passes; a subject that is to be joined is checked behind its mark."""
        for subject in ("Merge branch 'x'", 'Revert "docs: ' + "x" * 66 + '"', ""):
            self.assertIsNone(fault(subject), subject)
        self.assertIsNone(fault("fixup! squash! docs: " + "x" * 66))
        self.assertIn("73", fault("fixup! docs: " + "x" * 67) or "")
        self.assertIn("component", fault("fixup! x") or "")


class MessageTests(SynchronousTestCase):
    """A whole message, as git gives it to the hook."""

    def test_subject(self) -> None:
        """The first line that is neither empty nor a comment; the body may be as long as it is."""
        message = "\n# a comment\n\n  docs: fix  \n\n" + "x" * 200
        self.assertEqual(subject_of(message), "docs: fix")
        self.assertEqual(subject_of("# only\n"), "")

    def test_exit_code(self) -> None:
        """0 lets the commit pass; 1 stops it, and says why."""
        file = Path(self.mktemp())
        said = io.StringIO()
        self.patch(sys, "stderr", said)
        for message, code in ((b"docs: fix\r\n", 0), (b"\xff: fix", 1), (b"fix", 1)):
            file.write_bytes(message)
            self.assertEqual(main(str(file)), code, message)
        self.assertEqual(said.getvalue().count("component"), 2)

    def test_hook(self) -> None:
        """The hook's command works at the top of the checkout, as a program."""
        hooks = (ROOT / ".pre-commit-config.yaml").read_text()
        self.assertIn("entry: .venv/bin/python tests/commit_subject.py\n", hooks)
        self.assertIn("stages: [commit-msg]", hooks)
        file = Path(self.mktemp()).absolute()
        file.write_text("no component here\n")
        done = subprocess.run(
            [sys.executable, "tests/commit_subject.py", str(file)],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        self.assertEqual(done.returncode, 1)
        self.assertIn("begins with its component", done.stderr)
