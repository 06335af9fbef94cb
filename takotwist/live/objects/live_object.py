"""The server's end of a live object: driver of its machine, and the face to app and session.

Rules: the app calls it from functions and listeners, the session from wires; neither
sees the machine.  Outputs of the machine are carried out one after the other, never one
inside the other: what a listener sends while it runs comes behind what was being sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol, get_args

import attrs
from twisted.logger import Logger

from takotwist.core.deadlines import Deadline
from takotwist.errors import Refusal
from takotwist.live.errors import (
    Abort,
    LiveError,
    UsageError,
    ValidationError,
    as_error,
    as_trouble,
)
from takotwist.live.functions.call_context import current_call
from takotwist.live.machine.frames import (
    OVERFLOW,
    Answered,
    Bounds,
    Broken,
    Deliver,
    Ended,
    Failed,
    Forgotten,
    Frame,
    Opened,
    Output,
    Position,
    Sent,
    Transmit,
    Trouble,
)
from takotwist.live.machine.machine import Machine, Phase
from takotwist.live.objects.callbacks import LifetimeCallbacks, closing, listening_to
from takotwist.live.objects.outcome import ANYTHING, Direction, Outcome
from takotwist.live.publish_permission import PublishPermission
from takotwist.live.services import LiveServices
from takotwist.live.values import NOTHING, Encoded

#: Timeout of `on_close` callbacks in seconds, so that `close` always comes to an end.
CLOSE_PATIENCE = 5.0


class ObjectSession(Protocol):
    """The session that an object belongs to, as the object sees it."""

    def transmit(self, one: Any, frame: Frame) -> None:
        """Put a frame on the wire."""

    def forgotten(self, one: Any) -> None:
        """Remove the object: nothing is left to do for it."""

    def broken(self, reason: str) -> None:
        """End the session: the client broke the protocol."""

    def overflowed(self) -> None:
        """Count an overflow: a message was dropped, or the object has ended."""


class MachineDriver:
    """I/O adapter of a machine: clock, deadline, session, and its part of the backlog.

    :ivar id: names it within its session; empty until it is returned to a client.
    """

    _log = Logger()

    def __init__(self, bounds: Bounds, clock: Callable[[], float]) -> None:
        self.id = ""
        self._permission: PublishPermission | None = None
        self._services: LiveServices | None = None
        self._session: ObjectSession | None = None
        self._clock = clock
        self._machine = Machine(bounds, clock())
        self._lifetime = LifetimeCallbacks(self, self._after_patience)
        self._carrying = False
        self._deadline: Deadline | None = None
        self._deadline_at: float | None = None
        self._held = 0

    # hooks of the kinds of objects

    def _inbound(self) -> Direction:
        return ANYTHING

    def _outbound(self) -> Direction:
        return ANYTHING

    def _deliver(self, frame: Frame) -> None:
        """Take a message, or a change of a subscription."""
        raise NotImplementedError

    def _ended(self) -> None:
        """Release what the object holds: it is over."""

    def _acted(self) -> None:
        """Continue after an input, when all its outputs are carried out."""

    def _send(self, frame: Frame, outcome: Outcome[object]) -> Outcome[object]:
        self._act(self._machine.send, frame, outcome, self._clock())
        return outcome

    def _answer(self, frame: Frame, said: Encoded, trouble: Trouble | None) -> None:
        """Settle a delivered frame, with an answer where one was asked for."""
        if frame.ack or frame.do == "publish":
            self._act(
                self._machine.answer, frame.seq, said.data, trouble, self._clock(), said.values
            )
        else:
            self._act(self._machine.consumed, frame.seq, self._clock())

    def hear(self, frame: Frame) -> None:
        """Deliver a permitted frame (`FrameTarget`)."""
        if not self._machine.ended:
            self._deliver(frame)

    def refuse(self, frame: Frame, refusal: Refusal) -> None:
        """Fail a frame that is not permitted (`FrameTarget`)."""
        self._answer(frame, NOTHING, Trouble("failed", None, refusal.code))

    def overflow(self) -> None:
        """End it: it holds most of what is too much (`BufferOwner`)."""
        self._act(self._machine.end, OVERFLOW, self._clock())

    def _act(self, method: Callable[..., None], *arguments: object) -> None:
        method(*arguments)
        if self._carrying:
            return
        self._carrying = True
        try:
            while outputs := self._machine.take():
                for output in outputs:
                    self._carry_out(output)
        finally:
            self._carrying = False
        self._watch()
        self._tell_held()
        self._acted()

    # private

    def _carry_out(self, output: Output) -> None:
        if isinstance(output, Transmit):
            if self._session is not None:
                self._session.transmit(self, output.frame)
        elif isinstance(output, Deliver):
            if self._permission is None:
                self._deliver(output.frame)
            else:
                self._permission.take(self, output.frame)
        elif isinstance(output, Sent):
            self._outcome(output.handle).resolve(None)
        elif isinstance(output, Answered):
            self._answered(self._outcome(output.handle), output)
        elif isinstance(output, Failed):
            if not self._machine.ended:
                self._note_overflow(output.trouble)
            self._outcome(output.handle).fail(as_error(output.trouble))
        elif isinstance(output, Opened):
            self._lifetime.open()
        elif isinstance(output, Ended):
            if self._note_overflow(output.trouble):
                self._log.warn(
                    "{one!r} has ended: more waited to be sent than may wait"
                    " (live.buffer_limit, live.buffer_total_bytes)",
                    one=self,
                )
            self._ended()
            self._lifetime.end(None if output.trouble is None else as_error(output.trouble))
        elif self._session is None:
            pass
        elif isinstance(output, Forgotten):
            self._session.forgotten(self)
        else:
            assert isinstance(output, Broken)
            self._session.broken(output.reason)

    @staticmethod
    def _outcome(handle: object) -> Outcome[object]:
        assert isinstance(handle, Outcome)
        return handle

    def _answered(self, outcome: Outcome[object], answer: Answered) -> None:
        try:
            outcome.resolve(self._outbound().read_answer(answer.data, answer.values))
        except ValidationError as misfit:
            outcome.fail(misfit)

    def _note_overflow(self, trouble: Trouble | None) -> bool:
        if trouble is None or trouble.code != OVERFLOW.code:
            return False
        if self._session is not None:
            self._session.overflowed()
        return True

    def _tell_held(self) -> None:
        if self._services is not None and self._held != (held := self._machine.held):
            self._held = held
            self._services.backlog.note(self, held)

    def _after_patience(self, action: Callable[[], None]) -> Deadline | None:
        if self._services is None:
            return None
        return self._services.deadlines.at(self._clock() + CLOSE_PATIENCE, action)

    def _watch(self) -> None:
        """Keep the server's timer at the machine's deadline."""
        if self._services is None or self._deadline_at == (when := self._machine.deadline):
            return
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._deadline_at = when
        if when is not None:
            self._deadline = self._services.deadlines.at(when, self._due)

    def _due(self) -> None:
        self._deadline = self._deadline_at = None
        self._act(self._machine.tick, self._clock())

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id or 'not returned yet'}>"


#: Overflow policy of the send queue: the object ends, or the oldest are dropped.
Overflow = Literal["end", "drop-oldest"]

#: Default timeout of a graceful close, seconds.
CLOSE_TIMEOUT = 5.0

#: Longest timeout of a page's timers, which is what `close(inf)` says to it, seconds.
LONGEST_CLOSE = (2**31 - 1) / 1000


class LiveObject(MachineDriver):
    """Common part of `Channel` and `BroadcastChannel`."""

    kind = ""
    ack = False
    durable = False

    def __init__(self, buffer_limit: int | None = None, overflow: Overflow = "end") -> None:
        call = current_call()
        bounds = Bounds() if call is None else call.services.bounds
        if buffer_limit is not None:
            if buffer_limit < 0:
                raise UsageError("buffer_limit must be a number of bytes from 0")
            bounds = bounds.with_buffer(buffer_limit)
        if overflow not in get_args(Overflow):
            raise UsageError("overflow must be 'end' or 'drop-oldest'")
        bounds = attrs.evolve(bounds, drop_oldest=overflow == "drop-oldest")
        self.overflows: Overflow = overflow
        super().__init__(bounds, (lambda: 0.0) if call is None else call.services.seconds)
        if call is not None:
            call.created.append(self)

    # called by the app

    @property
    def is_closed(self) -> bool:
        """Nothing more can be sent."""
        return self._machine.closed

    def on_open(self, callback: Callable[[], object]) -> None:
        """Call once when the client attaches for the first time; now if it has."""
        self._lifetime.on_open(callback)

    def on_close(self, callback: Callable[..., object]) -> None:
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
            if self._session is None:
                self._act(self._machine.abandon)
            else:
                listening = listening_to.get()
                excused = [listening[1]] if listening and listening[0] is self else []
                longest = min(timeout, LONGEST_CLOSE)
                self._act(self._machine.close, longest, self._clock(), excused)
        return lifetime.closed

    def abort(self, value: object = None, message: str | None = None) -> None:
        """End at once; the client's `onClose` gets an `Abort` with `value`.  Harmless at the end.

        :raises TypeError: :raises ValueError: JSON has no form for `value`.
        """
        self.lose(Abort(value, message))

    # called by the session

    def check_types(self) -> None:
        """:raises UsageError: JSON cannot carry its messages; said where it is made, not where
        the first one comes.
        """
        self._inbound()
        self._outbound()

    def settle_in(
        self,
        services: LiveServices,
        session: ObjectSession,
        new_id: str,
        permission: PublishPermission | None = None,
    ) -> None:
        """Hand it out under an id: from now on a client may attach.

        :param permission: to publish, of its page; `None` where nobody decides that.
        """
        self._session, self.id, self._permission = session, new_id, permission
        self.wait_unreturned(services)

    def wait_unreturned(self, services: LiveServices) -> None:
        """Start the attach timeout: it ends with `NetworkError` unless it is returned in time."""
        self._services, self._clock = services, services.seconds
        self._act(self._machine.begin, services.seconds())

    @property
    def outcome(self) -> tuple[Trouble | None] | None:
        """Its end, for a client that asks after it; `None` while it can be attached."""
        if self._machine.phase in (Phase.OVER, Phase.FORGOTTEN):
            return (self._machine.outcome,)
        return None

    @property
    def was_attached(self) -> bool:
        """A client has attached once."""
        return self._machine.phase is not Phase.NEW

    @property
    def held(self) -> int:
        """Bytes that are queued for the client, or that it may need again."""
        return self._machine.held

    def position(self) -> Position:
        """Our position, to be told to the client now."""
        return self._machine.position()

    def attach(self, position: Position) -> None:
        """Resume on a wire."""
        self._act(self._machine.attach, position, self._clock())

    def detach(self) -> None:
        """Wait for another wire: this one is gone."""
        self._act(self._machine.detach, self._clock())

    def block(self, blocked: bool) -> None:
        """Back-pressure: the wire takes no more for now, or does again."""
        self._act(self._machine.block, blocked, self._clock())

    def report(self) -> None:
        """Report our position; at each ping."""
        self._act(self._machine.report)

    def receive(self, frame: Frame) -> None:
        """Take a frame of the client."""
        self._act(self._machine.receive, frame, self._clock())

    def lose(self, error: LiveError) -> None:
        """End it from outside."""
        self._act(self._machine.end, as_trouble(error), self._clock())
