"""The one timer behind all deadlines, and how late it comes.

Rule: an action that fails is logged and keeps no other from happening.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from takotwist.core.deadlines import Deadlines
from takotwist.core.metrics import Tally
from takotwist.core.send_queue import Turn


class Ticker(Service):
    """Runs `deadlines` by the reactor's clock.

    A tick that comes late tells how long the reactor was held up by something:
    the lag that the metrics show.
    """

    log = Logger()

    def __init__(self, deadlines: Deadlines, turn: Turn, tally: Tally, clock: IReactorTime) -> None:
        self._deadlines = deadlines
        self._turn = turn
        self._tally = tally
        self._clock = clock
        self._loop = LoopingCall(self.tick)
        self._loop.clock = clock
        self._expected: float | None = None

    def startService(self) -> None:
        """Begin to tick."""
        super().startService()  # type: ignore[no-untyped-call]
        self._expected = None
        self._loop.start(self._deadlines.grain, now=False)

    def stopService(self) -> None:
        """No more ticks; what was to come is forgotten with the connections."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._loop.running:
            self._loop.stop()

    def tick(self) -> None:
        """Do what is due."""
        now = self._clock.seconds()
        if self._expected is not None:
            self._tally.loop_lag_seconds.observe(max(0.0, now - self._expected))
        self._expected = now + self._deadlines.grain
        self._turn.now = now
        for action in self._deadlines.tick(now):
            self._guarded(action)
        self._guarded(self._turn.end)

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception:
            self.log.failure("a deadline's action failed")
