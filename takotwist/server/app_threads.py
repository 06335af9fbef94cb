"""The threads in which plain functions of the app run.

Rule: a function that never returns keeps no process from ending.  A thread cannot be stopped
from outside, so the one that it has is left to end with the process.
"""

from __future__ import annotations

from threading import Thread

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool

from takotwist.core.counted import counted

#: Seconds between two looks at whether the last one has returned.
LOOK_SECONDS = 0.05


class _Left(Thread):
    """A thread that the interpreter does not wait for at its end."""

    def start(self) -> None:
        self.daemon = True
        super().start()


class AppThreads(ThreadPool):
    """A pool of such threads.  To be ended with `end`: `stop` waits, however long it takes."""

    log = Logger()

    threadFactory = _Left

    async def end(self, clock: IReactorTime, seconds: float) -> None:
        """Stop; functions that have not returned after so many seconds are left."""
        until = clock.seconds() + seconds
        while self.working:
            if clock.seconds() >= until:
                self.log.warn(
                    "{functions} of the app had not returned {seconds:g} s after the rest of the"
                    " server had stopped: not waited for",
                    functions=counted(len(self.working), "function"),
                    seconds=seconds,
                )
                return
            await deferLater(clock, LOOK_SECONDS)
        self.stop()
