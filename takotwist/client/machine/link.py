"""Connection lifecycle with reconnects: when to connect, to ping, to give up, to try again.

Shared by the subscription and by the multiplexed connection.  Rule: the link
knows nothing of messages; it is told `heard` and `delivered`, and answers when
it wants to be woken.  All times in milliseconds of the caller's monotonic clock.

Lifecycle of a link (`TRANSITIONS`):

    IDLE        wanted -> CONNECTING; the app said where to go on -> WAITING
    CONNECTING  the server lets us in -> OPEN; another transport is tried -> CONNECTING
    OPEN        the server says ``open`` again -> OPEN; another transport is tried -> CONNECTING
    both        ended -> WAITING, or IDLE where nobody wants it for now
    WAITING     retry is due -> CONNECTING
    any         closed, or stopped by an error -> CLOSED

Delays have full jitter with a doubling upper edge: after a restart ten thousand clients
come back spread over the whole interval, not all at its end.  Rule: only a
message or a connection that lasted makes the delays short again, so a server
that accepts and closes is not hammered.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

import attrs

from takotwist.client.machine.outcome import Action, Outcome
from takotwist.client.machine.policy import Policy
from takotwist.states import Transitions, moved

#: Least that a server's ``retry:`` can make of the base.
RETRY_LEAST_MS = 100.0


@attrs.define(slots=True)
class Retries:
    """The delays of one thing that is tried again and again.

    :param random: gives a float in [0, 1).
    """

    _policy: Policy
    _random: Callable[[], float]
    _failures: int = 0
    _reauthenticated: bool = False
    _base_ms: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._base_ms = self._policy.base_ms

    @property
    def attempt(self) -> int:
        """The number of the next delay, from 0."""
        return self._failures

    def rebase(self, retry_ms: int) -> None:
        """The server's ``retry:``.  A base and no floor: a floor would bring all back at once."""
        self._base_ms = min(max(retry_ms, RETRY_LEAST_MS), self._policy.cap_ms)

    def succeeded(self) -> None:
        """A message came, or the connection has lasted."""
        self._failures = 0
        self._reauthenticated = False

    def delay(self, outcome: Outcome, stable: bool) -> float:
        """Milliseconds to wait before the next try.

        :param stable: whether the connection that just ended had lasted; only then
            is an "at once" believed.
        """
        if stable:
            self.succeeded()
        at_once = outcome.action is Action.NOW and stable
        if outcome.action is Action.REAUTHENTICATE:
            at_once = not self._reauthenticated
            self._reauthenticated = True
        wait = self._jittered(self._failures) + (outcome.wait_ms or 0.0)
        self._failures += 1
        return 0.0 if at_once else wait

    def _jittered(self, attempt: int) -> float:
        # 2**64 is past every cap; an attempt that grows for weeks must not overflow a float.
        edge = min(self._policy.cap_ms, self._base_ms * 2.0 ** min(attempt, 64))
        return float(int(self._random() * edge))


class State(Enum):
    """State of a subscription, as its caller sees it."""

    IDLE = "idle"
    CONNECTING = "connecting"
    OPEN = "open"
    WAITING = "waiting"
    CLOSED = "closed"


_ENDED = frozenset({State.WAITING, State.IDLE, State.CLOSED})
#: What may follow each state of a link.
TRANSITIONS: Transitions[State] = {
    State.IDLE: frozenset({State.CONNECTING, State.WAITING, State.CLOSED}),
    State.CONNECTING: _ENDED | {State.CONNECTING, State.OPEN},
    State.OPEN: _ENDED | {State.CONNECTING, State.OPEN},
    State.WAITING: frozenset({State.CONNECTING, State.CLOSED}),
    State.CLOSED: frozenset(),
}


class Due(Enum):
    """Action that a `Link` wants when it wakes."""

    NOTHING = "nothing"
    CONNECT = "connect"
    PING = "ping"
    GIVE_UP = "give-up"


@attrs.define(slots=True)
class Link:
    """One connection and its successors.

    :ivar state: changed by `_enter` alone.
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
        self._enter(State.CONNECTING)
        self._opened_at = None
        self._asks = self._asked = self._paused = False
        self._heard_at = now

    def opened(self, now: float, asks: bool = False, keepalive_ms: float | None = None) -> None:
        """The server is there and lets us.

        :param asks: whether it answers pings of ours.
        :param keepalive_ms: its own interval.
        """
        self._enter(State.OPEN)
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
        self._enter(State.WAITING)
        opened = self._opened_at
        stable = opened is not None and now - opened >= self._policy.stable_ms
        self._opened_at = None
        self._retry_at = now + self.retries.delay(outcome, stable)
        self.trouble = outcome.trouble

    def closed(self) -> None:
        """Nothing shall follow."""
        self._enter(State.CLOSED)
        self.trouble = None

    def idle(self) -> None:
        """Nothing shall follow for now."""
        self._enter(State.IDLE)

    def _enter(self, state: State) -> None:
        self.state = moved(TRANSITIONS, self.state, state)

    @property
    def wake_at(self) -> float | None:
        """Time at which `due` wants to be asked, or `None`."""
        if self.state is State.WAITING:
            return self._retry_at
        if self.state not in (State.CONNECTING, State.OPEN) or self._paused:
            return None
        ping_next = self._asks and not self._asked
        return self._heard_at + self._keepalive_ms * (1 if ping_next else 2)

    def due(self, now: float) -> Due:
        """Next action.  Ask again until it says nothing."""
        wake_at = self.wake_at
        if wake_at is None or now < wake_at:
            return Due.NOTHING
        if self.state is State.WAITING:
            return Due.CONNECT
        if self._asks and not self._asked:
            self._asked = True
            return Due.PING
        return Due.GIVE_UP
