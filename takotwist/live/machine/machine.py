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
    Opened,
    Output,
    Position,
    Trouble,
)
from takotwist.live.machine.lifecycle import Ending, Phase
from takotwist.live.machine.receive import Incoming, Verdict
from takotwist.live.machine.send import Outgoing

__all__ = ["Machine", "Phase"]


class Machine:
    """One end of one live object.

    Every input may leave outputs, which `take` gives; times are seconds.
    """

    __slots__ = ("_blocked", "_drop_oldest", "_ending", "_incoming", "_out", "_outgoing")

    def __init__(self, bounds: Bounds, now: float) -> None:
        self._blocked = False
        self._drop_oldest = bounds.drop_oldest
        self._out: list[Output] = []
        self._incoming = Incoming(bounds, self._out)
        self._outgoing = Outgoing(bounds, self._out)
        self._ending = Ending(bounds, now, self._incoming, self._outgoing, self._out)

    # what it says of itself

    def take(self) -> list[Output]:
        """The outputs since the last time, in order."""
        out = self._out.copy()
        self._out.clear()
        return out

    @property
    def phase(self) -> Phase:
        """How far its life has come."""
        return self._ending.phase

    @property
    def attached(self) -> bool:
        """Whether a wire carries its frames now."""
        return self._ending.attached

    @property
    def outcome(self) -> Trouble | None:
        """Why it ended, `None` for a graceful end, once it has."""
        return self._ending.outcome

    @property
    def ended(self) -> bool:
        """Whether the object is over for its user."""
        return self._ending.ended

    @property
    def closed(self) -> bool:
        """Whether nothing more can be sent."""
        return self.ended or self._ending.closing.begun

    @property
    def deadline(self) -> float | None:
        """When `tick` has something to do."""
        return self._ending.deadline

    @property
    def ready(self) -> bool:
        """Whether a message would be sent at once, if it is small."""
        return self.attached and not self._blocked and not self.closed and self._outgoing.ready

    def would_send(self, frame: Frame) -> bool:
        """Whether this message would be sent at once."""
        return self.ready and self._outgoing.fits(frame)

    @property
    def held(self) -> int:
        """Bytes that wait, or that may have to be sent again."""
        return self._outgoing.held

    def position(self) -> Position:
        """What this side has, to be told to the other side now."""
        return self._incoming.position()

    # what its user does

    def send(self, frame: Frame, handle: object | None, now: float) -> None:
        """Send a message, or a change of a subscription.

        :param frame: without a sequence number.
        :param handle: comes back in `Sent`, `Answered` or `Failed`; `None` for nobody.
        """
        outgoing = self._outgoing
        if self.closed:
            outgoing.fail(handle, CLOSED)
            return
        outgoing.push(frame, handle)
        self._flush(now)
        while outgoing.over(frame.binary):
            if not self._drop_oldest:
                # Whoever did not await the send would not hear of a hole; of the end they do.
                self._ending.end(OVERFLOW, now)
                return
            outgoing.drop_oldest(frame.binary)

    def answer(
        self, of: int, data: bytes, trouble: Trouble | None, now: float, values: bytes = b""
    ) -> None:
        """Answer a request.  Harmless when it was answered, or nobody waits any more.

        :param data: JSON text, where there is no trouble.
        :param values: its marks.
        """
        if self._incoming.answered(of):
            self._outgoing.push_answer(Frame("ack", of=of, data=data, error=trouble, values=values))
        self._flush(now)

    def consumed(self, seq: int, now: float) -> None:
        """All listeners of a message have settled.  Harmless when repeated."""
        self._incoming.consumed(seq)
        self._flush(now)

    def close(self, timeout: float, now: float, excused: Collection[int] = ()) -> None:
        """Close gracefully.

        :param timeout: seconds for both sides to be done.
        :param excused: requests that cannot be answered before the close is over, and
            are answered now: those whose listener waits for it.
        """
        if self.ended:
            return
        closing = self._ending.closing
        closing.ours = True
        closing.until(now + timeout)
        for seq in excused:
            self.answer(seq, b"", CLOSED, now)
        self._flush(now)

    def end(self, trouble: Trouble, now: float) -> None:
        """End at once, with an error."""
        if not self.ended:
            self._ending.end(trouble, now)

    def begin(self, now: float) -> None:
        """The object has been handed out: from now on it waits for its first attach."""
        self._ending.begin(now)

    def abandon(self) -> None:
        """It is closed before it was handed out: nobody need agree."""
        if not self.ended:
            self._ending.settle(None)

    # what the wire does

    def attach(self, position: Position, now: float) -> None:
        """A wire carries the object from now on.

        :param position: what the other side has, and what it lets us send.
        """
        ending = self._ending
        if ending.phase in (Phase.OVER, Phase.FORGOTTEN):
            return
        ending.attached, self._blocked = True, False
        if ending.phase is Phase.NEW:
            ending.phase = Phase.OPEN
            self._out.append(Opened())
        if not self._outgoing.again(position):
            # The other side lacks what is not here any more.
            if ending.ended:
                ending.forget()
            else:
                ending.end(NETWORK, now)
            return
        if ending.ended:
            ending.confirm_close()
        self._flush(now)

    def detach(self, now: float) -> None:
        """The wire is gone."""
        self._ending.detach(now)

    def block(self, blocked: bool, now: float) -> None:
        """The wire takes no more for now, or does again."""
        self._blocked = blocked
        self._flush(now)

    def report(self) -> None:
        """Tell the other side what it has not been told; at each ping."""
        if self.attached:
            self._incoming.report(when_due=False)

    def receive(self, frame: Frame, now: float) -> None:
        """A frame has come."""
        if self.phase is Phase.FORGOTTEN:
            return
        if frame.do in UNSEQUENCED:
            self._control(frame, now)
        else:
            verdict = self._incoming.judge(frame, self._outgoing.answers)
            if verdict is Verdict.DUPLICATE:
                return
            if verdict is Verdict.NEXT:
                self._taken(frame, now)
            else:
                self._ending.broken(verdict.value, now)
        self._flush(now)

    def tick(self, now: float) -> None:
        """Time has passed."""
        self._ending.tick(now)

    # inside

    def _taken(self, frame: Frame, now: float) -> None:
        closing = self._ending.closing
        if frame.do == "ack":
            self._outgoing.answered(frame)
        elif frame.do == "close":
            closing.theirs = True
            closing.until(now + frame.timeout)
        elif frame.do == "closed":
            closing.closed_received = True
        elif self.ended:
            self._incoming.consumed(frame.seq)
        else:
            self._incoming.deliver(frame)

    def _control(self, frame: Frame, now: float) -> None:
        if frame.do == "end":
            self._ending.end_received(frame.error)
        elif frame.do == "ended":
            self._ending.ended_received()
        else:
            assert frame.position is not None
            if not self._outgoing.granted(frame.position):
                self._ending.broken("a report of what was never sent", now)

    def _flush(self, now: float) -> None:
        """Send what can be sent, and draw the conclusions for the close."""
        if self.attached and not self._blocked:
            if not self.ended:
                # Not before: whoever reports nothing would have us keep answers without end.
                for seq in self._outgoing.flush():
                    self._incoming.consumed(seq)
                self._ending.send_closes(now)
            self._incoming.report(when_due=True)
        self._ending.conclude(now)
