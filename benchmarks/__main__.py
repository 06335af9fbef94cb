"""Measures the server beside others, in turns, on one machine.

    python -m benchmarks [--quick] [--rounds N] [--write-docs] [SCENARIO ...]

The server under measurement is bound to the first core and the load generator to
the second.  Prints medians, quartiles and our value as a multiple of each other
server's, and at the end which goals were reached; writes
``docs/performance/SCENARIO.svg`` and ``.json``, and with --write-docs the figures
in ``docs/performance.md``.  Only ratios of one run say anything, and only those of
many rounds on a quiet machine much.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

from benchmarks import goals
from benchmarks.case import run
from benchmarks.peers.peer import allow_files
from benchmarks.plot import plot
from benchmarks.record import FOLDER, PAGE, Record, machine, outcomes, stored, today, write_page
from benchmarks.scenarios import SCENARIOS


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("scenarios", nargs="*", help=", ".join(SCENARIOS))
    parser.add_argument("--rounds", type=int, help="most turns of each server (10, or as suits)")
    parser.add_argument("--quick", action="store_true", help="at most 3 turns of each server")
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder of the plots")
    parser.add_argument("--write-docs", action="store_true", help=f"rewrite {PAGE.name}")
    parser.add_argument(
        "--stored", action="store_true", help="measure nothing: goals and page of what is there"
    )
    asked = parser.parse_args()
    for unknown in set(asked.scenarios) - set(SCENARIOS):
        parser.error(f"no such scenario: {unknown} (there are: {', '.join(SCENARIOS)})")
    allow_files()
    asked.output.mkdir(parents=True, exist_ok=True)
    names = asked.scenarios or list(SCENARIOS)
    most = 3 if asked.quick else asked.rounds or 10
    for name in [] if asked.stored else names:
        usual = SCENARIOS[name].rounds
        # What takes long for a round is not taken oftener because of `--rounds`.
        rounds = most if usual == 10 else min(usual, most)
        _measure(name, rounds, asked.output)
    print("\n".join(goals.summary(outcomes(stored(asked.output, names)))))
    if asked.write_docs:
        write_page(PAGE, stored(asked.output, SCENARIOS))


def _measure(name: str, rounds: int, folder: Path) -> None:
    if os.getloadavg()[0] > 0.7:
        print(f"! the machine does other things too: load {os.getloadavg()[0]:.1f}", flush=True)
    scenario, found, began = SCENARIOS[name], [], time.monotonic()
    for case in scenario.cases():
        found.append(run(case, rounds))
        print("\n".join(found[-1].lines()), flush=True)
    took = time.monotonic() - began
    print(f"{name}: {took:.0f} seconds", flush=True)
    Record(name, today(), took, machine(), found).save(folder)
    (folder / f"{name}.svg").write_text(plot(scenario.title, found))


if __name__ == "__main__":
    main()
