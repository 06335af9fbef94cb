"""adbapi's pool without threads: the SQL runs in the call, so a test needs no reactor.

Everything else of it, the connections included, is adbapi's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.enterprise.adbapi import ConnectionPool
from twisted.internet.defer import Deferred, execute
from twisted.internet.testing import MemoryReactorClock


class InlinePool(ConnectionPool):
    """A pool of one connection, which is used in the caller's own thread."""

    def __init__(self, *args: Any, cp_reactor: object = None, **settings: Any) -> None:
        super().__init__(*args, cp_reactor=MemoryReactorClock(), **settings)
        self.running = True

    def _start(self) -> None:
        """No threads."""

    def runWithConnection(self, func: Callable[..., Any], *args: Any, **kw: Any) -> Deferred[Any]:
        """Now."""
        return execute(self._runWithConnection, func, *args, **kw)


class HeldPool(InlinePool):
    """What it is given waits for `go_on`, as in a thread."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.waiting: list[Callable[[], object]] = []

    def runWithConnection(self, func: Callable[..., Any], *args: Any, **kw: Any) -> Deferred[Any]:
        """When it is told to."""
        done: Deferred[Any] = Deferred()

        def go_on() -> None:
            super(HeldPool, self).runWithConnection(func, *args, **kw).chainDeferred(done)

        self.waiting.append(go_on)
        return done

    def go_on(self) -> None:
        """Do everything that waits."""
        while self.waiting:
            self.waiting.pop(0)()
