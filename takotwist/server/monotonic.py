"""Timers that a step of the wall clock does not move.

Twisted's reactors count time by the wall clock: set back an hour, every timer
waits an hour longer, keepalives included.  Rule: durations are counted by the
monotonic clock; unix time is asked for by its own name (`wall`), for ids,
expiries and certificates.
"""

from __future__ import annotations

import time
from typing import Any


def use_monotonic_time(reactor: Any) -> None:
    """Have `reactor` count by the monotonic clock; to be called before it runs.

    Calls that are scheduled already keep their delays.
    """
    if reactor.seconds is time.monotonic:
        return
    waiting = [(call, call.getTime() - reactor.seconds()) for call in reactor.getDelayedCalls()]
    reactor.seconds = time.monotonic
    for call, delay in waiting:
        call.seconds = time.monotonic
        call.reset(max(0.0, delay))
