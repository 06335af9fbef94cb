"""Removes from the log what no cursor may ask for any more, a little at a time.

Rule: steps are short and appends go between them; a log that cannot be swept
now is swept later.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from takotwist.errors import StoreUnavailable
from takotwist.ports import IReplayLog


class Sweeper(Service):
    """Sweeps every `interval` seconds, each time until nothing is left to remove.

    :param in_use: keys of the topics with subscribers.
    :param wall: unix time in seconds.
    """

    log = Logger()

    def __init__(
        self,
        replay_log: IReplayLog,
        in_use: Callable[[], Collection[str]],
        wall: Callable[[], float],
        clock: IReactorTime,
        interval: float,
    ) -> None:
        self._replay_log = replay_log
        self._in_use = in_use
        self._wall = wall
        self._interval = interval
        self._loop = LoopingCall(self._sweep)
        self._loop.clock = clock
        self._ended: Deferred[Any] = succeed(None)

    def startService(self) -> None:
        """Begin."""
        super().startService()  # type: ignore[no-untyped-call]
        self._ended = self._loop.start(self._interval, now=False)
        self._ended.addErrback(lambda failure: self.log.failure("sweeping failed", failure))

    def stopService(self) -> Deferred[Any]:
        """Stop after the step that is under way."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._loop.running:
            self._loop.stop()
        return self._ended

    def _sweep(self) -> Deferred[None]:
        return ensureDeferred(self._steps())

    async def _steps(self) -> None:
        try:
            while self.running and await self._replay_log.sweep(
                int(self._wall() * 1_000_000), self._in_use()
            ):
                pass
        except StoreUnavailable:
            pass  # the log has said so itself
        except Exception:
            self.log.failure("a sweep failed")
