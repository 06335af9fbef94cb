"""What waits to be sent, and what was sent and may have to be sent again.

Both count text and binary apart, so that one never pushes the other out, and
both keep the order of the two together.  Rule: nothing leaves either without
being sent, reported, or named to the caller.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import attrs

from takotwist.live.machine.frames import MESSAGES, OVERHEAD, Frame


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
