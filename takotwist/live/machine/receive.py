"""What one end receives: in sequence, within its credit, each request answered once (section 6).

Rule: what is not the next frame is a duplicate or breaks the protocol; there is
no third case.
"""

from __future__ import annotations

from enum import Enum

from takotwist.live.machine.credit import Inflow
from takotwist.live.machine.frames import MESSAGES, Frame, Position
from takotwist.live.machine.outputs import Deliver, Output, Transmit
from takotwist.live.machine.settings import Bounds


class Verdict(Enum):
    """What a sequenced frame is."""

    NEXT = "taken"
    DUPLICATE = "dropped without a word"
    SKIPS = "a sequence number was skipped"
    OVER_CREDIT = "more than the credit allows"
    OVER_ANSWERS = "more requests than answers are taken"


class Incoming:
    """The receiving half of a `Machine`.

    :param out: where outputs go, a list that the machine empties.
    """

    __slots__ = ("_inflow", "_most_unanswered", "_requests", "out")

    def __init__(self, bounds: Bounds, out: list[Output]) -> None:
        self.out = out
        self._inflow = Inflow(bounds.window_bytes, bounds.window_messages)
        self._requests: set[int] = set()
        # Those that need credit are one half of these at most.
        self._most_unanswered = 2 * bounds.window_messages

    @property
    def owes(self) -> bool:
        """Whether requests to us are not answered yet."""
        return bool(self._requests)

    def judge(self, frame: Frame, answers: int) -> Verdict:
        """Take a sequenced frame, where it is the next one.

        :param answers: to the other side's requests, that wait to be sent.
        """
        expected = self._inflow.seq + 1
        if frame.seq != expected:
            return Verdict.DUPLICATE if frame.seq < expected else Verdict.SKIPS
        if not self._inflow.take(frame):
            return Verdict.OVER_CREDIT
        free = frame.ack and frame.do not in MESSAGES
        if free and len(self._requests) + answers >= self._most_unanswered:
            return Verdict.OVER_ANSWERS
        return Verdict.NEXT

    def deliver(self, frame: Frame) -> None:
        """A message, or a change of a subscription, is for the user."""
        if frame.ack or frame.do == "publish":
            self._requests.add(frame.seq)
        self.out.append(Deliver(frame))

    def answered(self, seq: int) -> bool:
        """A request is answered now, and `consumed` when its answer has left.

        :return: `False` where it was, or nobody waits any more.
        """
        if seq not in self._requests:
            self._inflow.consumed(seq)
            return False
        self._requests.discard(seq)
        return True

    def consumed(self, seq: int) -> None:
        """All listeners of a message have settled.  Harmless when repeated."""
        self._inflow.consumed(seq)

    def settle(self) -> None:
        """It is over: nobody waits for answers."""
        self._requests.clear()

    def position(self) -> Position:
        """What this side has, to be told to the other side now."""
        return self._inflow.say()

    def report(self, *, when_due: bool) -> None:
        """Tell the other side what it has not been told.

        :param when_due: only what should not wait for a ping.
        """
        if self._inflow.due if when_due else self._inflow.news:
            self.out.append(Transmit(Frame("credit", position=self._inflow.say())))
