"""One end of a live object: frames and calls in, frames and events out.

The same for both sides and for every wire (protocol, live objects, sections 5
to 7); `tests/vectors/live.json` says it in steps.  Rule: time is an argument,
nothing here blocks, and whatever was taken from a caller comes out again:
sent, answered or failed.
"""

from __future__ import annotations

from collections.abc import Collection

from takotwist.live.machine.frames import (
    CLOSED,
    NETWORK,
    OVERFLOW,
    UNSEQUENCED,
    Bounds,
    Frame,
    Output,
    Position,
    Trouble,
)
from takotwist.live.machine.lifecycle import Lifecycle, Phase
from takotwist.live.machine.receive import Receiver, Verdict
from takotwist.live.machine.send import Sender

__all__ = ["Machine", "Phase"]


class Machine:
    """One end of one live object.

    Every input may leave outputs, which `take` gives; times are seconds.
    """

    __slots__ = ("_blocked", "_drop_oldest", "_lifecycle", "_out", "_receiver", "_sender")

    def __init__(self, bounds: Bounds, now: float) -> None:
        self._blocked = False
        self._drop_oldest = bounds.drop_oldest
        self._out: list[Output] = []
        self._receiver = Receiver(bounds, self._out)
        self._sender = Sender(bounds, self._out)
        self._lifecycle = Lifecycle(bounds, now, self._receiver, self._sender, self._out)

    # state

    def take(self) -> list[Output]:
        """The outputs since the last time, in order."""
        out = self._out.copy()
        self._out.clear()
        return out

    @property
    def phase(self) -> Phase:
        """The state of its lifecycle."""
        return self._lifecycle.phase

    @property
    def attached(self) -> bool:
        """A wire carries its frames now."""
        return self._lifecycle.attached

    @property
    def outcome(self) -> Trouble | None:
        """Why it ended, `None` for a graceful end, once it has."""
        return self._lifecycle.outcome

    @property
    def ended(self) -> bool:
        """The object is over for its user."""
        return self._lifecycle.ended

    @property
    def closed(self) -> bool:
        """Nothing more can be sent."""
        return self.ended or self._lifecycle.closing.begun

    @property
    def deadline(self) -> float | None:
        """The time at which `tick` has something to do."""
        return self._lifecycle.deadline

    @property
    def ready(self) -> bool:
        """A small message would be sent at once."""
        return self.attached and not self._blocked and not self.closed and self._sender.ready

    def would_send(self, frame: Frame) -> bool:
        """Tell whether this message would be sent at once."""
        return self.ready and self._sender.fits(frame)

    @property
    def held(self) -> int:
        """Bytes that are queued, or that may have to be sent again."""
        return self._sender.held

    def position(self) -> Position:
        """Our position, to be told to the other side now."""
        return self._receiver.position()

    # inputs of the user

    def send(self, frame: Frame, handle: object | None, now: float) -> None:
        """Send a message, or a change of a subscription.

        :param frame: without a sequence number.
        :param handle: comes back in `Sent`, `Answered` or `Failed`; `None` for nobody.
        """
        sender = self._sender
        if self.closed:
            sender.fail(handle, CLOSED)
            return
        sender.push(frame, handle)
        self._flush(now)
        while sender.over(frame.binary):
            if not self._drop_oldest:
                # Whoever did not await the send would not hear of a hole; of the end they do.
                self._lifecycle.end(OVERFLOW, now)
                return
            sender.drop_oldest(frame.binary)

    def answer(
        self, of: int, data: bytes, trouble: Trouble | None, now: float, values: bytes = b""
    ) -> None:
        """Answer a request.  Harmless when it was answered, or nobody waits any more.

        :param data: JSON text, where there is no trouble.
        :param values: its marks.
        """
        if self._receiver.answered(of):
            self._sender.push_answer(Frame("ack", of=of, data=data, error=trouble, values=values))
        self._flush(now)

    def consumed(self, seq: int, now: float) -> None:
        """All listeners of a message have settled.  Harmless when repeated."""
        self._receiver.consumed(seq)
        self._flush(now)

    def close(self, timeout: float, now: float, excused: Collection[int] = ()) -> None:
        """Close gracefully.

        :param timeout: seconds for both sides to be done.
        :param excused: requests that cannot be answered before the close is over, and
            are answered now: those whose listener waits for it.
        """
        if self.ended:
            return
        closing = self._lifecycle.closing
        closing.ours = True
        closing.until(now + timeout)
        for seq in excused:
            self.answer(seq, b"", CLOSED, now)
        self._flush(now)

    def end(self, trouble: Trouble, now: float) -> None:
        """End at once, with an error."""
        if not self.ended:
            self._lifecycle.end(trouble, now)

    def begin(self, now: float) -> None:
        """The object has been handed out: from now on it waits for its first attach."""
        self._lifecycle.begin(now)

    def abandon(self) -> None:
        """It is closed before it was handed out: nobody need agree."""
        if not self.ended:
            self._lifecycle.settle(None)

    # inputs of the wire

    def attach(self, position: Position, now: float) -> None:
        """A wire carries the object from now on.

        :param position: the other side's: what it has, and the credit that it grants.
        """
        lifecycle = self._lifecycle
        if lifecycle.phase in (Phase.OVER, Phase.FORGOTTEN):
            return
        self._blocked = False
        lifecycle.attach()
        if not self._sender.retransmit(position):
            # The other side lacks what is not here any more.
            if lifecycle.ended:
                lifecycle.forget()
            else:
                lifecycle.end(NETWORK, now)
            return
        if lifecycle.ended:
            lifecycle.confirm_close()
        self._flush(now)

    def detach(self, now: float) -> None:
        """The wire is gone."""
        self._lifecycle.detach(now)

    def block(self, blocked: bool, now: float) -> None:
        """Back-pressure: the wire takes no more for now, or does again."""
        self._blocked = blocked
        self._flush(now)

    def report(self) -> None:
        """Report our position where it has changed; at each ping."""
        if self.attached:
            self._receiver.report(when_due=False)

    def receive(self, frame: Frame, now: float) -> None:
        """A frame has come."""
        if self.phase is Phase.FORGOTTEN:
            return
        if frame.do in UNSEQUENCED:
            self._control(frame, now)
        else:
            verdict = self._receiver.judge(frame, self._sender.answers)
            if verdict is Verdict.DUPLICATE:
                return
            if verdict is Verdict.NEXT:
                self._taken(frame, now)
            else:
                self._lifecycle.broken(verdict.value, now)
        self._flush(now)

    def tick(self, now: float) -> None:
        """Time has passed."""
        self._lifecycle.tick(now)

    # private

    def _taken(self, frame: Frame, now: float) -> None:
        closing = self._lifecycle.closing
        if frame.do == "ack":
            self._sender.answered(frame)
        elif frame.do == "close":
            closing.theirs = True
            closing.until(now + frame.timeout)
        elif frame.do == "closed":
            closing.closed_received = True
        elif self.ended:
            self._receiver.consumed(frame.seq)
        else:
            self._receiver.deliver(frame)

    def _control(self, frame: Frame, now: float) -> None:
        if frame.do == "end":
            self._lifecycle.end_received(frame.error)
        elif frame.do == "ended":
            self._lifecycle.ended_received()
        else:
            assert frame.position is not None
            if not self._sender.granted(frame.position):
                self._lifecycle.broken("a report of what was never sent", now)

    def _flush(self, now: float) -> None:
        """Send what can be sent, and take the close handshake further."""
        if self.attached and not self._blocked:
            if not self.ended:
                # Not before: whoever reports nothing would have us keep answers without end.
                for seq in self._sender.flush():
                    self._receiver.consumed(seq)
                self._lifecycle.send_closes(now)
            self._receiver.report(when_due=True)
        self._lifecycle.conclude(now)
