"""Timer shared by any number of things, each with its next moment.

Beside `core.deadlines`, whose tick is a quarter of a second: who is here is told ten times in one.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Generic, Protocol, TypeVar

import attrs
from twisted.internet.interfaces import IDelayedCall

#: Earlier moments of things, which are left until their time has come, past twice those that count.
MOST_VOID = 1_000


class Timed(Protocol):
    """Thing with a next moment.

    :ivar at: that, in seconds; `None` where it waits for nothing.
    """

    at: float | None


T = TypeVar("T", bound=Timed)


@attrs.define(slots=True, eq=False)
class Moments(Generic[T]):
    """See the module.

    :param seconds: the clock.
    :param later: calls a function after so many seconds, and can be cancelled.
    :param act: called with each thing whose moment has come.  It raises nothing.
    """

    _seconds: Callable[[], float]
    _later: Callable[..., IDelayedCall]
    _act: Callable[[T], None]
    _heap: list[tuple[float, int, T]] = attrs.field(factory=list, init=False)
    _order: count[int] = attrs.field(factory=count, init=False)
    _timer: IDelayedCall | None = attrs.field(default=None, init=False)
    _void: int = attrs.field(default=0, init=False)

    def at(self, thing: T, due: float) -> None:
        """Act on it then, or before where that was said already."""
        if thing.at is not None:
            if due >= thing.at:
                return
            self._void += 1
        thing.at = due
        if self._void > len(self._heap) // 2 + MOST_VOID:
            # A long grace is one that would be left again and again.
            # One each: the same moment may have been left and said anew.
            due_of = {id(one[2]): one for one in self._heap if one[2].at == one[0]}
            self._heap = list(due_of.values())
            heapify(self._heap)
            self._void = 0
        heappush(self._heap, (due, next(self._order), thing))
        self._arm()

    def stop(self) -> None:
        """Act no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def __len__(self) -> int:
        """The number of entries, void ones included."""
        return len(self._heap)

    def _arm(self) -> None:
        if self._timer is not None:
            if not self._heap or self._timer.getTime() <= max(self._heap[0][0], self._seconds()):
                return
            self._timer.cancel()
        self._timer = None
        if self._heap:
            self._timer = self._later(max(0.0, self._heap[0][0] - self._seconds()), self._fire)

    def _fire(self) -> None:
        self._timer = None
        now = self._seconds()
        while self._heap and self._heap[0][0] <= now:
            due, _, thing = heappop(self._heap)
            if thing.at == due:
                thing.at = None
                self._act(thing)
            else:
                self._void -= 1
        self._arm()
