"""A word on standard error while a command takes longer than a second.

Rule: what is quick says nothing, and standard output is the command's own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic
from typing import TextIO

#: Seconds until the first word.
PATIENCE = 1.0

#: Seconds between words: in a terminal, where each takes the place of the one before; in a file.
EVERY, EVERY_LINE = 1.0, 10.0


@contextmanager
def progress(doing: str, stream: TextIO | None = None) -> Iterator[None]:
    """Say what is being done, and for how long, until the block ends.

    :param doing: such as ``looking through replay.sqlite``.
    :param stream: in place of standard error.
    """
    out = stream or sys.stderr
    ended = Event()
    # A thread: what takes long is one call, of SQLite or of an import.
    saying = Thread(target=_say, args=(doing, out, ended), daemon=True)
    saying.start()
    try:
        yield
    finally:
        ended.set()
        saying.join()


def _say(doing: str, out: TextIO, ended: Event) -> None:
    began, in_place = monotonic(), out.isatty()
    if ended.wait(PATIENCE):
        return
    while True:
        said = f"{doing} ... {monotonic() - began:.0f} s"
        out.write(f"\r\033[K{said}" if in_place else f"{said}\n")
        out.flush()
        if ended.wait(EVERY if in_place else EVERY_LINE):
            break
    if in_place:
        out.write("\r\033[K")
        out.flush()
