"""One end of a live object: frames and calls in, frames and events out.

The same for both sides and for every wire (protocol, live objects, sections 5
to 7); `tests/vectors/live.json` says it in steps.  Rule: time is an argument,
nothing here blocks, and whatever was taken from a caller comes out again:
sent, answered or failed.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum

from takotwist.live.closing import Closing
from takotwist.live.credit import Inflow
from takotwist.live.frames import (
    CLOSED,
    NETWORK,
    OVERFLOW,
    TIMED_OUT,
    UNSEQUENCED,
    Frame,
    Position,
    Trouble,
)
from takotwist.live.outgoing import Outgoing
from takotwist.live.outputs import (
    Broken,
    Deliver,
    Ended,
    Forgotten,
    Opened,
    Output,
    Transmit,
)
from takotwist.live.settings import Bounds


class Phase(Enum):
    """How far the object's life has come."""

    NEW = "never attached"
    OPEN = "attached once"
    LINGERING = "closed gracefully; the other side may need frames again"
    OVER = "ended; the other side may not know"
    FORGOTTEN = "nothing is left"


class Machine:
    """One end of one live object.

    Every input may leave outputs, which `take` gives; times are seconds.

    :ivar phase: how far its life has come.
    :ivar attached: whether a wire carries its frames now.
    :ivar outcome: why it ended, `None` for a graceful end, once it has.
    """

    __slots__ = (
        "_blocked",
        "_bounds",
        "_closing",
        "_inflow",
        "_out",
        "_outgoing",
        "_requests",
        "_since",
        "attached",
        "outcome",
        "phase",
    )

    def __init__(self, bounds: Bounds, now: float) -> None:
        self.phase = Phase.NEW
        self.attached = False
        self.outcome: Trouble | None = None
        self._bounds = bounds
        self._blocked = False
        self._since = now
        self._requests: set[int] = set()
        self._inflow = Inflow(bounds.window_bytes, bounds.window_messages)
        self._out: list[Output] = []
        self._outgoing = Outgoing(bounds, self._out)
        self._closing = Closing()

    # what it says of itself

    def take(self) -> list[Output]:
        """The outputs since the last time, in order."""
        out = self._out.copy()
        self._out.clear()
        return out

    @property
    def ended(self) -> bool:
        """Whether the object is over for its user."""
        return self.phase not in (Phase.NEW, Phase.OPEN)

    @property
    def closed(self) -> bool:
        """Whether nothing more can be sent."""
        return self.ended or self._closing.begun

    @property
    def deadline(self) -> float | None:
        """When `tick` has something to do."""
        if self.phase is Phase.FORGOTTEN:
            return None
        if self.ended:
            return self._since + self._bounds.reconnect_timeout
        ends = [] if self._closing.deadline is None else [self._closing.deadline]
        if self.phase is Phase.NEW:
            if self._bounds.connect_ttl is not None:
                ends.append(self._since + self._bounds.connect_ttl)
        elif not self.attached:
            ends.append(self._since + self._bounds.reconnect_timeout)
        return min(ends, default=None)

    def position(self) -> Position:
        """What this side has, to be told to the other side now."""
        return self._inflow.say()

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
            if frame.do == "published":
                self._end(OVERFLOW, now)
                return
            outgoing.drop_oldest(frame.binary)

    def answer(self, of: int, data: bytes, trouble: Trouble | None, now: float) -> None:
        """Answer a request.  Harmless when it was answered, or nobody waits any more.

        :param data: JSON text, where there is no trouble.
        """
        self._inflow.consumed(of)
        if of in self._requests:
            self._requests.discard(of)
            self._outgoing.push_answer(Frame("ack", of=of, data=data, error=trouble))
        self._flush(now)

    def consumed(self, seq: int, now: float) -> None:
        """All listeners of a message have settled.  Harmless when repeated."""
        self._inflow.consumed(seq)
        self._flush(now)

    def close(self, timeout: float, now: float, excused: Collection[int] = ()) -> None:
        """Close gracefully.

        :param timeout: seconds for both sides to be done.
        :param excused: requests that cannot be answered before the close is over, and
            are answered now: those whose listener waits for it.
        """
        if self.ended:
            return
        self._closing.ours = True
        self._closing.until(now + timeout)
        for seq in excused:
            self.answer(seq, b"", CLOSED, now)
        self._flush(now)

    def end(self, trouble: Trouble, now: float) -> None:
        """End at once, with an error."""
        if not self.ended:
            self._end(trouble, now)

    def begin(self, now: float) -> None:
        """The object has been handed out: from now on it waits for its first attach."""
        if self.phase in (Phase.NEW, Phase.OVER):
            self._since = now

    def abandon(self) -> None:
        """It is closed before it was handed out: nobody need agree."""
        if not self.ended:
            self._settle(None)

    # what the wire does

    def attach(self, position: Position, now: float) -> None:
        """A wire carries the object from now on.

        :param position: what the other side has, and what it lets us send.
        """
        if self.phase in (Phase.OVER, Phase.FORGOTTEN):
            return
        self.attached, self._blocked = True, False
        if self.phase is Phase.NEW:
            self.phase = Phase.OPEN
            self._out.append(Opened())
        if not self._outgoing.again(position):
            # The other side lacks what is not here any more.
            if self.ended:
                self._forget()
            else:
                self._end(NETWORK, now)
            return
        if self.ended and self._closing.closed_received:
            self._out.append(Transmit(Frame("end")))
        self._flush(now)

    def detach(self, now: float) -> None:
        """The wire is gone."""
        if self.attached:
            self.attached = False
            if not self.ended:
                self._since = now

    def block(self, blocked: bool, now: float) -> None:
        """The wire takes no more for now, or does again."""
        self._blocked = blocked
        self._flush(now)

    def report(self) -> None:
        """Tell the other side what it has not been told; at each ping."""
        if self.attached and self._inflow.news:
            self._credit()

    def receive(self, frame: Frame, now: float) -> None:
        """A frame has come."""
        if self.phase is Phase.FORGOTTEN:
            return
        if frame.do in UNSEQUENCED:
            self._control(frame, now)
        elif frame.seq <= self._inflow.seq:
            return
        elif frame.seq != self._inflow.seq + 1:
            self._broken(f"seq {frame.seq} follows {self._inflow.seq}", now)
        elif not self._inflow.take(frame):
            self._broken("more than the credit allows", now)
        else:
            self._taken(frame, now)
        self._flush(now)

    def tick(self, now: float) -> None:
        """Time has passed."""
        deadline = self.deadline
        if deadline is None or now < deadline:
            return
        if self.ended:
            self._forget()
        elif self._closing.deadline is not None and now >= self._closing.deadline:
            self._end(TIMED_OUT, now)
        else:
            self._end(NETWORK, now)

    # inside

    def _taken(self, frame: Frame, now: float) -> None:
        if frame.do == "ack":
            self._outgoing.answered(frame)
        elif frame.do == "close":
            self._closing.theirs = True
            self._closing.until(now + frame.timeout)
        elif frame.do == "closed":
            self._closing.closed_received = True
        elif self.ended:
            self._inflow.consumed(frame.seq)
        else:
            if frame.ack or frame.do == "publish":
                self._requests.add(frame.seq)
            self._out.append(Deliver(frame))

    def _control(self, frame: Frame, now: float) -> None:
        if frame.do == "credit":
            assert frame.position is not None
            if not self._outgoing.granted(frame.position):
                self._broken("a report of what was never sent", now)
        elif frame.do == "ended":
            if self.phase is Phase.OVER:
                self._forget()
        else:
            if not self.ended:
                self._settle(frame.error)
            if self.attached:
                self._out.append(Transmit(Frame("ended")))
            self._forget()

    def _flush(self, now: float) -> None:
        """Send what can be sent, and draw the conclusions for the close."""
        if self.attached and not self._blocked:
            if not self.ended:
                self._outgoing.flush()
                self._close_on(now)
            if self._inflow.due:
                self._credit()
        if not self.ended and self._closing.complete:
            self._close_gracefully(now)

    def _close_on(self, now: float) -> None:
        closing, outgoing = self._closing, self._outgoing
        if closing.close_due and not outgoing.waits:
            assert closing.deadline is not None
            closing.close_sent = True
            outgoing.number(Frame("close", timeout=max(0.0, closing.deadline - now)))
        if closing.closed_due and not outgoing.owes and not self._requests:
            closing.closed_sent = True
            outgoing.number(Frame("closed"))

    def _close_gracefully(self, now: float) -> None:
        self._settle(None)
        self._since = now
        if self._closing.closed_received and self.attached:
            self._out.append(Transmit(Frame("end")))
        # Who has said `closed` may have to say it, and what was before it, again.
        self.phase = Phase.LINGERING if self._closing.closed_sent else Phase.OVER

    def _credit(self) -> None:
        self._out.append(Transmit(Frame("credit", position=self._inflow.say())))

    def _end(self, trouble: Trouble, now: float) -> None:
        self._settle(trouble)
        self._outgoing.forget()
        self._since = now
        if self.attached:
            self._out.append(Transmit(Frame("end", error=trouble)))
        if trouble.code == NETWORK.code:
            # It need not be remembered: it is also what an unknown id means.
            self._forget()

    def _settle(self, trouble: Trouble | None) -> None:
        """It is over for its user: everything of theirs comes out."""
        self.outcome = trouble
        self.phase = Phase.OVER
        self._requests.clear()
        self._outgoing.settle(trouble)
        self._out.append(Ended(trouble))

    def _forget(self) -> None:
        self.phase = Phase.FORGOTTEN
        self.attached = False
        self._outgoing.forget()
        self._out.append(Forgotten())

    def _broken(self, reason: str, now: float) -> None:
        self._out.append(Broken(reason))
        if self.ended:
            self._forget()
        else:
            self._end(NETWORK, now)
