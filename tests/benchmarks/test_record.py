"""Figures that are kept, and their place on the page."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.outcome import Outcome
from benchmarks.record import PAGE, Record, stored, write_page
from benchmarks.scenarios import SCENARIOS

PROSE = """# Title

<!-- figures: goals -->
old goals
<!-- end of figures -->

Written by people.

<!-- figures: burst -->
<!-- end of figures -->
<!-- figures: resume -->
stays
<!-- end of figures -->
<!-- figures: machine -->
<!-- end of figures -->
"""


def record() -> Record:
    case = Outcome("sse, 1,000 subscribers, 16 in flight", "deliveries/s", False, {})
    case.values = {"takotwist": [600.0], "nchan": [100.0]}
    case.memory = {"takotwist": [[[0.5, 70e6], [1.0, 71e6]]]}
    return Record("burst", "2026-11-21", 12.0, "one machine", [case])


class Kept(SynchronousTestCase):
    """JSON beside the plot."""

    def test_round_trip(self) -> None:
        """What is read is what was saved."""
        folder = Path(self.mktemp())
        folder.mkdir()
        record().save(folder)
        self.assertEqual(stored(folder, SCENARIOS), {"burst": record()})

    def test_title(self) -> None:
        """Each scenario says in a line what it is."""
        for scenario in SCENARIOS.values():
            self.assertRegex(scenario.title, r"\w.*[.:]$|\w.*\.$")


class Page(SynchronousTestCase):
    """``docs/performance.md``."""

    def test_write(self) -> None:
        """Figures between the marks are replaced; prose, and what was not measured, stays."""
        page = Path(self.mktemp())
        page.write_text(PROSE)
        write_page(page, {"burst": record()})
        text = page.read_text()
        self.assertIn("Written by people.", text)
        self.assertNotIn("old goals", text)
        self.assertIn("| at least 5 times nchan | 6 | yes |", text)
        self.assertIn("| takotwist | 600 |", text)
        self.assertIn("![burst](performance/burst.svg)", text)
        self.assertIn("stays", text)
        self.assertIn("- burst: one machine.", text)

    def test_write_again(self) -> None:
        """Written twice it is the same."""
        page = Path(self.mktemp())
        page.write_text(PROSE)
        write_page(page, {"burst": record()})
        once = page.read_text()
        write_page(page, {"burst": record()})
        self.assertEqual(page.read_text(), once)

    def test_every_scenario_has_its_place(self) -> None:
        """The page has one region for each scenario, for the goals and for the machine."""
        regions = re.findall(r"^<!-- figures: (\S+) -->$", PAGE.read_text(), re.MULTILINE)
        self.assertEqual(sorted(regions), sorted([*SCENARIOS, "goals", "machine"]))
        self.assertEqual(PAGE.read_text().count("<!-- end of figures -->\n"), len(regions))
