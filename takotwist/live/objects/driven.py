"""Carries out what a live object's machine asks for.

Rule: outputs of the machine are carried out one after the other, never one
inside the other: what a listener sends while it runs comes behind what was
being sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.logger import Logger

from takotwist.core.deadlines import Deadline
from takotwist.errors import Refusal
from takotwist.live.errors import ValidationError, as_error
from takotwist.live.home import Home
from takotwist.live.machine.frames import OVERFLOW, Frame, Trouble
from takotwist.live.machine.machine import Machine
from takotwist.live.machine.outputs import (
    Answered,
    Broken,
    Deliver,
    Ended,
    Failed,
    Forgotten,
    Opened,
    Output,
    Sent,
    Transmit,
)
from takotwist.live.machine.settings import Bounds
from takotwist.live.objects.lifetime import Lifetime
from takotwist.live.objects.message_types import ANYTHING, Direction
from takotwist.live.objects.outcome import Outcome
from takotwist.live.speaking import Speaking
from takotwist.live.values import NOTHING, Encoded

#: Seconds that `close` waits for functions of `on_close`, so that it always comes to an end.
CLOSE_PATIENCE = 5.0


class Carrier(Protocol):
    """The session that an object belongs to, as the object sees it."""

    def transmit(self, one: Any, frame: Frame) -> None:
        """Put a frame on the wire."""

    def forgotten(self, one: Any) -> None:
        """Nothing is left to do for the object."""

    def broken(self, reason: str) -> None:
        """The client broke the protocol."""

    def overflowed(self) -> None:
        """More waited than may: a message was dropped, or the object has ended."""


class Driven:
    """A machine with a clock, a deadline, a session, and its part of the backlog.

    :ivar id: names it within its session; empty until it is returned to a client.
    :ivar speaking: asks whether its page may send; `None` where nobody decides that.
    """

    _log = Logger()

    def __init__(self, bounds: Bounds, clock: Callable[[], float]) -> None:
        self.id = ""
        self.speaking: Speaking | None = None
        self._home: Home | None = None
        self._carrier: Carrier | None = None
        self._clock = clock
        self._machine = Machine(bounds, clock())
        self._lifetime = Lifetime(self, self._after_patience)
        self._carrying = False
        self._deadline: Deadline | None = None
        self._deadline_at: float | None = None
        self._held = 0

    # for the kinds of objects

    def _inbound(self) -> Direction:
        return ANYTHING

    def _outbound(self) -> Direction:
        return ANYTHING

    def _deliver(self, frame: Frame) -> None:
        """A message, or a change of a subscription, has come."""
        raise NotImplementedError

    def _ended(self) -> None:
        """It is over: let go of what was taken."""

    def _acted(self) -> None:
        """Something has happened, and all its consequences are carried out."""

    def _send(self, frame: Frame, outcome: Outcome[Any]) -> Outcome[Any]:
        self._act(self._machine.send, frame, outcome, self._clock())
        return outcome

    def _answer(self, frame: Frame, said: Encoded, trouble: Trouble | None) -> None:
        """A delivered frame is settled, with an answer where one was asked for."""
        if frame.ack or frame.do == "publish":
            self._act(
                self._machine.answer, frame.seq, said.data, trouble, self._clock(), said.values
            )
        else:
            self._act(self._machine.consumed, frame.seq, self._clock())

    def hear(self, frame: Frame) -> None:
        """See `Hears`."""
        if not self._machine.ended:
            self._deliver(frame)

    def refuse(self, frame: Frame, refusal: Refusal) -> None:
        """See `Hears`."""
        self._answer(frame, NOTHING, Trouble("failed", None, refusal.code))

    def overflow(self) -> None:
        """See `Holder`."""
        self._act(self._machine.end, OVERFLOW, self._clock())

    def _act(self, method: Callable[..., None], *arguments: Any) -> None:
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

    # inside

    def _carry_out(self, output: Output) -> None:
        if isinstance(output, Transmit):
            if self._carrier is not None:
                self._carrier.transmit(self, output.frame)
        elif isinstance(output, Deliver):
            if self.speaking is None:
                self._deliver(output.frame)
            else:
                self.speaking.take(self, output.frame)
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
        elif self._carrier is None:
            pass
        elif isinstance(output, Forgotten):
            self._carrier.forgotten(self)
        else:
            assert isinstance(output, Broken)
            self._carrier.broken(output.reason)

    @staticmethod
    def _outcome(handle: object) -> Outcome[Any]:
        assert isinstance(handle, Outcome)
        return handle

    def _answered(self, outcome: Outcome[Any], answer: Answered) -> None:
        try:
            outcome.resolve(self._outbound().read_answer(answer.data, answer.values))
        except ValidationError as misfit:
            outcome.fail(misfit)

    def _note_overflow(self, trouble: Trouble | None) -> bool:
        if trouble is None or trouble.code != OVERFLOW.code:
            return False
        if self._carrier is not None:
            self._carrier.overflowed()
        return True

    def _tell_held(self) -> None:
        if self._home is not None and self._held != (held := self._machine.held):
            self._held = held
            self._home.backlog.note(self, held)

    def _after_patience(self, action: Callable[[], None]) -> Deadline | None:
        if self._home is None:
            return None
        return self._home.deadlines.at(self._clock() + CLOSE_PATIENCE, action)

    def _watch(self) -> None:
        """Keep one deadline of the server's table at the machine's own."""
        if self._home is None or self._deadline_at == (when := self._machine.deadline):
            return
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._deadline_at = when
        if when is not None:
            self._deadline = self._home.deadlines.at(when, self._due)

    def _due(self) -> None:
        self._deadline = self._deadline_at = None
        self._act(self._machine.tick, self._clock())

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id or 'not returned yet'}>"
