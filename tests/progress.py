"""Shows how far a run of trial is: reads its report, passes it on, and says at times what is left.

python -m twisted.trial tests 2>&1 | python tests/progress.py
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterable, Iterator
from io import TextIOWrapper

#: Seconds between two lines of ours.
INTERVAL = 15.0

_TOTAL = re.compile(r"^Running (\d+) tests\.$")
_ENDED = re.compile(r"\[(OK|ERROR|FAIL|SKIPPED|TODO)\]$")


def with_progress(report: Iterable[str], seconds: Iterable[float]) -> Iterator[str]:
    """The lines of a report, and between them how many tests are done and left.

    :param report: lines without their ends.
    :param seconds: the time at which each of them was read.
    """
    began = said = None
    total = done = bad = 0
    for line, now in zip(report, seconds, strict=False):
        yield line
        began = now if began is None else began
        said = now if said is None else said
        if total_line := _TOTAL.match(line):
            total = int(total_line[1])
        elif ended := _ENDED.search(line):
            done += 1
            bad += ended[1] in ("ERROR", "FAIL")
        if total and now - said >= INTERVAL:
            said = now
            minutes, rest = divmod(int(now - began), 60)
            yield (
                f"== {done:,} of {total:,} tests, {max(total - done, 0):,} left, {bad} failed,"
                f" {minutes} min {rest:02} s"
            )


def _times() -> Iterator[float]:
    while True:
        yield time.monotonic()


if __name__ == "__main__":
    # Whatever is written into the report, in whatever locale: with this one the run would end.
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="surrogateescape")
    lines = (line.rstrip("\n") for line in sys.stdin)
    for line in with_progress(lines, _times()):
        print(line, flush=True)
