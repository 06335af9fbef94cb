"""The server's time, each second, until the page leaves."""

import time
from typing import Any, TypedDict

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from takotwist.live import Channel, ClientEnd, function

#: Tests put a clock of theirs here.
clock: IReactorTime | None = None


class Clock(TypedDict):
    channel: ClientEnd[Any, int]


@function
async def on_clock() -> Clock:
    """Milliseconds since the epoch."""
    channel = Channel[Any, int]()
    ticking = LoopingCall(lambda: channel.send(int(time.time() * 1000)))
    if clock is not None:
        ticking.clock = clock
    ticking.start(1)
    channel.on_close(ticking.stop)
    return {"channel": channel.client}
