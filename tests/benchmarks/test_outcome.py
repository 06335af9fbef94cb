"""What a measurement comes to."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.outcome import Outcome, figure
from benchmarks.plot import plot


def outcome(**fields: object) -> Outcome:
    values = {"takotwist": [2.0, 4.0, 30.0], "nchan": [1.0, 1.0, 10.0]}
    return Outcome(**{"name": "a case", "unit": "ms", "lower": True, "values": values, **fields})  # type: ignore[arg-type]


class Values(SynchronousTestCase):
    """Medians, quartiles and ratios."""

    def test_median_and_quartiles(self) -> None:
        """They are of a server's own rounds."""
        self.assertEqual(outcome().median("takotwist"), 4)
        self.assertEqual(outcome().quartiles("takotwist"), (3, 17))

    def test_one_round(self) -> None:
        """One round has no spread."""
        self.assertEqual(outcome(values={"takotwist": [3.0]}).quartiles("takotwist"), (3, 3))

    def test_ratio_is_of_pairs(self) -> None:
        """A ratio is of two values of one round, so a slow minute of the machine cancels out."""
        self.assertEqual(outcome().ratio("nchan"), 3)

    def test_wrong_round(self) -> None:
        """A round that went wrong counts nowhere, and the others stay paired."""
        values = {"takotwist": [2.0, 4.0, 30.0], "nchan": [None, 1.0, 10.0]}
        self.assertEqual(outcome(values=values).median("nchan"), 5.5)
        self.assertEqual(outcome(values=values).ratio("nchan"), 3.5)

    def test_never_right(self) -> None:
        """A server that was never measured has no row and no ratio."""
        case = outcome(values={"takotwist": [1.0], "nchan": [None]}, wrong=["nchan: lost"])
        self.assertEqual(case.measured(), ["takotwist"])
        self.assertIsNone(case.ratio("nchan"))
        self.assertIn("! nchan: 1 round left out; nchan: lost", "\n".join(case.lines()))

    def test_figures(self) -> None:
        """Large figures have no fraction, small ones three digits."""
        self.assertEqual(
            [figure(value) for value in (1234567.8, 12.345, 0.01234)],
            ["1,234,568", "12.3", "0.0123"],
        )


class Honesty(SynchronousTestCase):
    """What would make a figure worthless is said."""

    def test_held_back(self) -> None:
        """A server that idled while the generator was busy all the time is named."""
        shares = {"server": {"nchan": [0.5]}, "generator": {"nchan": [0.97]}}
        self.assertEqual(outcome(**shares).held_back(), ["nchan"])

    def test_not_held_back(self) -> None:
        """One that was busy itself is not, and neither is one that idled for another reason."""
        busy = {"server": {"nchan": [0.99]}, "generator": {"nchan": [0.97]}}
        waits = {"server": {"nchan": [0.3]}, "generator": {"nchan": [0.4]}}
        self.assertEqual(outcome(**busy).held_back() + outcome(**waits).held_back(), [])

    def test_table(self) -> None:
        """The page shows what was left out too."""
        rows = "\n".join(outcome(wrong=["nchan: it ended", "nchan: it ended"]).table())
        self.assertIn("| takotwist | 4 | 3 to 17 | 3 |  |  |  |", rows)
        self.assertIn("| nchan | 1 | 1 to 5.5 | 3 | 3.00 |  |  |", rows)
        self.assertIn("nchan: 2 rounds left out; nchan: it ended.", rows)

    def test_plot(self) -> None:
        """The plot has a bar for each server that was measured."""
        picture = plot("A title", [outcome(), outcome(values={"takotwist": [None]})])
        self.assertEqual(picture.count("<rect x="), 2)
        self.assertNotIn("<polyline", picture)

    def test_plot_of_memory(self) -> None:
        """Where memory was watched the plot shows its course, from nothing to the most."""
        course = [[0.0, 30e6], [300.0, 60e6], [600.0, 45e6]]
        picture = plot("A title", [outcome(memory={"takotwist": [course]})])
        (points,) = re.findall(r'<polyline points="([^"]*)"', picture)
        across, down = zip(*(map(float, one.split(",")) for one in points.split()), strict=True)
        self.assertEqual(across[2] - across[1], across[1] - across[0])
        # As y grows downwards, the most has the least.
        self.assertEqual(down[0] - down[2], (down[2] - down[1]))
        self.assertIn("60 at most", picture)
        self.assertIn("0; 600 s", picture)
