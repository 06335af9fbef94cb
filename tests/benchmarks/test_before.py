"""What a change costs, from values that were measured in turns."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.before import lines, ratios, server_of
from benchmarks.outcome import Outcome


def outcome(now: list[float | None], then: list[float | None], *, lower: bool) -> Outcome:
    """Of the checkout and of the commit ``abc``."""
    return Outcome("a case", "some unit", lower, {"takotwist": now, "abc": then})


class BeforeTests(SynchronousTestCase):
    """`benchmarks.before`."""

    def test_cost(self) -> None:
        """Over 1 it costs more than it did, whether the figure is a time or a rate."""
        self.assertEqual(ratios(outcome([3.0], [2.0], lower=True), "abc"), [1.5])
        self.assertEqual(ratios(outcome([2.0], [3.0], lower=False), "abc"), [1.5])

    def test_pairs(self) -> None:
        """A turn counts with its own partner, or not at all."""
        found = ratios(outcome([2.0, None, 8.0], [1.0, 7.0, 4.0], lower=True), "abc")
        self.assertEqual(found, [2.0, 2.0])

    def test_lines(self) -> None:
        """The last line has the median and the quartiles of the turns' own ratios."""
        *_, last = lines(outcome([1.0, 2.0, 3.0], [1.0, 1.0, 1.0], lower=True), "abc")
        self.assertEqual(last.strip(), "cost: 2.000 times abc's (1.000 to 3.000)")

    def test_too_few(self) -> None:
        """Where every turn went wrong it says so, and no figure."""
        *_, last = lines(outcome([1.0, None], [1.0, 1.0], lower=True), "abc")
        self.assertIn("no ratio", last)

    def test_files(self) -> None:
        """The commit's server runs the commit's files."""
        folder = Path(self.mktemp())
        folder.mkdir()
        server = server_of(Path("/of/the/commit"))(folder, None)
        self.assertEqual(server.environment()["PYTHONPATH"], "/of/the/commit")
