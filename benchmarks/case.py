"""One thing that is measured of several servers, in turns."""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs

from benchmarks.generator import Incorrect, folder_for
from benchmarks.peers.others import Autobahn, Limit, Nchan, Node, NodeShared
from benchmarks.peers.peer import Peer
from benchmarks.peers.tako import Tako
from takotwist.transports.development_ca import ensure_development_certificate

#: A server by its name, made in a folder and with the certificate it is to serve TLS by.
MAKERS: Mapping[str, Callable[[Path, Path | None], Peer]] = {
    "takotwist": Tako,
    "takotwist power": lambda folder, pem: Tako(folder, pem, durability="power"),
    "takotwist asyncio": lambda folder, pem: Tako(folder, pem, reactor="asyncio"),
    "nchan": Nchan,
    "node": Node,
    "node-shared": NodeShared,
    "autobahn": Autobahn,
    "limit": Limit,
}


@attrs.frozen
class Case:
    """One line of a scenario.

    :ivar name: for people.
    :ivar peers: names of `MAKERS`, ours first.
    :ivar measure: one measurement.
    :ivar metric: which of its values counts.
    :ivar unit: of the value, after `scale`.
    :ivar lower: whether less is better.
    :ivar fresh: whether each measurement wants servers that were just started.
    """

    name: str
    peers: Sequence[str]
    measure: Callable[[Peer], dict[str, Any]]
    metric: str
    unit: str
    lower: bool = False
    tls: bool = False
    scale: float = 1.0
    fresh: bool = False


@attrs.define
class Outcome:
    """What a case came to: the values of each server, one for each round."""

    name: str
    unit: str
    lower: bool
    values: dict[str, list[float]]
    wrong: list[str]

    def median(self, peer: str) -> float:
        """Of a server's values."""
        return statistics.median(self.values[peer])

    def quartiles(self, peer: str) -> tuple[float, float]:
        """Of a server's values."""
        values = self.values[peer]
        if len(values) < 2:
            return values[0], values[0]
        first, _, third = statistics.quantiles(values, n=4, method="inclusive")
        return first, third

    def ratio(self, peer: str) -> float:
        """Our value as a multiple of `peer`'s: the median of the rounds' own ratios."""
        ours = self.values[next(iter(self.values))]
        pairs = zip(ours, self.values[peer], strict=False)
        return statistics.median(mine / theirs for mine, theirs in pairs)

    def lines(self) -> list[str]:
        """For a terminal."""
        direction = "less is better" if self.lower else "more is better"
        lines = [f"{self.name} ({self.unit}, {direction})"]
        first = next(iter(self.values))
        for peer, values in self.values.items():
            low, high = self.quartiles(peer)
            versus = "" if peer == first else f"   {first} is {self.ratio(peer):.2f}x"
            lines.append(
                f"  {peer:18} {self.median(peer):>12,.2f}  [{low:,.2f} to {high:,.2f}]"
                f"  n={len(values)}{versus}"
            )
        return [*lines, *(f"  ! {what}" for what in self.wrong)]


def run(case: Case, rounds: int) -> Outcome:
    """Measure the servers of `case` in turns, `rounds` times."""
    outcome = Outcome(case.name, case.unit, case.lower, {name: [] for name in case.peers}, [])
    with tempfile.TemporaryDirectory(prefix="takotwist-bench-") as root, ExitStack() as running:
        certificate = _certificate(Path(root)) if case.tls else None
        peers = {
            name: MAKERS[name](folder_for(Path(root), name.replace(" ", "-")), certificate)
            for name in case.peers
        }
        for peer in peers.values():
            running.callback(peer.stop)
            peer.start()
        for round_ in range(rounds):
            for name, peer in peers.items():
                try:
                    value = case.measure(peer)[case.metric] * case.scale
                except Incorrect as incorrect:
                    outcome.wrong.append(f"{name}: {incorrect}")
                    continue
                outcome.values[name].append(value)
                if case.fresh:
                    peer.stop()
                    peer.start()
            print(f"  {case.name}: round {round_ + 1} of {rounds}", file=sys.stderr, flush=True)
    outcome.values = {name: values for name, values in outcome.values.items() if values}
    return outcome


def _certificate(folder: Path) -> Path:
    files = ensure_development_certificate(folder / "tls", [], datetime.now(UTC))
    both = folder / "both.pem"
    both.write_bytes(files.certificate.read_bytes() + b"\n" + files.key.read_bytes())
    return both
