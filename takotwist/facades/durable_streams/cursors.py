"""Cursors of live reads (section 10.1 of the protocol): a number of the time, never the one that
the client came with, so that a cache in between does not answer the same for ever."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import ceil

#: 2024-10-09 in unix time; the length of an interval in seconds; the most that is added.
EPOCH, INTERVAL, JITTER = 1_728_432_000, 20, 3_600

_CURSOR = re.compile(r"[0-9]{1,15}", re.ASCII)


def cursor(said: str | None, now: float, random: Callable[[], float]) -> str:
    """The next cursor.

    :param said: the one that the client came with.
    :param random: a number from 0 to 1.
    """
    current = int((now - EPOCH) // INTERVAL)
    if said is None or not _CURSOR.fullmatch(said) or int(said) < current:
        return str(current)
    return str(int(said) + max(1, ceil(random() * JITTER / INTERVAL)))
