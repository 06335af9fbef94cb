"""Lets so many through at once, and the others wait in order.

After a restart ten thousand clients come back in one second; the app is asked
for a few at a time and nobody is refused for having come together.  Rule: the
line is bounded in length and in patience, so a stuck app cannot fill it for good.
"""

from __future__ import annotations

from collections import deque

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from takotwist.errors import AuthUnavailable, Overloaded


class WaitingLine:
    """A bounded number of places, first come, first served.

    :param places: how many may be inside at once.
    :param length: how many may wait.
    :param patience: seconds after which who still waits has waited in vain.
    """

    def __init__(
        self, clock: IReactorTime, *, places: int, length: int = 20_000, patience: float = 30.0
    ) -> None:
        self._clock = clock
        self._free = places
        self._length = length
        self._patience = patience
        # In order of arrival; who went away leaves at once.
        self._waiting: dict[Deferred[None], float] = {}

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def take(self) -> bool:
        """Get a place if one is free now."""
        if self._free > 0:
            self._free -= 1
            return True
        return False

    def enter(self) -> Deferred[None]:
        """Get a place; give it back with `leave`.  Cancelling leaves the line.

        :raises Overloaded: the line is full.
        :raises AuthUnavailable: no place came free in time.
        """
        if self.take():
            return succeed(None)
        self._turn_away_impatient()
        if len(self._waiting) >= self._length:
            raise Overloaded("Too many requests wait for the app.")
        place: Deferred[None] = Deferred(self._gone)
        self._waiting[place] = self._clock.seconds()
        return place

    def leave(self) -> None:
        """Give a place back to whoever has waited longest."""
        self._turn_away_impatient()
        if not self._waiting:
            self._free += 1
            return
        first = next(iter(self._waiting))
        del self._waiting[first]
        first.callback(None)

    def _gone(self, place: Deferred[None]) -> None:
        self._waiting.pop(place, None)

    def _turn_away_impatient(self) -> None:
        # Looked at when places change hands and not by a timer for each: a place
        # changes hands at least as often as a call's deadline passes.
        oldest = self._clock.seconds() - self._patience
        late: deque[Deferred[None]] = deque()
        for place, since in self._waiting.items():
            if since > oldest:
                break
            late.append(place)
        for place in late:
            # One refusal may have made others leave, by their own callbacks.
            if self._waiting.pop(place, None) is not None:
                place.errback(AuthUnavailable("The app did not answer in time."))
