from __future__ import annotations

import os
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests import progress
from tests.progress import with_progress


class ProgressTests(SynchronousTestCase):
    """What a run of the suite says of itself."""

    def test_nothing_is_held_back(self) -> None:
        """The report passes as it is while there is nothing to say."""
        report = ["Running 2 tests.", "tests.a", "  test_b ... [OK]", "", "PASSED (successes=1)"]
        self.assertEqual(list(with_progress(report, [0.0] * 5)), report)

    def test_what_is_left(self) -> None:
        """Every now and then a line says how many tests are done, left and failed."""
        report = ["Running 1200 tests.", "  test_a ... [OK]", "  test_b ... [FAIL]", "  c ... [OK]"]
        lines = list(with_progress(report, [5.0, 6.0, 80.0, 81.0]))
        self.assertEqual(
            lines[3], "== 2 of 1,200 tests, 1,198 left, 1 failed, 1 min 15 s", "after the second"
        )
        self.assertEqual(lines[4:], report[3:])

    def test_other_output(self) -> None:
        """What tests print is not counted, and without a total nothing is said."""
        self.assertEqual(list(with_progress(["[OK] maybe", "x"], [0.0, 99.0])), ["[OK] maybe", "x"])

    def test_any_bytes(self) -> None:
        """What is no text of the locale passes too, and does not end the run that it is told of."""
        report = b"Running 1 tests.\n\xff \xe2\x82\xac\nPASSED (successes=1)\n"
        for encoding in ("utf-8:strict", "ascii:strict"):
            done = subprocess.run(
                [sys.executable, progress.__file__],
                input=report,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONIOENCODING": encoding},
                check=True,
            )
            self.assertEqual(done.stdout, report)
