"""The receiver of one end, and the flow control of both directions (protocol, section 6).

Rules: a sequenced frame is the next one, a duplicate, or breaks the protocol; there
is no fourth case.  Credit is told as totals of the object's whole life, which only
grow, so a position may be repeated and may come late.
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

#: Bytes and frames received since the last report after which the next is due.
REPORT_BYTES = 64 * 1024
REPORT_FRAMES = 64


@attrs.define(slots=True, eq=False)
class SendCredit:
    """Credit that the other side has granted us."""

    _bytes: int = 0
    _messages: int = 0
    _bytes_sent: int = 0
    _messages_sent: int = 0

    @property
    def open(self) -> bool:
        """There is credit for one more message."""
        return self._bytes_sent < self._bytes and self._messages_sent < self._messages

    def sent(self, frame: Frame) -> None:
        """Count a message, once: when it is put on a wire for the first time."""
        self._bytes_sent += frame.size
        self._messages_sent += 1

    def granted(self, position: Position) -> None:
        """Take the totals of a position; smaller ones are older and change nothing."""
        self._bytes = max(self._bytes, position.bytes)
        self._messages = max(self._messages, position.messages)


@attrs.define(slots=True, eq=False)
class ReceiveWindow:
    """Frames that we have taken, and the credit that we grant.

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
        """Our position now: the last frame taken, and the totals granted."""
        return Position(
            self.seq,
            self._window_bytes + self._bytes_consumed,
            self._window_messages + self._messages_consumed,
        )

    def say(self) -> Position:
        """The position, noted as reported."""
        self._said = self.position
        self._unsaid_bytes = 0
        return self._said

    @property
    def news(self) -> bool:
        """The position has changed since the last report."""
        return self._said != self.position

    @property
    def due(self) -> bool:
        """The next report should not wait for a ping."""
        said, now = self._said, self.position
        return (
            (now.bytes - said.bytes) * 4 >= self._window_bytes
            or (now.messages - said.messages) * 4 >= self._window_messages
            or now.seq - said.seq >= REPORT_FRAMES
            or self._unsaid_bytes >= REPORT_BYTES
        )


class Verdict(Enum):
    """Judgement on a sequenced frame; the value of a refusal is its reason."""

    NEXT = "taken"
    DUPLICATE = "dropped without a word"
    SKIPS = "a sequence number was skipped"
    OVER_CREDIT = "more than the credit allows"
    OVER_ANSWERS = "more requests than answers are taken"


class Receiver:
    """The receiving half of a `Machine`.

    :param out: the machine's list of outputs.
    """

    __slots__ = ("_most_unanswered", "_requests", "_window", "out")

    def __init__(self, bounds: Bounds, out: list[Output]) -> None:
        self.out = out
        self._window = ReceiveWindow(bounds.window_bytes, bounds.window_messages)
        self._requests: set[int] = set()
        # Those that need credit are one half of these at most.
        self._most_unanswered = 2 * bounds.window_messages

    @property
    def owes(self) -> bool:
        """Requests to us are not answered yet."""
        return bool(self._requests)

    def judge(self, frame: Frame, answers: int) -> Verdict:
        """Take a sequenced frame, where it is the next one.

        :param answers: how many answers to the other side's requests wait to be sent.
        """
        expected = self._window.seq + 1
        if frame.seq != expected:
            return Verdict.DUPLICATE if frame.seq < expected else Verdict.SKIPS
        if not self._window.take(frame):
            return Verdict.OVER_CREDIT
        free = frame.ack and frame.do not in MESSAGES
        if free and len(self._requests) + answers >= self._most_unanswered:
            return Verdict.OVER_ANSWERS
        return Verdict.NEXT

    def deliver(self, frame: Frame) -> None:
        """Hand a message, or a change of a subscription, to the user."""
        if frame.ack or frame.do == "publish":
            self._requests.add(frame.seq)
        self.out.append(Deliver(frame))

    def answered(self, seq: int) -> bool:
        """Note that a request is answered; it is `consumed` when its answer has left.

        :return: `False` where it was already, or nobody waits any more.
        """
        if seq not in self._requests:
            self._window.consumed(seq)
            return False
        self._requests.discard(seq)
        return True

    def consumed(self, seq: int) -> None:
        """All listeners of a message have settled.  Harmless when repeated."""
        self._window.consumed(seq)

    def settle(self) -> None:
        """Drop open requests: at the end nobody waits for answers."""
        self._requests.clear()

    def position(self) -> Position:
        """Our position, to be told to the other side now."""
        return self._window.say()

    def report(self, *, when_due: bool) -> None:
        """Report our position, where it has changed.

        :param when_due: only where the report should not wait for a ping.
        """
        if self._window.due if when_due else self._window.news:
            self.out.append(Transmit(Frame("credit", position=self._window.say())))
