"""Work that is done in passes: one at a time, and one more where somebody asked meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.internet.defer import ensureDeferred
from twisted.python.failure import Failure

from takotwist.core.deadlines import Deadline, Deadlines
from takotwist.flow.attach import RETRY_SECONDS
from takotwist.interfaces import Coro


@attrs.define(slots=True, eq=False)
class Passes:
    """Passes of one kind of work.

    :param work: one pass.
    :param seconds: time of `deadlines`.
    :param failed: called with what a pass has raised; it is repeated after `RETRY_SECONDS`.
    :ivar stopped: none begins any more; the one that has begun goes on.
    """

    _work: Callable[[], Coro[None]]
    _deadlines: Deadlines
    _seconds: Callable[[], float]
    _failed: Callable[[Failure], None]
    stopped: bool = attrs.field(default=False, kw_only=True)
    _working: bool = attrs.field(default=False, init=False)
    _again: bool = attrs.field(default=False, init=False)
    _wake: Deadline | None = attrs.field(default=None, init=False)

    def start(self) -> None:
        """Begin, also after a stop."""
        self.stopped = False
        self.look()

    def stop(self) -> None:
        """Begin none any more."""
        self.stopped = True
        if self._wake is not None:
            self._wake.cancel()

    def look(self) -> None:
        """Begin a pass now, or as soon as the one that is under way has ended."""
        if self.stopped:
            return
        if self._working:
            self._again = True
            return
        self._working = True
        ensureDeferred(self._work()).addBoth(self._worked)

    def look_in(self, seconds: float) -> None:
        """Begin one then, in the place of what was said of this before."""
        if self.stopped:
            return
        if self._wake is not None:
            self._wake.cancel()
        self._wake = self._deadlines.at(self._seconds() + seconds, self.look)

    def _worked(self, result: object) -> None:
        self._working = False
        if isinstance(result, Failure):
            self._failed(result)
            self.look_in(RETRY_SECONDS)
        elif self._again:
            self._again = False
            self.look()
