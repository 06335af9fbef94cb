"""The hot paths of a commit beside the checkout as it is.

    python -m benchmarks.before [--rounds N] COMMIT [SCENARIO ...]

Takes each case of the scenarios (fanout and publish) that `python -m benchmarks` measures, with
two servers in the places of ours and its peers: the checkout's, and COMMIT's by the same Python,
the same libraries and the same configuration.  They are measured in turns, and each turn gives
one ratio; the median of those and their quartiles are what is printed last, because the machine
may be slower in one turn than in the next for both.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import attrs

from benchmarks.case import Case, run
from benchmarks.outcome import Outcome
from benchmarks.peers.peer import Peer, allow_files
from benchmarks.peers.tako import Tako
from benchmarks.scenarios import SCENARIOS
from benchmarks.start import checkout_of

#: The checkout's server, as the scenarios name it.
_NOW = "takotwist"


def server_of(checkout: Path) -> Callable[[Path, Path | None], Peer]:
    """Makes our server from other files than these."""

    class OfCheckout(Tako):
        def environment(self) -> Mapping[str, str]:
            return {**super().environment(), "PYTHONPATH": str(checkout)}

    return OfCheckout


def ratios(outcome: Outcome, before: str) -> list[float]:
    """The cost of each turn as a multiple of the commit's: below 1 the checkout costs less."""
    pairs = zip(outcome.values[_NOW], outcome.values[before], strict=True)
    found = [now / then for now, then in pairs if now and then]
    return found if outcome.lower else [1 / one for one in found]


def lines(outcome: Outcome, before: str) -> Iterator[str]:
    """For people."""
    yield from outcome.lines()
    found = ratios(outcome, before)
    if len(found) < 2:
        yield f"  no ratio: {'; '.join(outcome.wrong) or 'too few turns'}"
        return
    low, middle, high = statistics.quantiles(found, n=4)
    yield f"  cost: {middle:.3f} times {before}'s ({low:.3f} to {high:.3f})"


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.before", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("commit", metavar="COMMIT")
    parser.add_argument("scenarios", nargs="*", help="fanout and publish")
    parser.add_argument("--rounds", type=int, default=20, help="turns of each (20)")
    asked = parser.parse_args()
    for unknown in set(asked.scenarios) - set(SCENARIOS):
        parser.error(f"no such scenario: {unknown} (there are: {', '.join(SCENARIOS)})")
    allow_files()
    if os.getloadavg()[0] > 0.7:
        print(f"! the machine does other things too: load {os.getloadavg()[0]:.1f}", flush=True)
    with checkout_of(asked.commit) as checkout:
        makers = {_NOW: Tako, asked.commit: server_of(checkout)}
        for name in asked.scenarios or ["fanout", "publish"]:
            for case in SCENARIOS[name].cases():
                ours: Case = attrs.evolve(case, peers=tuple(makers))
                print("\n".join(lines(run(ours, asked.rounds, makers), asked.commit)), flush=True)


if __name__ == "__main__":
    main()
