"""Deadlines of all connections in one table with one tick, and the keepalive's rule.

Ten thousand connections with a keepalive, a lifetime and an expiry each would be thirty
thousand timers of the reactor.  Here they are entries in buckets.  Rule: nothing
happens before its time, and at most one `grain` after it.

Keepalive is one rule for all transports.  Server-Sent Events get a comment when nothing
was written for an interval; WebSocket peers are pinged every interval and dropped when
none of the pings of two intervals was answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import Enum

import attrs


@attrs.define(slots=True, eq=False)
class Deadline:
    """One entry; `cancel` it or let it come."""

    action: Callable[[], None] | None
    _slot: dict[Deadline, None] | None = None

    def cancel(self) -> None:
        """It shall not happen.  Harmless when it has happened."""
        self.action = None
        if self._slot is not None:
            self._slot.pop(self, None)
            self._slot = None


@attrs.define(slots=True, eq=False)
class Deadlines:
    """The table.

    :ivar grain: seconds that one bucket spans.
    """

    grain: float = 0.25
    _buckets: dict[int, dict[Deadline, None]] = attrs.field(factory=dict, init=False)
    _done: int = attrs.field(default=-1, init=False)
    _room: int = attrs.field(default=64, init=False)

    def at(self, when: float, action: Callable[[], None]) -> Deadline:
        """Do `action` in the first tick at or after `when` (seconds of the caller's clock)."""
        index = max(-int(-when // self.grain), self._done + 1)
        bucket = self._buckets.get(index)
        if bucket is None:
            if len(self._buckets) >= self._room:
                # Buckets whose deadlines were all cancelled: of lifetimes of hours there
                # would be ten megabytes before their time comes.
                self._buckets = {one: held for one, held in self._buckets.items() if held}
                self._room = 2 * len(self._buckets) + 64
            bucket = self._buckets[index] = {}
        deadline = Deadline(action, bucket)
        bucket[deadline] = None
        return deadline

    def tick(self, now: float) -> Iterator[Callable[[], None]]:
        """The actions whose time has come, earliest bucket first; none that was cancelled,
        also not by an action before it.

        The caller runs each as it comes, under a guard of its own: one that fails
        must not keep the others from happening.
        """
        upto = int(now // self.grain)
        if upto <= self._done:
            return iter(())
        begun, self._done = self._done, upto
        buckets = self._buckets
        if upto - begun < len(buckets):
            # As a rule one: thousands of lifetimes need not be looked at for each tick.
            indexes: Iterable[int] = range(begun + 1, upto + 1)
        else:
            indexes = sorted(index for index in buckets if index <= upto)
        return _taken([one for index in indexes for one in buckets.pop(index, ())])

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))


def _taken(due: list[Deadline]) -> Iterator[Callable[[], None]]:
    for deadline in due:
        action, deadline.action, deadline._slot = deadline.action, None, None
        if action is not None:
            yield action


class Pulse(Enum):
    """The keepalive's answer."""

    NOTHING = "nothing"
    SPEAK = "speak"
    DROP = "drop"


@attrs.define(slots=True)
class Comments:
    """Keepalive by something written into silence.  All times in seconds."""

    interval: float

    def check(self, now: float, written_at: float) -> tuple[Pulse, float]:
        """The answer at `now`, and the time of the next check."""
        due = written_at + self.interval
        if now >= due:
            return Pulse.SPEAK, now + self.interval
        return Pulse.NOTHING, due


@attrs.define(slots=True)
class Pings:
    """Keepalive by pings that the peer must answer.  All times in seconds.

    :ivar heard_at: when the peer last proved to be there.
    """

    interval: float
    heard_at: float

    def heard(self, now: float) -> None:
        """A pong or any frame of the peer has come."""
        self.heard_at = now

    def check(self, now: float) -> tuple[Pulse, float]:
        """The answer at `now`, and the time of the next check."""
        if now - self.heard_at > 2 * self.interval:
            return Pulse.DROP, now
        return Pulse.SPEAK, now + self.interval
