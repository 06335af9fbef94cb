"""Outcome of a case: the values of each server, and the signs that they hold.

Rule: nothing is left out silently.  A round that went wrong is named, and so is a
server that waited for the generator.
"""

from __future__ import annotations

import statistics

import attrs

#: A generator that was busy for more of the time than this, before a server that was
#: busy for less than `SATURATED`, held the server back.
BUSY, SATURATED = 0.9, 0.9


@attrs.define
class Outcome:
    """Values by server, in the order in which servers took turns.

    :ivar values: one for each round; `None` where the round went wrong.
    :ivar server: CPU of all its processes and threads, as a share of one core.
    :ivar generator: the same of what drove it, without its waiting.
    :ivar memory: of rounds that watched it, in order: seconds since the beginning, and
        bytes.
    :ivar wrong: rounds that were left out, and why.
    """

    name: str
    unit: str
    lower: bool
    values: dict[str, list[float | None]]
    server: dict[str, list[float]] = attrs.field(factory=dict)
    generator: dict[str, list[float]] = attrs.field(factory=dict)
    memory: dict[str, list[list[list[float]]]] = attrs.field(factory=dict)
    wrong: list[str] = attrs.field(factory=list)

    def measured(self) -> list[str]:
        """The servers of which there are values, ours first."""
        return [peer for peer in self.values if self.right(peer)]

    def right(self, peer: str) -> list[float]:
        """The values of a server's rounds that went right."""
        return [value for value in self.values[peer] if value is not None]

    def ours(self) -> str:
        """Our server's name."""
        return next(iter(self.values))

    def median(self, peer: str) -> float:
        """Of a server's values."""
        return statistics.median(self.right(peer))

    def quartiles(self, peer: str) -> tuple[float, float]:
        """Of a server's values."""
        values = self.right(peer)
        if len(values) < 2:
            return values[0], values[0]
        first, _, third = statistics.quantiles(values, n=4, method="inclusive")
        return first, third

    def ratio(self, peer: str) -> float | None:
        """Our value as a multiple of `peer`'s: the median of the rounds' own ratios.

        What else the machine does hits the two of a round alike, and those of
        different rounds not.  `None` where no round went right on both sides.
        """
        pairs = zip(self.values[self.ours()], self.values[peer], strict=True)
        ratios = [mine / its for mine, its in pairs if mine is not None and its]
        return statistics.median(ratios) if ratios else None

    def share(self, of: dict[str, list[float]], peer: str) -> float | None:
        """The median of `server` or `generator`, where it was taken."""
        return statistics.median(of[peer]) if of.get(peer) else None

    def held_back(self) -> list[str]:
        """Servers whose figure says more of the generator than of them."""
        return [
            peer
            for peer in self.measured()
            if (self.share(self.generator, peer) or 0) > BUSY
            and (self.share(self.server, peer) or 1) < SATURATED
        ]

    def remarks(self) -> list[str]:
        """Remarks for the reader, beside the figures."""
        remarks = [
            f"{peer}: held back by the generator, which was busy all the time"
            for peer in self.held_back()
        ]
        for peer in self.values:
            reasons = [text for text in self.wrong if text.startswith(f"{peer}: ")]
            if reasons:
                rounds = "round" if len(reasons) == 1 else "rounds"
                remarks.append(f"{peer}: {len(reasons)} {rounds} left out; {reasons[-1]}")
        return remarks

    def lines(self) -> list[str]:
        """For a terminal."""
        lines = [f"{self.name} ({self.unit}, {self.direction})"]
        for peer in self.measured():
            low, high = self.quartiles(peer)
            ratio = "" if peer == self.ours() else self._ratio(peer)
            versus = f"   {self.ours()} is {ratio}x" if ratio else ""
            lines.append(
                f"  {peer:18} {figure(self.median(peer)):>12}  [{figure(low)} to {figure(high)}]"
                f"  n={len(self.right(peer))}{self._cores(peer)}{versus}"
            )
        return [*lines, *(f"  ! {remark}" for remark in self.remarks())]

    def table(self) -> list[str]:
        """For a page, in Markdown."""
        rows = [
            f"**{self.name}** ({self.unit}, {self.direction})",
            "",
            "| server | median | quartiles | rounds | ratio | busy | generator busy |",
            "|---|---|---|---|---|---|---|",
        ]
        for peer in self.measured():
            low, high = self.quartiles(peer)
            shares = (self.share(of, peer) for of in (self.server, self.generator))
            cores = (f"{share:.0%}" if share is not None else "" for share in shares)
            rows.append(
                f"| {peer} | {figure(self.median(peer))} | {figure(low)} to {figure(high)} "
                f"| {len(self.right(peer))} "
                f"| {'' if peer == self.ours() else self._ratio(peer)} | {' | '.join(cores)} |"
            )
        return [*rows, "", *(f"{remark}.\n" for remark in self.remarks())]

    @property
    def direction(self) -> str:
        """In words."""
        return "less is better" if self.lower else "more is better"

    def _ratio(self, peer: str) -> str:
        ratio = self.ratio(peer)
        return "" if ratio is None else f"{ratio:.2f}"

    def _cores(self, peer: str) -> str:
        server, generator = (self.share(of, peer) for of in (self.server, self.generator))
        if server is None or generator is None:
            return ""
        return f"  core {server:.2f}, generator {generator:.2f}"


def figure(value: float) -> str:
    """With three digits or so."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
