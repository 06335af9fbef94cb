"""When to say something on a silent connection, and when to give it up.

One rule for all transports.  Server-Sent Events get a comment when nothing was
written for an interval; WebSocket peers are pinged every interval and dropped
when none of the pings of two intervals was answered.
"""

from __future__ import annotations

from enum import Enum

import attrs


class Pulse(Enum):
    """What to do now."""

    NOTHING = "nothing"
    SPEAK = "speak"
    DROP = "drop"


@attrs.define(slots=True)
class Comments:
    """Keepalive by something written into silence.  All times in seconds."""

    interval: float

    def check(self, now: float, written_at: float) -> tuple[Pulse, float]:
        """What to do at `now`, and when to look again."""
        due = written_at + self.interval
        if now >= due:
            return Pulse.SPEAK, now + self.interval
        return Pulse.NOTHING, due


@attrs.define(slots=True)
class Pings:
    """Keepalive by pings that the peer must answer.  All times in seconds.

    :ivar heard_at: when the peer last proved to be there.
    """

    interval: float
    heard_at: float

    def heard(self, now: float) -> None:
        """A pong or any frame of the peer has come."""
        self.heard_at = now

    def check(self, now: float) -> tuple[Pulse, float]:
        """What to do at `now`, and when to look again."""
        if now - self.heard_at > 2 * self.interval:
            return Pulse.DROP, now
        return Pulse.SPEAK, now + self.interval
