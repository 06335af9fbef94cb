"""What a connection has under way: frames about one topic in turn, about others at once.

Rule: there are only so many, and beyond them the connection is not read; none
outlives it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

#: Frames of one connection that are being answered at once; beyond it nothing is read.
MAX_UNDER_WAY = 32

_logger = Logger()


class MuxTurns:
    """Of one connection.

    :param hold: called with `True` when no more frames should be read, and with `False`
        when they may be again.
    """

    __slots__ = ("_hold", "_last", "_under_way")

    def __init__(self, hold: Callable[[bool], None]) -> None:
        self._hold = hold
        self._under_way: set[Deferred[None]] = set()
        self._last: dict[str, Deferred[None]] = {}

    def busy(self, topic: str) -> bool:
        """Whether something of `topic` is under way."""
        return topic in self._last

    def take(
        self,
        topic: str,
        work: Callable[[], Coroutine[Any, Any, None]],
        failed: Callable[[Failure], None],
    ) -> None:
        """Do `work` after all that came for `topic` before.

        :param failed: told why it was not done, unless the connection has gone.
        """
        before = self._last.get(topic)
        mine = self._last[topic] = Deferred()

        def finished(result: object) -> None:
            if self._last.get(topic) is mine:
                del self._last[topic]
            if isinstance(result, Failure) and not result.check(CancelledError):
                failed(result)
            mine.callback(None)

        self._begin(_after(before, work), finished)

    def track(self, doing: Coroutine[Any, Any, None]) -> None:
        """Have something done while the connection lasts."""

        def finished(result: object) -> None:
            if isinstance(result, Failure) and not result.check(CancelledError):
                _logger.failure("a frame failed", result)

        self._begin(doing, finished)

    def _begin(self, doing: Coroutine[Any, Any, None], finished: Callable[[object], None]) -> None:
        done = ensureDeferred(doing)
        self._under_way.add(done)
        if len(self._under_way) == MAX_UNDER_WAY:
            self._hold(True)

        def over(result: object) -> None:
            if len(self._under_way) == MAX_UNDER_WAY:
                self._hold(False)
            self._under_way.discard(done)
            finished(result)

        done.addBoth(over)

    def cancel(self) -> None:
        """The connection has gone."""
        for doing in list(self._under_way):
            doing.cancel()


async def _after(
    before: Deferred[None] | None, work: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    if before is not None:
        await before
    await work()
