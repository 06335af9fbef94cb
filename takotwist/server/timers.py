"""Timed work of a running server: deadlines, the drain of a calm stop, sweeps of the log.

One tick of the reactor serves all deadlines, and how late it comes is the lag that the
metrics show.  A drain tells the connections one group after the other, because ten thousand
clients that are closed in one moment come back in one moment.  A sweep removes from the log
what no cursor may ask for any more, in short steps with appends between them.

Rules: an action that fails is logged and keeps no other from happening; the drain ends within
its time, whatever the clients do; a log that cannot be swept now is swept later.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger

from takotwist.core.counted import counted
from takotwist.core.deadlines import Deadlines
from takotwist.core.metrics import Metrics
from takotwist.core.send_queue import FlushBatch
from takotwist.errors import ShuttingDown, StoreUnavailable
from takotwist.flow.sessions import Sessions
from takotwist.ports import IReplayLog

#: Seconds between two groups of closings.
STEP = 0.1

#: Up to so many connections are closed at once: there is no storm to be spread.
AT_ONCE = 20

_log = Logger()

# deadlines


class Ticker(Service):
    """The tick that runs `deadlines` by the reactor's clock."""

    log = Logger()

    def __init__(
        self, deadlines: Deadlines, flush_batch: FlushBatch, metrics: Metrics, clock: IReactorTime
    ) -> None:
        self._deadlines = deadlines
        self._flush_batch = flush_batch
        self._metrics = metrics
        self._clock = clock
        self._loop = LoopingCall(self.tick)
        self._loop.clock = clock
        self._expected: float | None = None

    def startService(self) -> None:
        """Begin to tick."""
        Service.startService(self)
        self._expected = None
        self._loop.start(self._deadlines.grain, now=False)

    def stopService(self) -> None:
        """No more ticks; what was to come is forgotten with the connections."""
        Service.stopService(self)
        if self._loop.running:
            self._loop.stop()

    def tick(self) -> None:
        """Do what is due."""
        now = self._clock.seconds()
        if self._expected is not None:
            self._metrics.loop_lag_seconds.observe(max(0.0, now - self._expected))
        self._expected = now + self._deadlines.grain
        self._flush_batch.now = now
        for action in self._deadlines.tick(now):
            self._guarded(action)
        self._guarded(self._flush_batch.end)

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception:
            self.log.failure("a deadline's action failed")


# the calm stop


async def drain(sessions: Sessions, clock: IReactorTime, seconds: float) -> None:
    """End all sessions, spread over at most `seconds`."""
    open_now = list(sessions)
    if not open_now:
        return
    steps = max(1, int(seconds / STEP))
    group = max(AT_ONCE, -(-len(open_now) // steps))
    _log.info("closing {connections}", connections=counted(len(open_now), "connection"))
    while True:
        for session in open_now[:group]:
            if not session.closed:
                session.end(ShuttingDown())
        del open_now[:group]
        if not open_now:
            return
        waiting: Deferred[None] = deferLater(clock, STEP)
        await waiting


async def until_answered(
    is_answering: Callable[[], bool], clock: IReactorTime, seconds: float
) -> None:
    """Wait until `is_answering` says no, but not longer than `seconds`."""
    end = clock.seconds() + seconds
    while is_answering():
        if clock.seconds() >= end:
            _log.warn("requests were under way for {seconds} s, and are cut off", seconds=seconds)
            return
        waiting: Deferred[None] = deferLater(clock, STEP)
        await waiting


async def within(clock: IReactorTime, seconds: float, doing: Deferred[Any]) -> None:
    """Wait for `doing`, but not longer than `seconds`."""
    doing.addTimeout(seconds, clock)
    try:
        await doing
    except DeferredTimeout:
        _log.warn("a step of the stop took more than {seconds} s", seconds=seconds)
    except Exception:
        _log.failure("a step of the stop failed")


# sweeps


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
        Service.startService(self)
        self._ended = self._loop.start(self._interval, now=False)
        self._ended.addErrback(lambda failure: self.log.failure("sweeping failed", failure))

    def stopService(self) -> Deferred[object]:
        """Stop after the step that is under way."""
        Service.stopService(self)
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
