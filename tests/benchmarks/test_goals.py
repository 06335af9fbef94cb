"""What is to be reached."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from benchmarks import goals
from benchmarks.goals import GOALS
from benchmarks.outcome import Outcome
from benchmarks.scenarios import SCENARIOS


def fanout(ours: float, nchan: float | None) -> dict[str, list[Outcome]]:
    values: dict[str, list[float | None]] = {"takotwist": [ours], "nchan": [nchan]}
    name = "sse, 1,000 subscribers, one in flight"
    return {"fanout": [Outcome(name, "CPU µs a delivery", True, values)]}


class List(SynchronousTestCase):
    """The list itself."""

    def test_each_is_measured(self) -> None:
        """Each goal is of exactly one case, and that case measures the server it names."""
        for goal in GOALS:
            cases = [
                case for case in SCENARIOS[goal.scenario].cases() if case.name.startswith(goal.case)
            ]
            self.assertEqual(len(cases), 1, goal)
            # What has to be built first is measured where it was.
            known = {*cases[0].peers, *(("centrifugo postgresql",) if goal.against else ())}
            self.assertIn(goal.against or cases[0].peers[0], known, goal)

    def test_ours_come_first(self) -> None:
        """In each case the first server is ours: ratios are of it."""
        for scenario in SCENARIOS.values():
            for case in scenario.cases():
                self.assertTrue(case.peers[0].startswith("takotwist"), case.name)


class Verdicts(SynchronousTestCase):
    """Whether they are reached."""

    def _of(self, ours: float, nchan: float | None) -> goals.Verdict:
        found = goals.verdicts(fanout(ours, nchan))
        return next(one for one in found if one.goal.against == "nchan")

    def test_reached(self) -> None:
        """A value on the right side of the bound reaches it."""
        self.assertTrue(self._of(5, 5).reached)
        self.assertEqual(self._of(5, 5).cells()[1:], ("at most 1.1 times nchan", "1", "yes"))

    def test_missed(self) -> None:
        """One on the wrong side misses it, and is shown."""
        self.assertFalse(self._of(6, 5).reached)
        self.assertEqual(self._of(6, 5).cells()[2:], ("1.2", "no"))

    def test_not_measured(self) -> None:
        """What was not measured was not reached."""
        self.assertFalse(self._of(6, None).reached)
        self.assertEqual(self._of(6, None).cells()[2:], ("", "not measured"))

    def test_more_is_better(self) -> None:
        """Where more is better the bound is the least."""
        values: dict[str, list[float | None]] = {"takotwist": [150_000]}
        case = Outcome("batches of 100, 2 publishers", "messages/s", False, values)
        (verdict,) = goals.verdicts({"publish": [case]})
        self.assertTrue(verdict.reached)
        self.assertEqual(verdict.cells()[1], "at least 100,000 messages/s")

    def test_summary(self) -> None:
        """The summary counts them, and skips scenarios that were not run."""
        lines = goals.summary(fanout(5, 5))
        self.assertEqual(lines[0], "1 of 3 goals reached")
        self.assertEqual(len(lines), 4)
        self.assertEqual(len(goals.table(fanout(5, 5))), 5)
