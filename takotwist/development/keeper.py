"""Ends what a server under development has started, should that be killed.

A process of its own, which the server writes to: ``+`` and ``-``, each with the number of a process
group, as one begins and ends.  When there is nothing more to read the server is gone, however that
came, and with it go the groups that are left.  (The kernel's own way, PR_SET_PDEATHSIG, is
Linux's alone, and ends a command and not what that has started.)

Run as a program it imports nothing but what is here.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress

#: Seconds that a group has for its end.
END_SECONDS = 5.0


def alive(groups: Iterable[int]) -> set[int]:
    """Those that are still there."""
    return signalled(groups, 0)


def signalled(groups: Iterable[int], number: int) -> set[int]:
    """Those that could be sent a signal."""
    sent = set()
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)
            sent.add(group)
    return sent


def keep(lines: Iterable[str], end_seconds: float = END_SECONDS) -> None:
    """Read `lines` to their end, then end the groups that are left."""
    groups: set[int] = set()
    for line in lines:
        known = groups.add if line.startswith("+") else groups.discard
        known(int(line[1:]))
    left = signalled(groups, signal.SIGTERM)
    until = time.monotonic() + end_seconds
    while left and time.monotonic() < until:
        time.sleep(0.05)
        left = alive(left)
    signalled(left, signal.SIGKILL)


if __name__ == "__main__":
    keep(sys.stdin)
