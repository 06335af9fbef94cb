"""What one end receives: in sequence, within its credit, each request answered once (section 6).

Rule: what is not the next frame is a duplicate or breaks the protocol; there is
no third case.

How much may be sent, in both directions of one end (section 6).

Rule: all totals only grow, so a position may be repeated and may come late.
"""

from __future__ import annotations

from enum import Enum

import attrs

from takotwist.live.machine.frames import (
    MESSAGES,
    Bounds,
    Deliver,
    Frame,
    Output,
    Position,
    Transmit,
)

#: Bytes and frames received since the last position after which the next is due.
REPORT_BYTES = 64 * 1024
REPORT_FRAMES = 64


@attrs.define(slots=True, eq=False)
class Outflow:
    """What the other side lets us send."""

    _bytes: int = 0
    _messages: int = 0
    _bytes_sent: int = 0
    _messages_sent: int = 0

    @property
    def open(self) -> bool:
        """Whether one more message may go."""
        return self._bytes_sent < self._bytes and self._messages_sent < self._messages

    def sent(self, frame: Frame) -> None:
        """A message has been put on a wire for the first time."""
        self._bytes_sent += frame.size
        self._messages_sent += 1

    def granted(self, position: Position) -> None:
        """The other side said so."""
        self._bytes = max(self._bytes, position.bytes)
        self._messages = max(self._messages, position.messages)


@attrs.define(slots=True, eq=False)
class Inflow:
    """What we have taken, and what we let the other side send.

    :ivar seq: the last sequence number taken.
    """

    _window_bytes: int
    _window_messages: int
    seq: int = 0
    _bytes: int = 0
    _messages: int = 0
    _bytes_consumed: int = 0
    _messages_consumed: int = 0
    _unsaid_bytes: int = 0
    _unconsumed: dict[int, int] = attrs.field(factory=dict, init=False)
    _said: Position = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._said = self.position

    def take(self, frame: Frame) -> bool:
        """Count a frame that is next in sequence.

        :return: `False` where it was not allowed.
        """
        if frame.do in MESSAGES:
            if (
                self._bytes >= self._window_bytes + self._bytes_consumed
                or self._messages >= self._window_messages + self._messages_consumed
            ):
                return False
            self._bytes += frame.size
            self._messages += 1
            self._unconsumed[frame.seq] = frame.size
        self.seq = frame.seq
        self._unsaid_bytes += frame.size
        return True

    def consumed(self, seq: int) -> None:
        """All listeners of a message have settled.  Harmless when repeated."""
        size = self._unconsumed.pop(seq, None)
        if size is not None:
            self._bytes_consumed += size
            self._messages_consumed += 1

    @property
    def position(self) -> Position:
        """What to tell the other side."""
        return Position(
            self.seq,
            self._window_bytes + self._bytes_consumed,
            self._window_messages + self._messages_consumed,
        )

    def say(self) -> Position:
        """The position, which is on its way to the other side now."""
        self._said = self.position
        self._unsaid_bytes = 0
        return self._said

    @property
    def news(self) -> bool:
        """Whether anything changed since the last position."""
        return self._said != self.position

    @property
    def due(self) -> bool:
        """Whether the next position should not wait for a ping."""
        said, now = self._said, self.position
        return (
            (now.bytes - said.bytes) * 4 >= self._window_bytes
            or (now.messages - said.messages) * 4 >= self._window_messages
            or now.seq - said.seq >= REPORT_FRAMES
            or self._unsaid_bytes >= REPORT_BYTES
        )


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
