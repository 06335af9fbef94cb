"""How far a graceful close has come.  Rule: facts only; the machine draws the conclusions."""

from __future__ import annotations

import attrs


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
