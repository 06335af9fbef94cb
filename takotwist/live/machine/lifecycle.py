"""Lifecycle of a live object: timeouts, close handshake, end (protocol, section 7).

States and transitions (`TRANSITIONS`):

    NEW        attach -> OPEN; closed before it was handed out -> OVER
    NEW, OPEN  both sides done -> LINGERING where we have sent ``closed``, else OVER
               ended by us, overflow, close timeout -> OVER
               no attach in time, a frame is missing, page left, protocol broken,
               ended by them -> OVER and at once FORGOTTEN
    LINGERING  ended by them, a frame is missing, reconnect timeout -> FORGOTTEN
    OVER       their ``end`` or ``ended``, protocol broken, reconnect timeout -> FORGOTTEN

Rule: once it is over for its user, everything of theirs has come out (sent, answered
or failed), and what is left is there only for the other side, for a bounded time.
"""

from __future__ import annotations

from enum import Enum

import attrs

from takotwist.live.machine.frames import (
    LEFT,
    NETWORK,
    TIMED_OUT,
    Bounds,
    Broken,
    Ended,
    Forgotten,
    Frame,
    Opened,
    Output,
    Transmit,
    Trouble,
)
from takotwist.live.machine.receive import Receiver
from takotwist.live.machine.send import Sender
from takotwist.states import Transitions, moved


@attrs.define(slots=True, eq=False)
class CloseHandshake:
    """Progress of a graceful close.  Rule: facts only; `Lifecycle` draws the conclusions.

    :ivar ours: we were asked to.
    :ivar theirs: their ``close`` has come.
    :ivar close_sent: ours is on its way.
    :ivar closed_sent: we said that we are done.
    :ivar closed_received: they said that they are.
    :ivar deadline: the time at which it has taken too long, seconds.
    """

    ours: bool = False
    theirs: bool = False
    close_sent: bool = False
    closed_sent: bool = False
    closed_received: bool = False
    deadline: float | None = None

    @property
    def begun(self) -> bool:
        """Nothing new may be sent."""
        return self.ours or self.theirs

    def until(self, when: float) -> None:
        """Set the deadline; of the two sides' timeouts the smaller one holds."""
        self.deadline = when if self.deadline is None else min(self.deadline, when)

    @property
    def close_due(self) -> bool:
        """Our ``close`` is to be sent once nothing waits."""
        return self.ours and not self.close_sent

    @property
    def closed_due(self) -> bool:
        """Our ``closed`` is to be sent once all of ours is done."""
        return self.theirs and not self.closed_sent and (self.close_sent or not self.ours)

    @property
    def complete(self) -> bool:
        """Both sides are done, as far as this one has to know."""
        if self.ours and self.theirs:
            return self.closed_sent and self.closed_received
        return self.closed_sent if self.theirs else self.closed_received


class Phase(Enum):
    """States of the lifecycle."""

    NEW = "never attached"
    OPEN = "attached once"
    LINGERING = "closed gracefully; the other side may need frames again"
    OVER = "ended; the other side may not know"
    FORGOTTEN = "nothing is left"


_SETTLED = frozenset({Phase.LINGERING, Phase.OVER})
#: What may follow each phase.
TRANSITIONS: Transitions[Phase] = {
    Phase.NEW: _SETTLED | {Phase.OPEN},
    Phase.OPEN: _SETTLED,
    Phase.LINGERING: frozenset({Phase.FORGOTTEN}),
    Phase.OVER: frozenset({Phase.FORGOTTEN}),
    Phase.FORGOTTEN: frozenset(),
}


class Lifecycle:
    """The lifecycle of a `Machine`; times are seconds.

    :param out: the machine's list of outputs.
    :ivar phase: the state; changed by `_enter` alone.
    :ivar attached: whether a wire carries its frames now.
    :ivar outcome: why it ended, `None` for a graceful end, once it has.
    :ivar closing: the close handshake.
    """

    __slots__ = (
        "_bounds",
        "_out",
        "_receiver",
        "_sender",
        "_since",
        "attached",
        "closing",
        "outcome",
        "phase",
    )

    def __init__(
        self,
        bounds: Bounds,
        now: float,
        receiver: Receiver,
        sender: Sender,
        out: list[Output],
    ) -> None:
        self.phase = Phase.NEW
        self.attached = False
        self.outcome: Trouble | None = None
        self.closing = CloseHandshake()
        self._bounds = bounds
        self._since = now
        self._receiver = receiver
        self._sender = sender
        self._out = out

    @property
    def ended(self) -> bool:
        """The object is over for its user."""
        return self.phase not in (Phase.NEW, Phase.OPEN)

    @property
    def deadline(self) -> float | None:
        """The time at which `tick` has something to do."""
        if self.phase is Phase.FORGOTTEN:
            return None
        if self.ended:
            return self._since + self._bounds.reconnect_timeout
        ends = [] if self.closing.deadline is None else [self.closing.deadline]
        if self.phase is Phase.NEW:
            if self._bounds.connect_ttl is not None:
                ends.append(self._since + self._bounds.connect_ttl)
        elif not self.attached:
            ends.append(self._since + self._bounds.reconnect_timeout)
        return min(ends, default=None)

    def begin(self, now: float) -> None:
        """Start the timeout of the first attach."""
        if self.phase in (Phase.NEW, Phase.OVER):
            self._since = now

    def attach(self) -> None:
        """A wire carries its frames from now on."""
        self.attached = True
        if self.phase is Phase.NEW:
            self._enter(Phase.OPEN)
            self._out.append(Opened())

    def detach(self, now: float) -> None:
        """The wire is gone: start the timeout of the next attach."""
        if self.attached:
            self.attached = False
            if not self.ended:
                self._since = now

    def tick(self, now: float) -> None:
        """Time has passed."""
        deadline = self.deadline
        if deadline is None or now < deadline:
            return
        if self.ended:
            self.forget()
        elif self.closing.deadline is not None and now >= self.closing.deadline:
            self.end(TIMED_OUT, now)
        else:
            self.end(NETWORK, now)

    # close handshake

    def send_closes(self, now: float) -> None:
        """Send the frames of the close handshake that are due; a wire takes them."""
        closing, sender = self.closing, self._sender
        if closing.close_due and not sender.waits:
            assert closing.deadline is not None
            closing.close_sent = True
            sender.number(Frame("close", timeout=max(0.0, closing.deadline - now)))
        if closing.closed_due and not sender.owes and not self._receiver.owes:
            closing.closed_sent = True
            sender.number(Frame("closed"))

    def conclude(self, now: float) -> None:
        """End gracefully, where both sides are done."""
        if self.ended or not self.closing.complete:
            return
        # Who has said `closed` may have to say it, and what was before it, again.
        self.settle(None, Phase.LINGERING if self.closing.closed_sent else Phase.OVER)
        self._since = now
        self.confirm_close()

    def confirm_close(self) -> None:
        """Send ``end``, where it is ours to send."""
        if self.attached and self.closing.closed_received:
            self._out.append(Transmit(Frame("end")))

    # end

    def end(self, trouble: Trouble, now: float) -> None:
        """End at once, with an error."""
        self.settle(trouble)
        self._sender.forget()
        self._since = now
        if self.attached:
            self._out.append(Transmit(Frame("end", error=trouble)))
        if trouble.code in (NETWORK.code, LEFT.code):
            # It need not be remembered: the one is also what an unknown id means, and of the
            # other there is nobody to tell.
            self.forget()

    def end_received(self, trouble: Trouble | None) -> None:
        """The other side has ended it."""
        if not self.ended:
            self.settle(trouble)
        if self.attached:
            self._out.append(Transmit(Frame("ended")))
        self.forget()

    def ended_received(self) -> None:
        """The other side knows of our end."""
        if self.phase is Phase.OVER:
            self.forget()

    def broken(self, reason: str, now: float) -> None:
        """The other side broke the protocol."""
        self._out.append(Broken(reason))
        if self.ended:
            self.forget()
        else:
            self.end(NETWORK, now)

    def settle(self, trouble: Trouble | None, phase: Phase = Phase.OVER) -> None:
        """End it for its user: everything of theirs comes out."""
        self._enter(phase)
        self.outcome = trouble
        self._receiver.settle()
        self._sender.settle(trouble)
        self._out.append(Ended(trouble))

    def forget(self) -> None:
        """Drop what is left."""
        self._enter(Phase.FORGOTTEN)
        self.attached = False
        self._sender.forget()
        self._out.append(Forgotten())

    def _enter(self, phase: Phase) -> None:
        self.phase = moved(TRANSITIONS, self.phase, phase)
