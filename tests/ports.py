"""Numbers of ports for servers of tests, which no other process of tests has at the same time.

A port that was looked at and found free is taken some seconds later, when its server has started;
by then a test in the process beside may have found it free too.  So each process has a slice of
its own for as long as it runs, and takes what is in it by turns.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from functools import cache
from itertools import cycle
from random import sample

#: From below those that the kernel gives out: between two starts of a server one of these may
#: become the near end of anybody's connection.
_FIRST, _SLICE, _SLICES = 12_000, 100, 200


@cache
def _ours() -> tuple[Iterator[int], socket.socket]:
    """The slice, and what holds it: a name that the kernel forgets with the process."""
    for number in sample(range(_SLICES), _SLICES):
        holds = socket.socket(socket.AF_UNIX)
        try:
            holds.bind(f"\0takotwist-test-ports-{number}")
        except OSError:
            holds.close()
            continue
        first = _FIRST + number * _SLICE
        return cycle(range(first, first + _SLICE)), holds
    raise AssertionError(f"{_SLICES} processes have ports")


def next_port(count: int = 1) -> int:
    """The next one; whether it is free is for the caller to see.

    :param count: numbers that follow one another, of which it is the first.
    """
    ports = _ours()[0]
    while True:
        taken = [next(ports) for _ in range(count)]
        if taken[-1] - taken[0] == count - 1:
            return taken[0]
