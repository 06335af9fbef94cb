"""The sender of one end: send queue, retransmit buffer, and the sum over all objects.

queued -> numbered and sent -> kept until acknowledged (protocol, live objects, section 6).
Both buffers count text and binary apart, so that one never pushes the other out, and
keep the order of the two together.  Rules: a frame gets its sequence number when it is
put on a wire and not before, so a newer one is never on a wire before an older one that
may be needed again; and nothing leaves a buffer without being sent, acknowledged, or
named to the caller.

Each object has limits of its own, which are generous; a page that reads nothing can have
many objects, and there can be many such pages.  Rule of the sum: over its limit whoever
holds most ends, so that pages that keep up do not pay for those that do not.
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
from takotwist.live.machine.receive import SendCredit


@attrs.define(slots=True, eq=False)
class QueuedFrame:
    """A frame that has no sequence number yet.

    :ivar handle: the caller's name for it, `None` where nobody waits.
    """

    frame: Frame
    handle: object | None = None

    @property
    def counts(self) -> bool:
        """It is a message: it counts against credit and limits."""
        return self.frame.do in MESSAGES


@attrs.define(slots=True, eq=False)
class SendQueue:
    """Frames in the order of the calls, limited in bytes of text and of binary data.

    :ivar limits: bytes of text, of binary.
    """

    limits: tuple[int, int]
    _items: deque[QueuedFrame] = attrs.field(factory=deque, init=False)
    _sizes: list[int] = attrs.field(factory=lambda: [0, 0], init=False)

    def push(self, item: QueuedFrame) -> None:
        """Append a frame."""
        self._items.append(item)
        if item.counts:
            self._sizes[item.frame.binary] += item.frame.weight

    def head(self) -> QueuedFrame | None:
        """The next frame; `None` where the queue is empty."""
        return self._items[0] if self._items else None

    def pop(self) -> QueuedFrame:
        """Remove the next frame."""
        item = self._items.popleft()
        if item.counts:
            self._sizes[item.frame.binary] -= item.frame.weight
        return item

    def over(self, binary: bool) -> bool:
        """More of the kind is queued than its limit."""
        return self._sizes[binary] > self.limits[binary]

    def drop_oldest(self, binary: bool) -> QueuedFrame:
        """Remove the oldest message of a kind."""
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

    def clear(self) -> list[QueuedFrame]:
        """Remove everything."""
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
class RetransmitBuffer:
    """Frames that were sent and not acknowledged.

    :ivar limits: bytes of text, of binary.
    :ivar acknowledged: the last sequence number that the other side has.
    """

    limits: tuple[int, int]
    acknowledged: int = 0
    _last: int = attrs.field(default=0, init=False)
    _sent: deque[_Sent] = attrs.field(factory=deque, init=False)
    _sizes: list[int] = attrs.field(factory=lambda: [0, 0], init=False)

    def fits(self, frame: Frame) -> bool:
        """There is room to keep the frame, so it may be sent."""
        size = self._sizes[frame.binary]
        return size == 0 or size + frame.weight <= self.limits[frame.binary]

    def keep(self, frame: Frame) -> None:
        """Keep a frame that has been put on a wire."""
        kept: Frame | None = frame
        weight = frame.weight
        if frame.size > self.limits[frame.binary]:
            # A hole: the frame may have arrived, and where it has not the object fails.
            kept, weight = None, OVERHEAD
        self._last = frame.seq
        self._sent.append(_Sent(frame.seq, weight, frame.binary, kept))
        self._sizes[frame.binary] += weight

    def acknowledge(self, seq: int) -> bool:
        """Drop everything up to `seq`: the other side has it.

        :return: `False` where that cannot be: it is less than was acknowledged before, or
            more than was sent.
        """
        if not self.acknowledged <= seq <= self._last:
            return False
        while self._sent and self._sent[0].seq <= seq:
            sent = self._sent.popleft()
            self._sizes[sent.binary] -= sent.weight
        self.acknowledged = seq
        return True

    @property
    def size(self) -> int:
        """Bytes of both lanes."""
        return sum(self._sizes)

    def missing(self) -> Iterator[Frame | None]:
        """Frames to send again, in order; `None` is one that was not kept."""
        for sent in self._sent:
            yield sent.frame

    def clear(self) -> None:
        """Drop everything."""
        self._sent.clear()
        self._sizes = [0, 0]

    def __len__(self) -> int:
        return len(self._sent)


class Sender:
    """The sending half of a `Machine`.

    :param out: the machine's list of outputs.
    :ivar pending: our requests without an answer yet: sequence number -> handle.
    """

    __slots__ = ("_answers", "_credit", "_last", "_queue", "_retransmit", "out", "pending")

    def __init__(self, bounds: Bounds, out: list[Output]) -> None:
        self.out = out
        self.pending: dict[int, object | None] = {}
        self._last = 0
        self._queue = SendQueue((bounds.buffer, bounds.buffer_binary))
        self._answers: deque[Frame] = deque()
        self._retransmit = RetransmitBuffer((bounds.replay, bounds.replay_binary))
        self._credit = SendCredit()

    @property
    def waits(self) -> bool:
        """Messages are queued."""
        return bool(self._queue)

    @property
    def owes(self) -> bool:
        """Something of ours is under way: a message, an answer, a request."""
        return bool(self._queue or self._answers or self.pending)

    @property
    def ready(self) -> bool:
        """Nothing is queued before a further message, and there is credit for one."""
        return not self._queue and not self._answers and self._credit.open

    def fits(self, frame: Frame) -> bool:
        """There is room to keep the frame for a retransmit."""
        return self._retransmit.fits(frame)

    @property
    def held(self) -> int:
        """Bytes that wait, or that may have to be sent again."""
        return self._queue.size + self._retransmit.size

    def push(self, frame: Frame, handle: object | None) -> None:
        """Queue a message."""
        self._queue.push(QueuedFrame(frame, handle))

    def push_answer(self, frame: Frame) -> None:
        """Queue an answer; it needs no credit."""
        self._answers.append(frame)

    def over(self, binary: bool) -> bool:
        """More of the kind is queued than its limit."""
        return self._queue.over(binary)

    def drop_oldest(self, binary: bool) -> None:
        """Fail the oldest queued message of a kind."""
        self.fail(self._queue.drop_oldest(binary).handle, OVERFLOW)

    @property
    def answers(self) -> int:
        """The number of queued answers."""
        return len(self._answers)

    def flush(self) -> list[int]:
        """Send what credit and the retransmit buffer allow.

        :return: the requests whose answers were put on the wire.
        """
        while (item := self._queue.head()) is not None:
            if not self._retransmit.fits(item.frame) or (item.counts and not self._credit.open):
                break
            self._queue.pop()
            self._send(item)
        answered = []
        while self._answers and self._retransmit.fits(self._answers[0]):
            answered.append(self.number(self._answers.popleft()).of)
        return answered

    def number(self, frame: Frame) -> Frame:
        """Put a frame on the wire, as the next one."""
        self._last += 1
        frame = attrs.evolve(frame, seq=self._last)
        self._retransmit.keep(frame)
        self.out.append(Transmit(frame))
        return frame

    def retransmit(self, position: Position) -> bool:
        """Send again what the other side lacks.

        :return: `False` where some of it is not here any more; then nothing was sent.
        """
        self._credit.granted(position)
        if not self._retransmit.acknowledge(position.seq):
            return False
        frames = [frame for frame in self._retransmit.missing() if frame is not None]
        if len(frames) < len(self._retransmit):
            return False
        self.out += [Transmit(frame) for frame in frames]
        return True

    def granted(self, position: Position) -> bool:
        """Take the other side's position.  `False` where it cannot be."""
        self._credit.granted(position)
        # A position may come late, behind a newer one of another wire.
        seq = position.seq
        return seq <= self._retransmit.acknowledged or self._retransmit.acknowledge(seq)

    def answered(self, frame: Frame) -> None:
        """Resolve a request of ours with the answer that has come."""
        if frame.of not in self.pending:
            return
        handle = self.pending.pop(frame.of)
        if frame.error is not None:
            self.fail(handle, frame.error)
        elif handle is not None:
            self.out.append(Answered(handle, frame.data, frame.values))

    def settle(self, trouble: Trouble | None) -> None:
        """Fail what is queued or unanswered: nothing more will be sent."""
        left = [*self.pending.values(), *(item.handle for item in self._queue.clear())]
        self.pending.clear()
        self._answers.clear()
        for handle in left:
            self.fail(handle, trouble or CLOSED)

    def forget(self) -> None:
        """Drop the retransmit buffer: nothing more will be sent again."""
        self._retransmit.clear()

    def fail(self, handle: object | None, trouble: Trouble) -> None:
        """Fail the send or request of `handle`."""
        if handle is not None:
            self.out.append(Failed(handle, trouble))

    def _send(self, item: QueuedFrame) -> None:
        frame = self.number(item.frame)
        if item.counts:
            self._credit.sent(frame)
        if frame.ack or frame.do == "publish":
            # Also of a `subscribe` that asks where it begins.
            self.pending[frame.seq] = item.handle
        elif item.handle is not None:
            self.out.append(Sent(item.handle))


class BufferOwner(Protocol):
    """A live object, as the sum of all buffers sees it."""

    def overflow(self) -> None:
        """End it: it holds most of what is too much."""


@attrs.define(slots=True, eq=False)
class Backlog:
    """Sum of the buffers of all live objects.

    :ivar limit: bytes, as `Machine.held` counts them.
    :ivar size: bytes now.
    """

    limit: int
    size: int = attrs.field(default=0, init=False)
    _held: dict[BufferOwner, int] = attrs.field(factory=dict, init=False)

    def note(self, holder: BufferOwner, held: int) -> None:
        """Note how much an object holds now; over the limit the largest ones end."""
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
