"""Standard output when it is a pipe: who reads it may have enough, as ``head`` does.

Rule: then a command ends quietly; nobody is left whom it could tell.
"""

from __future__ import annotations

import os
import select
import sys


def is_unread() -> bool:
    """True once nobody reads what is printed.

    A write would say so too, but a command that waits for something to print has none.
    """
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):
        return False
    poll = select.poll()
    # Asked for nothing, it tells of errors: of a pipe without a reader, never of a file.
    poll.register(descriptor, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def give_up() -> None:
    """Print nothing more, not even what Python writes out at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
