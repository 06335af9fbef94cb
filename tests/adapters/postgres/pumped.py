"""A reactor without a loop: its descriptors are looked at when a test asks for it.

Time is a `Clock`'s and stands still, unless it is to pass; only the sockets are real.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from tests.ready import ready

T = TypeVar("T")

#: Real seconds after which what is waited for does not come any more.
PATIENCE = 120.0


class PumpedReactor(Clock):
    """See the module.

    :param passing: time passes while it is pumped.
    """

    def __init__(self, *, passing: bool = False) -> None:
        super().__init__()
        self._pumped = time.monotonic() if passing else None
        self.readers: dict[Any, int] = {}
        self.writers: dict[Any, int] = {}

    def addReader(self, reader: Any) -> None:
        self.readers.setdefault(reader, reader.fileno())

    def addWriter(self, writer: Any) -> None:
        self.writers.setdefault(writer, writer.fileno())

    def removeReader(self, reader: Any) -> None:
        self.readers.pop(reader, None)

    def removeWriter(self, writer: Any) -> None:
        self.writers.pop(writer, None)

    def pump(self, seconds: float = 0.0) -> bool:
        """Let what is ready read and write, waiting that long for the first; whether any was."""
        if self._pumped is not None:
            now = time.monotonic()
            # What a busy machine or the test itself took counts for little.
            self.advance(min(now - self._pumped, 0.1))
            self._pumped = now
        self.advance(0)
        readable, writable = ready(self.readers.values(), self.writers.values(), seconds)
        for those, chosen, method in (
            (readable, self.readers, "doRead"),
            (writable, self.writers, "doWrite"),
        ):
            for descriptor, number in list(chosen.items()):
                if number in those and descriptor in chosen:
                    getattr(descriptor, method)()
        self.advance(0)
        return bool(readable or writable)

    def until(self, there: Callable[[], object], patience: float = PATIENCE) -> None:
        """Pump until `there` says yes."""
        deadline = time.monotonic() + patience
        while not there():
            if time.monotonic() > deadline:
                raise AssertionError("it never came")
            self.pump(0.02)

    def wait(self, answer: Deferred[T]) -> T:
        """What `answer` has in the end."""
        found: list[Any] = []
        answer.addBoth(found.append)
        self.until(lambda: found)
        if isinstance(found[0], Failure):
            found[0].raiseException()
        result: T = found[0]
        return result
