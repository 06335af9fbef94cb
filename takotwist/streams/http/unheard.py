"""New connections that have said nothing yet, and one timer for all of them.

Most say something within a millisecond, and a timer of its own would be a good
part of what such a connection costs.  Rule: all wait equally long, so who came
first is due first, and the timer is for that one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime

C = TypeVar("C", bound=Hashable)

#: Two sums of the same seconds may differ in their last digit; a timer that found
#: nothing due for that would be due again, and again.
_SAME_MOMENT = 0.001


@attrs.define(slots=True, eq=False)
class Unheard(Generic[C]):
    """Who is waited for.

    :param seconds: how long each may take.
    :param overdue: called with each that took longer; it is no longer waited for then.
    """

    _reactor: IReactorTime
    _seconds: float
    _overdue: Callable[[C], object]
    _due: dict[C, float] = attrs.field(factory=dict, init=False)
    _timer: IDelayedCall | None = attrs.field(default=None, init=False)

    def add(self, connection: C) -> None:
        """Wait for `connection` from now on."""
        self._due[connection] = self._reactor.seconds() + self._seconds
        if self._timer is None:
            self._timer = self._reactor.callLater(self._seconds, self._look)

    def remove(self, connection: C) -> float:
        """It has spoken, or has gone.  How many seconds it had left."""
        due = self._due.pop(connection)
        if not self._due and self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return max(0.0, due - self._reactor.seconds())

    def __contains__(self, connection: C) -> bool:
        return connection in self._due

    def _look(self) -> None:
        self._timer = None
        now = self._reactor.seconds()
        late = []
        for connection, due in self._due.items():
            if due > now + _SAME_MOMENT:
                self._timer = self._reactor.callLater(due - now, self._look)
                break
            late.append(connection)
        for connection in late:
            del self._due[connection]
        for connection in late:
            self._overdue(connection)
