"""Descriptors that are ready, whatever their numbers.

`select.select` fails for 1,024 and those after it, and the process of a long run has so many.
"""

from __future__ import annotations

import select
from collections.abc import Iterable

#: The end of a connection wakes both sides, as it does in `select.select`.
_READ = select.POLLIN | select.POLLHUP | select.POLLERR
_WRITE = select.POLLOUT | select.POLLHUP | select.POLLERR


def ready(
    readers: Iterable[int], writers: Iterable[int] = (), seconds: float = 0.0
) -> tuple[list[int], list[int]]:
    """The descriptors of `readers` that can be read, and those of `writers` that can be written to.

    :param seconds: to wait for the first.
    """
    reading, writing = set(readers), set(writers)
    poll = select.poll()
    for number in reading | writing:
        poll.register(
            number, select.POLLIN * (number in reading) | select.POLLOUT * (number in writing)
        )
    found = poll.poll(round(seconds * 1000))
    return (
        [number for number, events in found if number in reading and events & _READ],
        [number for number, events in found if number in writing and events & _WRITE],
    )
