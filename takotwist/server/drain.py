"""A calm stop: nobody new, those who are here told one after the other, all stored.

Ten thousand clients that are closed in one moment come back in one moment.
Rule: the drain ends within its time, whatever the clients do.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from takotwist.errors import ShuttingDown
from takotwist.flow.sessions import Sessions

#: Seconds between two groups of closings.
STEP = 0.1

#: Up to so many connections are closed at once: there is no storm to be spread.
AT_ONCE = 20

_log = Logger()


async def drain(sessions: Sessions, clock: IReactorTime, seconds: float) -> None:
    """End all sessions, spread over at most `seconds`."""
    open_now = list(sessions)
    if not open_now:
        return
    steps = max(1, int(seconds / STEP))
    group = max(AT_ONCE, -(-len(open_now) // steps))
    _log.info("closing {count} connections", count=len(open_now))
    while True:
        for session in open_now[:group]:
            if not session.closed:
                session.end(ShuttingDown())
        del open_now[:group]
        if not open_now:
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
