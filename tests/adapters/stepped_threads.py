"""A reactor with a hand-turned clock, and a thread pool whose work is run by hand."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from zope.interface import implementer


@implementer(IReactorFromThreads)
class SteppedReactor(MemoryReactorClock):
    """Calls from threads happen at once: the threads are not real."""

    def callFromThread(self, callable: Any, *args: Any, **kwargs: Any) -> None:
        callable(*args, **kwargs)

    def suggestThreadPoolSize(self, size: int) -> None:
        """There are no threads."""

    def getThreadPool(self) -> Any:
        """There are no threads."""


class SteppedPool:
    """Runs work at once, or, while `held`, when told to."""

    def __init__(self, max: int = 2) -> None:
        self.max = max
        self.held = False
        self.work: list[Any] = []

    def callInThreadWithCallback(self, onResult: Any, func: Any, *args: Any, **kwargs: Any) -> None:
        def run() -> None:
            try:
                result = func(*args, **kwargs)
            except BaseException:
                onResult(False, Failure())
            else:
                onResult(True, result)

        if self.held:
            self.work.append(run)
        else:
            run()

    def step(self) -> None:
        """Run the oldest piece of held work."""
        self.work.pop(0)()
