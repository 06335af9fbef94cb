"""The life of one connection that comes back: when to connect, to ask, to give it up.

Shared by the subscription and by the multiplexed connection.  Rule: the link
knows nothing of messages; it is told `heard` and `delivered`, and answers when
it wants to be woken.  All times in milliseconds of the caller's monotonic clock.
"""

from __future__ import annotations

from enum import Enum

import attrs

from takotwist.client.machine.outcome import Outcome
from takotwist.client.machine.policy import Policy
from takotwist.client.machine.retries import Retries


class State(Enum):
    """Where a subscription stands, as its caller sees it."""

    IDLE = "idle"
    CONNECTING = "connecting"
    OPEN = "open"
    WAITING = "waiting"
    CLOSED = "closed"


class Due(Enum):
    """What a `Link` wants when it wakes."""

    NOTHING = "nothing"
    CONNECT = "connect"
    PING = "ping"
    GIVE_UP = "give-up"


@attrs.define(slots=True)
class Link:
    """One connection and its successors.

    :ivar trouble: why the last connection failed, in words for a person; `None` where
        there is one, or where its end was none.
    """

    _policy: Policy
    retries: Retries
    state: State = State.IDLE
    trouble: str | None = None
    _keepalive_ms: float = attrs.field(init=False)
    _opened_at: float | None = None
    _heard_at: float = 0.0
    _retry_at: float = 0.0
    _asks: bool = False
    _asked: bool = False
    _paused: bool = False

    def __attrs_post_init__(self) -> None:
        self._keepalive_ms = self._policy.keepalive_ms

    def connecting(self, now: float) -> None:
        """A connection is being made."""
        self.state = State.CONNECTING
        self._opened_at = None
        self._asks = self._asked = self._paused = False
        self._heard_at = now

    def opened(self, now: float, asks: bool = False, keepalive_ms: float | None = None) -> None:
        """The server is there and lets us.

        :param asks: whether it answers pings of ours.
        :param keepalive_ms: its own interval.
        """
        self.state = State.OPEN
        self.trouble = None
        self._opened_at = now
        self._asks = asks
        self._keepalive_ms = keepalive_ms or self._policy.keepalive_ms
        self.heard(now)

    def heard(self, now: float) -> None:
        """Any byte came."""
        # While connecting it says nothing: who answers pings and lets nobody in is no server.
        if self.state is not State.CONNECTING:
            self._heard_at = now
            self._asked = False

    def delivered(self) -> None:
        """A message came: whatever was wrong is over."""
        self.retries.succeeded()

    def paused(self) -> None:
        """The caller does not read, so silence says nothing."""
        self._paused = True

    def resumed(self, now: float) -> None:
        """The caller reads again."""
        self._paused = False
        self.heard(now)

    def lost(self, outcome: Outcome, now: float) -> None:
        """The connection is over and another shall follow."""
        opened = self._opened_at
        stable = opened is not None and now - opened >= self._policy.stable_ms
        self._opened_at = None
        self._retry_at = now + self.retries.delay(outcome, stable)
        self.trouble = outcome.trouble
        self.state = State.WAITING

    def closed(self) -> None:
        """Nothing shall follow."""
        self.state = State.CLOSED
        self.trouble = None

    def idle(self) -> None:
        """Nothing shall follow for now."""
        self.state = State.IDLE

    @property
    def wake_at(self) -> float | None:
        """When `due` wants to be asked, or `None`."""
        if self.state is State.WAITING:
            return self._retry_at
        if self.state not in (State.CONNECTING, State.OPEN) or self._paused:
            return None
        ping_next = self._asks and not self._asked
        return self._heard_at + self._keepalive_ms * (1 if ping_next else 2)

    def due(self, now: float) -> Due:
        """What shall happen now.  Ask again until it says nothing."""
        wake_at = self.wake_at
        if wake_at is None or now < wake_at:
            return Due.NOTHING
        if self.state is State.WAITING:
            return Due.CONNECT
        if self._asks and not self._asked:
            self._asked = True
            return Due.PING
        return Due.GIVE_UP
