"""What one end sends: waiting, numbered, kept until it is reported (section 6).

Rule: a frame gets its number when it is put on a wire and not before, so a
newer one is never on a wire before an older one that may be needed again.

What waits to be sent, and what was sent and may have to be sent again.

Both count text and binary apart, so that one never pushes the other out, and
both keep the order of the two together.  Rule: nothing leaves either without
being sent, reported, or named to the caller.

What all live objects together keep for their pages.

Each has bounds of its own, which are generous; a page that reads nothing can have
many objects, and there can be many such pages.  Rule: over the bound whoever holds
most ends, so that pages that keep up do not pay for those that do not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Protocol

import attrs

from takotwist.live.machine.frames import (
    CLOSED,
    MESSAGES,
    OVERFLOW,
    OVERHEAD,
    Answered,
    Bounds,
    Failed,
    Frame,
    Output,
    Position,
    Sent,
    Transmit,
    Trouble,
)
from takotwist.live.machine.receive import Outflow


@attrs.define(slots=True, eq=False)
class Item:
    """A frame that has no sequence number yet.

    :ivar handle: the caller's name for it, `None` where nobody waits.
    """

    frame: Frame
    handle: object | None = None

    @property
    def counts(self) -> bool:
        """Whether it is a message."""
        return self.frame.do in MESSAGES


@attrs.define(slots=True, eq=False)
class Waiting:
    """Frames in the order of the calls, bounded by lane.

    :ivar limits: bytes of text, of binary.
    """

    limits: tuple[int, int]
    _items: deque[Item] = attrs.field(factory=deque, init=False)
    _sizes: list[int] = attrs.field(factory=lambda: [0, 0], init=False)

    def push(self, item: Item) -> None:
        """Put it behind the others."""
        self._items.append(item)
        if item.counts:
            self._sizes[item.frame.binary] += item.frame.weight

    def head(self) -> Item | None:
        """The one whose turn it is."""
        return self._items[0] if self._items else None

    def pop(self) -> Item:
        """Take the head."""
        item = self._items.popleft()
        if item.counts:
            self._sizes[item.frame.binary] -= item.frame.weight
        return item

    def over(self, binary: bool) -> bool:
        """Whether a lane holds more than it may."""
        return self._sizes[binary] > self.limits[binary]

    def drop_oldest(self, binary: bool) -> Item:
        """Take out the oldest message of a lane."""
        index, item = next(
            (index, item)
            for index, item in enumerate(self._items)
            if item.counts and item.frame.binary == binary
        )
        del self._items[index]
        self._sizes[binary] -= item.frame.weight
        return item

    @property
    def size(self) -> int:
        """Bytes of both lanes."""
        return sum(self._sizes)

    def clear(self) -> list[Item]:
        """Take out everything."""
        items, self._items, self._sizes = list(self._items), deque(), [0, 0]
        return items

    def __len__(self) -> int:
        return len(self._items)


@attrs.frozen(slots=True, eq=False)
class _Sent:
    seq: int
    weight: int
    binary: bool
    frame: Frame | None


@attrs.define(slots=True, eq=False)
class Replay:
    """Frames that were sent and not reported.

    :ivar limits: bytes of text, of binary.
    :ivar reported: the last sequence number that the other side has.
    """

    limits: tuple[int, int]
    reported: int = 0
    _last: int = attrs.field(default=0, init=False)
    _sent: deque[_Sent] = attrs.field(factory=deque, init=False)
    _sizes: list[int] = attrs.field(factory=lambda: [0, 0], init=False)

    def fits(self, frame: Frame) -> bool:
        """Whether it may be sent now and could be sent again."""
        size = self._sizes[frame.binary]
        return size == 0 or size + frame.weight <= self.limits[frame.binary]

    def keep(self, frame: Frame) -> None:
        """It has been put on a wire."""
        kept: Frame | None = frame
        weight = frame.weight
        if frame.size > self.limits[frame.binary]:
            # A hole: the frame may have arrived, and where it has not the object fails.
            kept, weight = None, OVERHEAD
        self._last = frame.seq
        self._sent.append(_Sent(frame.seq, weight, frame.binary, kept))
        self._sizes[frame.binary] += weight

    def report(self, seq: int) -> bool:
        """The other side has everything up to `seq`.

        :return: `False` where that cannot be: it is less than it said before, or
            more than was sent.
        """
        if not self.reported <= seq <= self._last:
            return False
        while self._sent and self._sent[0].seq <= seq:
            sent = self._sent.popleft()
            self._sizes[sent.binary] -= sent.weight
        self.reported = seq
        return True

    @property
    def size(self) -> int:
        """Bytes of both lanes."""
        return sum(self._sizes)

    def missing(self) -> Iterator[Frame | None]:
        """What must be sent again, in order; `None` is a frame that was not kept."""
        for sent in self._sent:
            yield sent.frame

    def clear(self) -> None:
        """Forget everything."""
        self._sent.clear()
        self._sizes = [0, 0]

    def __len__(self) -> int:
        return len(self._sent)


class Outgoing:
    """The sending half of a `Machine`.

    :param out: where outputs go, a list that the machine empties.
    :ivar pending: our requests without an answer yet: sequence number -> handle.
    """

    __slots__ = ("_answers", "_last", "_outflow", "_replay", "_waiting", "out", "pending")

    def __init__(self, bounds: Bounds, out: list[Output]) -> None:
        self.out = out
        self.pending: dict[int, object | None] = {}
        self._last = 0
        self._waiting = Waiting((bounds.buffer, bounds.buffer_binary))
        self._answers: deque[Frame] = deque()
        self._replay = Replay((bounds.replay, bounds.replay_binary))
        self._outflow = Outflow()

    @property
    def waits(self) -> bool:
        """Whether messages would be sent if they could."""
        return bool(self._waiting)

    @property
    def owes(self) -> bool:
        """Whether something of ours is under way: a message, an answer, a request."""
        return bool(self._waiting or self._answers or self.pending)

    @property
    def ready(self) -> bool:
        """Whether nothing stands before a further message, and there is credit for one."""
        return not self._waiting and not self._answers and self._outflow.open

    def fits(self, frame: Frame) -> bool:
        """Whether it could be sent again."""
        return self._replay.fits(frame)

    @property
    def held(self) -> int:
        """Bytes that wait, or that may have to be sent again."""
        return self._waiting.size + self._replay.size

    def push(self, frame: Frame, handle: object | None) -> None:
        """Let a message wait for its turn."""
        self._waiting.push(Item(frame, handle))

    def push_answer(self, frame: Frame) -> None:
        """Let an answer wait; it needs no credit."""
        self._answers.append(frame)

    def over(self, binary: bool) -> bool:
        """Whether more waits in a lane than may."""
        return self._waiting.over(binary)

    def drop_oldest(self, binary: bool) -> None:
        """Fail the oldest waiting message of a lane."""
        self.fail(self._waiting.drop_oldest(binary).handle, OVERFLOW)

    @property
    def answers(self) -> int:
        """How many answers wait."""
        return len(self._answers)

    def flush(self) -> list[int]:
        """Send what can be sent.

        :return: the requests whose answers were put on the wire.
        """
        while (item := self._waiting.head()) is not None:
            if not self._replay.fits(item.frame) or (item.counts and not self._outflow.open):
                break
            self._waiting.pop()
            self._send(item)
        answered = []
        while self._answers and self._replay.fits(self._answers[0]):
            answered.append(self.number(self._answers.popleft()).of)
        return answered

    def number(self, frame: Frame) -> Frame:
        """Put a frame on the wire, as the next one."""
        self._last += 1
        frame = attrs.evolve(frame, seq=self._last)
        self._replay.keep(frame)
        self.out.append(Transmit(frame))
        return frame

    def again(self, position: Position) -> bool:
        """Send again what the other side lacks.

        :return: `False` where some of it is not here any more; then nothing was sent.
        """
        self._outflow.granted(position)
        if not self._replay.report(position.seq):
            return False
        frames = [frame for frame in self._replay.missing() if frame is not None]
        if len(frames) < len(self._replay):
            return False
        self.out += [Transmit(frame) for frame in frames]
        return True

    def granted(self, position: Position) -> bool:
        """The other side has told its position.  `False` where it cannot be."""
        self._outflow.granted(position)
        # A position may come late, behind a newer one of another wire.
        return position.seq <= self._replay.reported or self._replay.report(position.seq)

    def answered(self, frame: Frame) -> None:
        """An answer has come."""
        if frame.of not in self.pending:
            return
        handle = self.pending.pop(frame.of)
        if frame.error is not None:
            self.fail(handle, frame.error)
        elif handle is not None:
            self.out.append(Answered(handle, frame.data, frame.values))

    def settle(self, trouble: Trouble | None) -> None:
        """Nothing more will be sent: what waits for it fails."""
        left = [*self.pending.values(), *(item.handle for item in self._waiting.clear())]
        self.pending.clear()
        self._answers.clear()
        for handle in left:
            self.fail(handle, trouble or CLOSED)

    def forget(self) -> None:
        """Nothing more will be sent again."""
        self._replay.clear()

    def fail(self, handle: object | None, trouble: Trouble) -> None:
        """Tell whoever waits under `handle`."""
        if handle is not None:
            self.out.append(Failed(handle, trouble))

    def _send(self, item: Item) -> None:
        frame = self.number(item.frame)
        if item.counts:
            self._outflow.sent(frame)
        if frame.ack or frame.do == "publish":
            # Also of a `subscribe` that asks where it begins.
            self.pending[frame.seq] = item.handle
        elif item.handle is not None:
            self.out.append(Sent(item.handle))


class Holder(Protocol):
    """A live object, as the sum sees it."""

    def overflow(self) -> None:
        """End: it holds most of what is too much."""


@attrs.define(slots=True, eq=False)
class Backlog:
    """The sum of what objects hold.

    :ivar limit: bytes, as `Machine.held` counts them.
    :ivar size: bytes now.
    """

    limit: int
    size: int = attrs.field(default=0, init=False)
    _held: dict[Holder, int] = attrs.field(factory=dict, init=False)

    def note(self, holder: Holder, held: int) -> None:
        """Take down what an object holds now."""
        before = self._held.pop(holder, 0)
        if held:
            self._held[holder] = held
        self.size += held - before
        while self.size > self.limit and held > before:
            size = self.size
            max(self._held, key=self._held.__getitem__).overflow()
            if self.size >= size:
                # It is ending already, and says so when it has.
                return
