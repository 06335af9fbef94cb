"""Measures the server beside others, in turns, on one machine.

    python -m benchmarks [--quick] [--rounds N] [SCENARIO ...]

The server under measurement is bound to the first core and the load generator to
the second.  Prints medians, quartiles and our value as a multiple of each other
server's; writes ``docs/performance/SCENARIO.svg`` and ``.json``.  Only ratios of
one run say anything, and only those of many rounds on a quiet machine much.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import attrs

from benchmarks.case import run
from benchmarks.plot import plot
from benchmarks.scenarios import ONCE, SCENARIOS

PLOTS = Path(__file__).parents[1] / "docs" / "performance"


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("scenarios", nargs="*", help=", ".join(SCENARIOS))
    parser.add_argument("--rounds", type=int, default=10, help="turns of each server")
    parser.add_argument("--quick", action="store_true", help="3 turns of each server")
    parser.add_argument("--output", type=Path, default=PLOTS, help="folder of the plots")
    asked = parser.parse_args()
    for unknown in set(asked.scenarios) - set(SCENARIOS):
        parser.error(f"no such scenario: {unknown} (there are: {', '.join(SCENARIOS)})")
    rounds = 3 if asked.quick else asked.rounds
    asked.output.mkdir(parents=True, exist_ok=True)
    for name in asked.scenarios or SCENARIOS:
        outcomes = []
        for case in SCENARIOS[name]():
            outcome = run(case, 1 if name in ONCE else rounds)
            outcomes.append(outcome)
            print("\n".join(outcome.lines()), flush=True)
        title = (SCENARIOS[name].__doc__ or name).splitlines()[0]
        (asked.output / f"{name}.svg").write_text(plot(title, outcomes))
        (asked.output / f"{name}.json").write_text(
            json.dumps([attrs.asdict(one) for one in outcomes], indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
