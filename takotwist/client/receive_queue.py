"""Receive queue of a subscription: events that arrived and were not read yet.

Rule: the cursor that the caller sees is that of what the caller has taken, not
of what has arrived; one who stores it after each message loses nothing.
"""

from __future__ import annotations

from collections import deque

import attrs

from takotwist.client.events import Event


@attrs.define(slots=True)
class ReceiveQueue:
    """A bounded buffer; who fills it looks at `full` and stops reading.

    :param limit: events that may wait.
    :ivar cursor: of the last event taken, or later where nothing lay between.
    :ivar ended: nothing will be put any more.
    :ivar error: why, where it was not the caller's wish.
    """

    _limit: int
    cursor: str | None = None
    ended: bool = False
    error: Exception | None = None
    _waiting: deque[tuple[Event, str | None]] = attrs.field(factory=deque)

    def put(self, event: Event, cursor: str | None) -> None:
        """`event` arrived; who has seen it stands at `cursor`."""
        self._waiting.append((event, cursor))

    def move(self, cursor: str) -> None:
        """The cursor moved without an event."""
        if self._waiting:
            event, _ = self._waiting.pop()
            self._waiting.append((event, cursor))
        else:
            self.cursor = cursor

    def end(self, error: Exception | None) -> None:
        """Accept nothing more; events that wait may still be taken."""
        if not self.ended:
            self.ended, self.error = True, error

    def take(self) -> Event | None:
        """The oldest event, or `None` where none waits."""
        if not self._waiting:
            return None
        event, self.cursor = self._waiting.popleft()
        return event

    @property
    def full(self) -> bool:
        """Nothing more should be read."""
        return len(self._waiting) >= self._limit

    @property
    def drained(self) -> bool:
        """Reading may go on.  Half of `full`, so that each event is no stop and go."""
        return len(self._waiting) <= self._limit // 2

    def __len__(self) -> int:
        return len(self._waiting)
