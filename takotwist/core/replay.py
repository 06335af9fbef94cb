"""Replay, then live: the position of one subscriber, and the gate to live messages.

    attach (gate closed) -> replay from the tail or the log -> gate opens -> live
                                   ^                                          |
                                   +---------- too slow for the tail ---------+

One number decides everything: `position`, the id up to which this subscriber
has been given all there is.  While the gate (`TRANSITIONS`) is closed nothing is pushed to it;
it is continued from its position, page by page.  The gate opens only in a turn
in which the position has reached the last message fanned out to the topic, so
nothing can fall between, and nothing can come twice.

Live messages need not be held for a closed gate one by one: the topic's tail,
which all its subscribers share, holds them; past the tail's bound the log has
them.  (A queue for each gate was the alternative: it holds the same messages
once more for every subscriber, and ten thousand resume at once.)
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import attrs

from takotwist.core.tail import Item
from takotwist.core.topic import EVERYTHING
from takotwist.states import Transitions


class Gate(Enum):
    """The gate for live messages: they are pushed only while it is open."""

    CLOSED = "closed"
    OPEN = "open"
    ENDED = "ended"


#: What may follow each state of the gate.
TRANSITIONS: Transitions[Gate] = {
    Gate.CLOSED: frozenset({Gate.OPEN, Gate.ENDED}),
    Gate.OPEN: frozenset({Gate.CLOSED, Gate.ENDED}),
    Gate.ENDED: frozenset(),
}


@attrs.define(slots=True, eq=False)
class Replay:
    """The position of one subscriber in its topic.

    :ivar position: all messages up to this id have been given.  While the gate
        is open it stays where it was at the opening; see `lagged`.
    """

    position: int
    gate: Gate = Gate.CLOSED

    def given(self, items: Sequence[Item]) -> None:
        """`items`, which follow the position, have been handed to the connection."""
        self.position = items[-1].id

    def reached(self, head: int) -> None:
        """There is nothing of the topic between position and `head`."""
        if self.position == EVERYTHING or head > self.position:
            self.position = head

    def open(self, fanned_out: int) -> bool:
        """Open the gate where nothing is missing.

        :param fanned_out: an id up to which all of the topic was fanned out.
        :return: whether it is open now.
        """
        if self.gate is Gate.CLOSED and self.position >= fanned_out:
            self.gate = Gate.OPEN
        return self.gate is Gate.OPEN

    def lagged(self, fanned_out_before: int) -> None:
        """A live message could not be handed over: the gate closes.

        :param fanned_out_before: an id up to which all of the topic was handed over.
        """
        if self.gate is Gate.OPEN:
            self.position = max(self.position, fanned_out_before)
            self.gate = Gate.CLOSED

    def end(self) -> None:
        """No more for this subscriber."""
        self.gate = Gate.ENDED
