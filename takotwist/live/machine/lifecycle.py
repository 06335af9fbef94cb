"""How an object's life goes on and ends: its times, the graceful close, the end (section 7).

Rule: once it is over for its user, everything of theirs has come out, and what is
left is there only for the other side, for a bounded time.

How far a graceful close has come.  Rule: facts only; the machine draws the conclusions.
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
    Output,
    Transmit,
    Trouble,
)
from takotwist.live.machine.receive import Incoming
from takotwist.live.machine.send import Outgoing


@attrs.define(slots=True, eq=False)
class Closing:
    """Who wants to close, and who is done.

    :ivar ours: we were asked to.
    :ivar theirs: their ``close`` has come.
    :ivar close_sent: ours is on its way.
    :ivar closed_sent: we said that we are done.
    :ivar closed_received: they said that they are.
    :ivar deadline: when it has taken too long; seconds.
    """

    ours: bool = False
    theirs: bool = False
    close_sent: bool = False
    closed_sent: bool = False
    closed_received: bool = False
    deadline: float | None = None

    @property
    def begun(self) -> bool:
        """Whether nothing new may be sent."""
        return self.ours or self.theirs

    def until(self, when: float) -> None:
        """Both sides use the smaller of their times."""
        self.deadline = when if self.deadline is None else min(self.deadline, when)

    @property
    def close_due(self) -> bool:
        """Whether our ``close`` goes once nothing waits."""
        return self.ours and not self.close_sent

    @property
    def closed_due(self) -> bool:
        """Whether our ``closed`` goes once all of ours is done."""
        return self.theirs and not self.closed_sent and (self.close_sent or not self.ours)

    @property
    def complete(self) -> bool:
        """Whether both sides are done, as far as this one has to know."""
        if self.ours and self.theirs:
            return self.closed_sent and self.closed_received
        return self.closed_sent if self.theirs else self.closed_received


class Phase(Enum):
    """How far the object's life has come."""

    NEW = "never attached"
    OPEN = "attached once"
    LINGERING = "closed gracefully; the other side may need frames again"
    OVER = "ended; the other side may not know"
    FORGOTTEN = "nothing is left"


class Ending:
    """The life of a `Machine`; times are seconds.

    :param out: where outputs go, a list that the machine empties.
    :ivar phase: how far it has come.
    :ivar attached: whether a wire carries its frames now.
    :ivar outcome: why it ended, `None` for a graceful end, once it has.
    :ivar closing: how far a graceful close has come.
    """

    __slots__ = (
        "_bounds",
        "_incoming",
        "_out",
        "_outgoing",
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
        incoming: Incoming,
        outgoing: Outgoing,
        out: list[Output],
    ) -> None:
        self.phase = Phase.NEW
        self.attached = False
        self.outcome: Trouble | None = None
        self.closing = Closing()
        self._bounds = bounds
        self._since = now
        self._incoming = incoming
        self._outgoing = outgoing
        self._out = out

    @property
    def ended(self) -> bool:
        """Whether the object is over for its user."""
        return self.phase not in (Phase.NEW, Phase.OPEN)

    @property
    def deadline(self) -> float | None:
        """When `tick` has something to do."""
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
        """It waits for its first attach from now on."""
        if self.phase in (Phase.NEW, Phase.OVER):
            self._since = now

    def detach(self, now: float) -> None:
        """The wire is gone."""
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

    # the graceful close

    def send_closes(self, now: float) -> None:
        """Say of the close what can be said now; a wire takes it."""
        closing, outgoing = self.closing, self._outgoing
        if closing.close_due and not outgoing.waits:
            assert closing.deadline is not None
            closing.close_sent = True
            outgoing.number(Frame("close", timeout=max(0.0, closing.deadline - now)))
        if closing.closed_due and not outgoing.owes and not self._incoming.owes:
            closing.closed_sent = True
            outgoing.number(Frame("closed"))

    def conclude(self, now: float) -> None:
        """End gracefully where both sides are done."""
        if self.ended or not self.closing.complete:
            return
        self.settle(None)
        self._since = now
        self.confirm_close()
        # Who has said `closed` may have to say it, and what was before it, again.
        self.phase = Phase.LINGERING if self.closing.closed_sent else Phase.OVER

    def confirm_close(self) -> None:
        """Say the end, where it is ours to say."""
        if self.attached and self.closing.closed_received:
            self._out.append(Transmit(Frame("end")))

    # the end

    def end(self, trouble: Trouble, now: float) -> None:
        """End at once, with an error."""
        self.settle(trouble)
        self._outgoing.forget()
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

    def settle(self, trouble: Trouble | None) -> None:
        """It is over for its user: everything of theirs comes out."""
        self.outcome = trouble
        self.phase = Phase.OVER
        self._incoming.settle()
        self._outgoing.settle(trouble)
        self._out.append(Ended(trouble))

    def forget(self) -> None:
        """Nothing is left."""
        self.phase = Phase.FORGOTTEN
        self.attached = False
        self._outgoing.forget()
        self._out.append(Forgotten())
