"""The server's end of a live object, as the app and as its session see it.

Rule: the app calls it from functions and listeners, the session from wires;
neither sees the machine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import attrs

from takotwist.live.errors import Abort, LiveError, UsageError, as_trouble
from takotwist.live.functions.call_context import current_call
from takotwist.live.home import Home
from takotwist.live.machine.frames import Frame, Position, Trouble
from takotwist.live.machine.machine import Phase
from takotwist.live.machine.settings import Bounds
from takotwist.live.objects.callbacks import closing, listening_to
from takotwist.live.objects.driven import Carrier, Driven
from takotwist.live.objects.outcome import Outcome

#: What happens where more waits than may: the object ends, or the oldest are dropped.
Overflow = Literal["end", "drop-oldest"]

#: Seconds for a graceful close.
CLOSE_TIMEOUT = 5.0

#: The longest that a page's timers take, which is what `close(inf)` says to it.
LONGEST_CLOSE = (2**31 - 1) / 1000


class LiveObject(Driven):
    """What `Channel` and `BroadcastChannel` have in common."""

    kind = ""
    ack = False
    durable = False

    def __init__(self, buffer_limit: int | None = None, overflow: Overflow = "end") -> None:
        call = current_call()
        bounds = Bounds() if call is None else call.home.bounds
        if buffer_limit is not None:
            if buffer_limit < 0:
                raise UsageError("buffer_limit must be a number of bytes from 0")
            bounds = bounds.with_buffer(buffer_limit)
        if overflow not in get_args(Overflow):
            raise UsageError("overflow must be 'end' or 'drop-oldest'")
        bounds = attrs.evolve(bounds, drop_oldest=overflow == "drop-oldest")
        self.overflows: Overflow = overflow
        super().__init__(bounds, (lambda: 0.0) if call is None else call.home.seconds)
        if call is not None:
            call.created.append(self)

    # the app's side

    @property
    def is_closed(self) -> bool:
        """Whether nothing more can be sent."""
        return self._machine.closed

    def on_open(self, callback: Callable[[], Any]) -> None:
        """Call once when the client is there for the first time; now if it has been."""
        self._lifetime.on_open(callback)

    def on_close(self, callback: Callable[..., Any]) -> None:
        """Call once at the permanent end, with the error or `None`; now if it has ended.

        The callback may take no argument.  A coroutine is waited for by `close`,
        for 5 seconds.
        """
        self._lifetime.on_close(callback)

    def close(self, timeout: float = CLOSE_TIMEOUT) -> Outcome[int]:
        """Close gracefully: what was sent arrives, what was asked is answered.

        :param timeout: seconds for both sides, 24 days at most.
        :return: 0 where the client agreed, 1 where the time was up.
        :raises UsageError: the timeout is no number from 0.
        """
        if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout >= 0:
            raise UsageError("timeout must be a number of seconds from 0")
        lifetime = self._lifetime
        if closing.get() is self:
            # Its own `on_close` asks: waiting for itself would be for ever.
            return Outcome.of(lifetime.result())
        if lifetime.closed is None:
            lifetime.closed = Outcome()
            if self._carrier is None:
                self._act(self._machine.abandon)
            else:
                listening = listening_to.get()
                excused = [listening[1]] if listening and listening[0] is self else []
                longest = min(timeout, LONGEST_CLOSE)
                self._act(self._machine.close, longest, self._clock(), excused)
        return lifetime.closed

    def abort(self, value: Any = None, message: str | None = None) -> None:
        """End at once; the client's `onClose` gets an `Abort` with `value`.  Harmless at the end.

        :raises TypeError: :raises ValueError: JSON has no form for `value`.
        """
        self.lose(Abort(value, message))

    # the session's side

    def check_types(self) -> None:
        """:raises UsageError: JSON cannot carry its messages; said where it is made, not where
        the first one comes.
        """
        self._inbound()
        self._outbound()

    def settle_in(self, home: Home, carrier: Carrier, new_id: str) -> None:
        """A function has returned it: from now on a client may attach."""
        self._carrier, self.id = carrier, new_id
        self.wait_unreturned(home)

    def wait_unreturned(self, home: Home) -> None:
        """Its function did not return it: it ends with `NetworkError` unless another one does."""
        self._home, self._clock = home, home.seconds
        self._act(self._machine.begin, home.seconds())

    @property
    def outcome(self) -> tuple[Trouble | None] | None:
        """How it ended, for a client that asks after the end; `None` while it can be attached."""
        if self._machine.phase in (Phase.OVER, Phase.FORGOTTEN):
            return (self._machine.outcome,)
        return None

    @property
    def was_attached(self) -> bool:
        """Whether a client has ever been there."""
        return self._machine.phase is not Phase.NEW

    @property
    def held(self) -> int:
        """Bytes that wait for the client, or that it may need again."""
        return self._machine.held

    def position(self) -> Position:
        """What this end has."""
        return self._machine.position()

    def attach(self, position: Position) -> None:
        """A wire carries it."""
        self._act(self._machine.attach, position, self._clock())

    def detach(self) -> None:
        """The wire is gone."""
        self._act(self._machine.detach, self._clock())

    def block(self, blocked: bool) -> None:
        """The wire takes no more, or does again."""
        self._act(self._machine.block, blocked, self._clock())

    def report(self) -> None:
        """A ping."""
        self._act(self._machine.report)

    def receive(self, frame: Frame) -> None:
        """A frame has come."""
        self._act(self._machine.receive, frame, self._clock())

    def lose(self, error: LiveError) -> None:
        """End it from outside."""
        self._act(self._machine.end, as_trouble(error), self._clock())
