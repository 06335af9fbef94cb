"""The table of checks names tests that there are."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.page import DOCS, ROOT

_ROW = re.compile(r"^\| ([SWFT])(\d+) \| [^|]+ \| (.+) \|$", re.MULTILINE)
_TESTS = re.compile(r"`(tests/[\w/]+\.py)`(?:: ([\w, ]+))?")


class TestStreamsTable(SynchronousTestCase):
    def test_rows(self) -> None:
        """S1 to S10, W1 to W10, F1 to F14 and T1 to T7, each with tests that exist."""
        rows = _ROW.findall((DOCS / "reference" / "streams.md").read_text())
        wanted = {"S": 10, "W": 10, "F": 14, "T": 7}
        self.assertEqual(
            [(letter, int(number)) for letter, number, _ in rows],
            [(letter, n) for letter, most in wanted.items() for n in range(1, most + 1)],
        )
        for letter, number, cell in rows:
            named = _TESTS.findall(cell)
            self.assertTrue(named, f"{letter}{number}")
            for file, tests in named:
                text = (ROOT / file).read_text()
                for test in filter(None, re.split(r", *", tests)):
                    self.assertRegex(text, rf"def {test}\(", f"{letter}{number} {file}")
