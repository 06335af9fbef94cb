"""Runs a program under a wall clock that can be stepped from outside.

``python -m tests.faults.stepped_clock FILE PROGRAM ...``: unix time in the program is
that of the system plus the number of seconds that FILE holds, read at each look.
The monotonic clock is left alone, as it is where an operator or NTP sets the time.
"""

from __future__ import annotations

import runpy
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def stepped(real: Callable[[], float], file: Path) -> Callable[[], float]:
    """`real` plus what `file` says; half-written, what it said before."""
    said = 0.0

    def now() -> float:
        nonlocal said
        with suppress(OSError, ValueError):
            said = float(file.read_text())
        return real() + said

    return now


if __name__ == "__main__":
    # Before the program imports anything that keeps the function itself.
    time.time = stepped(time.time, Path(sys.argv[1]))
    program, sys.argv = sys.argv[2], sys.argv[2:]
    runpy.run_path(program, run_name="__main__")
