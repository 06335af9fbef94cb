"""Lifecycle of one place: the log writer's, or that of worker 1 to N, whoever fills it now.

Lifecycle of a place (`TRANSITIONS`):

    EMPTY      a process is started -> STARTING; the server stops -> CLOSED
    STARTING   it says that it is ready -> SERVING; it ended -> PAUSED
    SERVING    it ended, or was restarted and ended -> PAUSED; a rolling restart -> REPLACING
    REPLACING  the successor is ready -> SERVING; the successor ended -> SERVING, by the one before;
               the one before ended -> STARTING, with the successor
    PAUSED     the pause is over -> STARTING
    any        the server stops -> STOPPING, or CLOSED where no process is left
    STOPPING   all its processes have ended -> CLOSED

Pure: times are arguments, in seconds of the monotonic clock.
"""

from __future__ import annotations

from enum import Enum

import attrs

from takotwist.states import Transitions, moved

#: The first pause before a process that ended is started again, and the longest.  None is longer
#: than the process served: who is killed now and then is missed no longer than it was there.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0

#: Who served for so long has not failed at its start: the next pause is a first one.
STABLE_SECONDS = 60.0

#: Failed starts in a row that make a place hopeless: a minute of pauses.
TRIES = 8

#: Who served for so long was started well, however it ended: that is no sign that the next
#: one will not serve.
STARTED_SECONDS = 1.0


class PlaceState(Enum):
    """State of a place."""

    EMPTY = "empty"
    STARTING = "starting"
    SERVING = "serving"
    REPLACING = "replacing"
    PAUSED = "paused"
    STOPPING = "stopping"
    CLOSED = "closed"


_STOP = frozenset({PlaceState.STOPPING})
#: What may follow each state of a place.
TRANSITIONS: Transitions[PlaceState] = {
    PlaceState.EMPTY: frozenset({PlaceState.STARTING, PlaceState.CLOSED}),
    PlaceState.STARTING: _STOP | {PlaceState.SERVING, PlaceState.PAUSED},
    PlaceState.SERVING: _STOP | {PlaceState.PAUSED, PlaceState.REPLACING},
    PlaceState.REPLACING: _STOP | {PlaceState.SERVING, PlaceState.STARTING},
    PlaceState.PAUSED: frozenset({PlaceState.STARTING, PlaceState.CLOSED}),
    PlaceState.STOPPING: frozenset({PlaceState.CLOSED}),
    PlaceState.CLOSED: frozenset(),
}


@attrs.define(slots=True)
class Place:
    """One place.

    :ivar state: changed by the methods alone.
    :ivar failures: ends in a row of processes that did not serve for `STABLE_SECONDS`.
    :ivar failed_starts: those in a row, up to now, that did not serve for `STARTED_SECONDS`.
    """

    state: PlaceState = attrs.field(default=PlaceState.EMPTY, init=False)
    failures: int = attrs.field(default=0, init=False)
    failed_starts: int = attrs.field(default=0, init=False)
    _serving_since: float | None = attrs.field(default=None, init=False)

    @property
    def hopeless(self) -> bool:
        """True when starting it has failed so often that it will not get better."""
        return self.failed_starts >= TRIES

    @property
    def serves(self) -> bool:
        """True while its process takes new connections."""
        return self.state in (PlaceState.SERVING, PlaceState.REPLACING)

    def started(self) -> None:
        """A process was started, and nobody else is there."""
        self._enter(PlaceState.STARTING)

    def ready(self, now: float) -> None:
        """The process serves: the only one, or the successor in a rolling restart."""
        self._enter(PlaceState.SERVING)
        self._serving_since = now

    def ended(self, now: float) -> float:
        """The only process ended, and nobody wanted it.

        :return: the pause until it is started again.
        """
        self._enter(PlaceState.PAUSED)
        since, self._serving_since = self._serving_since, None
        served = 0.0 if since is None else now - since
        self.failures = 1 if served >= STABLE_SECONDS else self.failures + 1
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (self.failures - 1))
        if served < STARTED_SECONDS:
            self.failed_starts += 1
            return pause
        self.failed_starts = 0
        return min(pause, served)

    def restarting(self) -> None:
        """The only process ended, as it was told, for another to be started at once."""
        self._enter(PlaceState.PAUSED)
        self._serving_since = None

    def replacing(self) -> None:
        """A successor was started beside the one that serves."""
        self._enter(PlaceState.REPLACING)

    def abandoned(self) -> None:
        """The successor ended before it was ready; the one before serves on."""
        self._enter(PlaceState.SERVING)

    def inherited(self) -> None:
        """The one before ended while its successor starts."""
        self._enter(PlaceState.STARTING)
        self._serving_since = None

    def stop(self, *, left: bool) -> None:
        """The server stops.

        :param left: whether it has a process, which is then told.
        """
        self._enter(PlaceState.STOPPING if left else PlaceState.CLOSED)

    def closed(self) -> None:
        """The last process has ended, as it was told."""
        self._enter(PlaceState.CLOSED)

    def _enter(self, state: PlaceState) -> None:
        self.state = moved(TRANSITIONS, self.state, state)
