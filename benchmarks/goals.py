"""Goals of the benchmarks, in one place, and verdicts on them.

Rule: a goal is a number from before the measurement.  One that is missed stays here
and is shown as missed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import attrs

from benchmarks.outcome import Outcome, figure


@attrs.frozen
class Goal:
    """A bound of one figure.

    :ivar scenario: of `SCENARIOS`.
    :ivar case: how the name of the case begins.
    :ivar bound: the largest or the smallest value, as less or more is better in the case.
    :ivar against: the server whose multiple the bound is; none where it is a value itself.
    """

    scenario: str
    case: str
    bound: float
    against: str | None = None

    def value(self, outcome: Outcome) -> float | None:
        """The value that was reached; `None` where it was not measured."""
        if self.against is not None:
            return outcome.ratio(self.against) if self.against in outcome.values else None
        return outcome.median(outcome.ours()) if outcome.ours() in outcome.measured() else None


def _each(kinds: Sequence[str], scenario: str, rest: str, **bounds: float) -> list[Goal]:
    return [
        Goal(scenario, f"{kind}{rest}", bound, against)
        for kind in kinds
        for against, bound in bounds.items()
    ]


_BOTH = ("sse", "websocket")
_BOTH_TLS = ("TLS, sse", "TLS, websocket")

GOALS: Sequence[Goal] = (
    *_each(_BOTH, "fanout", ", 1,000", node=1 / 1.4, nchan=1.1, limit=1.6),
    *_each(_BOTH, "burst", ", 1,000", node=10, nchan=5),
    *_each(_BOTH, "sizes", ", 100 subscribers", nchan=1 / 0.9),
    *_each(_BOTH_TLS, "tls", ", 1,000 subscribers, one in flight", nchan=1 / 0.6),
    *_each(_BOTH_TLS, "tls", ", 1,000 subscribers, 16 in flight", nchan=1 / 4),
    *_each(_BOTH, "latency", ", 50 publishes/s", nchan=1.3),
    *_each(_BOTH, "topics", ", 5,000", nchan=1),
    Goal("publish", "single POSTs, 16 publishers", 1, "nchan"),
    Goal("publish", "batches", 100_000),
    Goal("publish", "ndjson", 100_000),
    Goal("connect", "sse", 1, "node"),
    Goal("connect", "websocket", 1.2, "node"),
    Goal("resume", "10,000 clients", 8),
    Goal("idle", "sse, 10,000", 8_000),
    Goal("idle", "websocket, 10,000", 8_000),
    Goal("idle", "TLS, sse", 16_000),
    Goal("idle", "TLS, websocket", 16_000),
    Goal("idle", "sse, CPU", 3),
    Goal("idle", "websocket, CPU", 3),
    Goal("mixed", "mixed", 1.05),
    *(
        Goal("nodes", case, 1.7, "takotwist 1 worker")
        for case in (
            "TLS handshakes",
            "TLS, sse, 1,000 subscribers, one in flight",
            "TLS, sse, 1,000 subscribers, 16 in flight",
            "single POSTs, 64 publishers",
            "sse, 5,000",
        )
    ),
    Goal("nodes", "from node to node, p50", 3),
    Goal("nodes", "from node to node, p99", 1, "centrifugo postgresql"),
    Goal("nodes", "CPU of single POSTs", 1, "centrifugo postgresql"),
    Goal("nodes", "publishes of all", 1, "takotwist 1 worker"),
    Goal("nodes", "a message that nobody follows", 5),
    Goal("nodes", "a followed topic", 600),
)


@attrs.frozen
class Verdict:
    """One goal, and what was reached: `None` where it was not measured."""

    goal: Goal
    outcome: Outcome
    value: float | None

    @property
    def reached(self) -> bool:
        """`True` where the goal was reached."""
        if self.value is None:
            return False
        under = self.value <= self.goal.bound
        return under if self.outcome.lower else self.value >= self.goal.bound

    def cells(self) -> tuple[str, str, str, str]:
        """Case, goal, value and whether it was reached, in words."""
        word = "at most" if self.outcome.lower else "at least"
        of = f" times {self.goal.against}" if self.goal.against else f" {self.outcome.unit}"
        what = f"{self.goal.scenario}: {self.outcome.name} ({self.outcome.unit})"
        answer = "not measured" if self.value is None else "yes" if self.reached else "no"
        value = "" if self.value is None else figure(self.value)
        return what, f"{word} {figure(self.goal.bound)}{of}", value, answer


def verdicts(outcomes: Mapping[str, Iterable[Outcome]]) -> list[Verdict]:
    """The verdicts on the goals.

    :param outcomes: of each scenario that was measured.
    """
    return [
        Verdict(goal, outcome, goal.value(outcome))
        for goal in GOALS
        for outcome in outcomes.get(goal.scenario, ())
        if outcome.name.startswith(goal.case)
    ]


def summary(outcomes: Mapping[str, Iterable[Outcome]]) -> list[str]:
    """For a terminal."""
    found = verdicts(outcomes)
    marks = {"yes": "+", "no": "-", "not measured": "?"}
    lines = []
    for one in found:
        what, goal, value, answer = one.cells()
        lines.append(f" {marks[answer]} {what}: {goal}: {value or answer}")
    reached = sum(one.reached for one in found)
    return [f"{reached} of {len(found)} goals reached", *lines]


def table(outcomes: Mapping[str, Iterable[Outcome]]) -> list[str]:
    """For a page, in Markdown."""
    return [
        "| what | goal | measured | reached |",
        "|---|---|---|---|",
        *(f"| {' | '.join(one.cells())} |" for one in verdicts(outcomes)),
    ]
