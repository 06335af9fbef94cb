"""The coroutines of one session, and how they come to their end.

Each may come to its own end when the session does; what has not after a while
is cancelled, so nothing of a session outlasts it for long.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from takotwist.streams.webtransport.errors import SessionClosed


class Work:
    """What a session's handler runs.

    :param grace: seconds from the end of the session to the cancelling.
    :param on_failure: called when something fails while the session is open; it is logged already.
    :param on_idle: called when the session is over and nothing runs any more.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        grace: float,
        on_failure: Callable[[], None],
        on_idle: Callable[[], None],
    ) -> None:
        self._clock, self._grace = clock, grace
        self._on_failure, self._on_idle = on_failure, on_idle
        self._tasks: set[Deferred[Any]] = set()
        self._over = False

    def __bool__(self) -> bool:
        return bool(self._tasks)

    def start(self, work: Coroutine[Deferred[Any], Any, Any]) -> None:
        """Run a coroutine."""
        task = Deferred.fromCoroutine(work)
        self._tasks.add(task)
        task.addErrback(self._failed)
        task.addBoth(lambda _: self._done(task))
        if self._over and task in self._tasks:
            self._cancel_later(task)

    def end(self) -> None:
        """The session is over."""
        self._over = True
        for task in list(self._tasks):
            self._cancel_later(task)

    def cancel(self) -> None:
        """Cancel whatever still runs, now."""
        for task in list(self._tasks):
            task.cancel()

    def _cancel_later(self, task: Deferred[Any]) -> None:
        call = self._clock.callLater(self._grace, task.cancel)

        def forget(result: object) -> object:
            if call.active():
                call.cancel()
            return result

        task.addBoth(forget)

    def _done(self, task: Deferred[Any]) -> None:
        self._tasks.discard(task)
        if self._over and not self._tasks:
            self._on_idle()

    def _failed(self, failure: Failure) -> None:
        if self._over and failure.check(CancelledError, SessionClosed):
            return  # interrupted by the end, as it should be
        self.log.failure("WebTransport handler failed", failure)
        self._on_failure()
