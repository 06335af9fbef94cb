"""Everything that shall happen at some time, in one table with one tick.

Ten thousand connections with a keepalive, a lifetime and an expiry each would
be thirty thousand timers of the reactor.  Here they are entries in buckets.
Rule: nothing happens before its time, and at most one `grain` after it.
"""

from __future__ import annotations

from collections.abc import Callable

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

    def at(self, when: float, action: Callable[[], None]) -> Deadline:
        """Do `action` in the first tick at or after `when` (seconds of the caller's clock)."""
        index = max(-int(-when // self.grain), self._done + 1)
        bucket = self._buckets.setdefault(index, {})
        deadline = Deadline(action, bucket)
        bucket[deadline] = None
        return deadline

    def tick(self, now: float) -> list[Callable[[], None]]:
        """The actions whose time has come, earliest bucket first.

        The caller runs them, each under its own guard: one that fails must not
        keep the others from happening.
        """
        upto = int(now // self.grain)
        if upto <= self._done:
            return []
        self._done = upto
        actions: list[Callable[[], None]] = []
        for index in sorted(index for index in self._buckets if index <= upto):
            for deadline in self._buckets.pop(index):
                if deadline.action is not None:
                    actions.append(deadline.action)
                deadline.action, deadline._slot = None, None
        return actions

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))
