"""The newest messages of a topic, kept in memory with their frames.

Whoever is nearly up to date is continued from here without the log: resumes
after a blink, readers that were slow for a moment, everybody after a restart
once one of them has read.  Rule: a tail knows its `floor`; all messages of the
topic with a greater id are in it, so it never answers with a gap.

Of a topic that conflates a message leaves its tail when a later one of its key comes, so that
who is behind goes on with the newest of each; what is live already is not held up by it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

import attrs

from takotwist.core.topic import MAX_ID


class Item(Protocol):
    """A stored message together with its frames."""

    @property
    def id(self) -> int: ...

    @property
    def size(self) -> int: ...

    def frame(self, form: object) -> bytes:
        """The message in one wire form, encoded once."""
        ...


#: What an item and its frames cost beside the payload, roughly.
ITEM_OVERHEAD = 512


def cost(item: Item) -> int:
    """Bytes of memory that `item` counts for."""
    return 3 * item.size + ITEM_OVERHEAD


@attrs.define(slots=True)
class Tail:
    """The newest messages of one topic.

    :ivar floor: every message of the topic with a greater id is here.
    :ivar window_us: messages older than this have left the topic's window.
    :ivar keep_bytes: as have messages that this many bytes of newer ones push out.
    :ivar bytes: what they cost.
    :ivar size: what the topic's own bound counts of them.
    """

    floor: int
    window_us: int
    keep_bytes: int = 2**40
    bytes: int = 0
    size: int = 0
    _items: list[Item] = attrs.field(factory=list, init=False)
    #: The newest message of each key, and the key of each that is here; of a topic that conflates.
    _latest: dict[str, int] = attrs.field(factory=dict, init=False)
    _named: dict[int, str] = attrs.field(factory=dict, init=False)

    def append(self, items: Sequence[Item], keys: Sequence[str | None] = ()) -> None:
        """Add the topic's next messages.

        :param keys: of each; a message that has one replaces the one before it.
        """
        if keys:
            items = self._replacing(items, keys)
        self._items.extend(items)
        size = sum([item.size for item in items])
        self.bytes += 3 * size + ITEM_OVERHEAD * len(items)
        self.size += size

    def shrink(self, max_bytes: int, max_messages: int, expired_id: int) -> None:
        """Forget the oldest until the bounds hold, and those with an id up to `expired_id`.

        The topic's own bounds are judged as the log judges them, or a cursor would be
        too old for one and not for the other.
        """
        excess, oversize, drop = self.bytes - max_bytes, self.size - self.keep_bytes, 0
        left = len(self._items) + 1
        for item in self._items:
            left -= 1
            if (
                excess <= 0
                and left <= max_messages
                and (oversize <= 0 or left == 1)
                and item.id > expired_id
            ):
                break
            excess -= 3 * item.size + ITEM_OVERHEAD
            oversize -= item.size
            drop += 1
            if self._named and (key := self._named.pop(item.id, None)) is not None:
                del self._latest[key]
        if drop:
            self.floor = max(self.floor, self._items[drop - 1].id)
            self.bytes = excess + max_bytes
            self.size = oversize + self.keep_bytes
            # A list and not a deque: pages are found by bisection, and moving
            # the few thousand pointers of a full tail costs less than a frame.
            del self._items[:drop]

    def _replacing(self, items: Sequence[Item], keys: Sequence[str | None]) -> Sequence[Item]:
        """Take out what `items` replace; what is left of them, which are to be added."""
        for item, key in zip(items, keys, strict=True):
            if key is not None:
                before = self._latest.get(key)
                if before is not None:
                    items = self._without(before, items)
                self._latest[key], self._named[item.id] = item.id, key
        return items

    def _without(self, id: int, items: Sequence[Item]) -> Sequence[Item]:
        """Take out a message that was replaced; what is left of `items`, which are to be added."""
        del self._named[id]
        at = bisect_right(self._items, id - 1, key=lambda item: item.id)
        if at == len(self._items):
            return [item for item in items if item.id != id]
        gone = self._items.pop(at)
        self.bytes -= cost(gone)
        self.size -= gone.size
        return items

    def after(self, position: int, max_bytes: int) -> Sequence[Item] | None:
        """Messages with an id greater than `position`, at least one where there is one.

        :param max_bytes: about how many bytes of payload at most.
        :return: `None` where `position` is below the floor: only the log knows.
        """
        if position < self.floor:
            return None
        start = bisect_right(self._items, position, key=lambda item: item.id)
        end, room = start, max_bytes
        while end < len(self._items) and (end == start or room > 0):
            room -= self._items[end].size
            end += 1
        return self._items[start:end]

    @property
    def newest(self) -> Item | None:
        """The newest message of the topic, where it is here."""
        return self._items[-1] if self._items else None

    def __len__(self) -> int:
        return len(self._items)


@attrs.define(slots=True)
class Tails:
    """The tails of all topics, within one bound.

    :ivar topic_bytes: most bytes for one topic.
    :ivar total_bytes: most bytes in all; the topic longest without traffic goes first.
    """

    topic_bytes: int = 2**20
    total_bytes: int = 64 * 2**20
    bytes: int = 0
    _by_key: OrderedDict[str, Tail] = attrs.field(factory=OrderedDict, init=False)

    def append(
        self,
        key: str,
        items: Sequence[Item],
        *,
        keep_messages: int,
        keep_bytes: int,
        window_us: int,
        now_us: int,
        keys: Sequence[str | None] = (),
    ) -> None:
        """Add the next messages of a topic, already committed.

        :param keys: see `Tail.append`.
        :param keep_messages: and `keep_bytes`: the topic's own bounds.
        :param window_us: the topic's window, and `now_us` the time; an id is a time.
        """
        tail = self._by_key.get(key)
        if tail is None:
            # Nothing older is known here, so the floor lies just below the first.
            tail = self._by_key[key] = Tail(items[0].id - 1, window_us)
        else:
            tail.window_us = window_us
            self._by_key.move_to_end(key)
        tail.keep_bytes = keep_bytes
        before = tail.bytes
        tail.append(items, keys)
        tail.shrink(self.topic_bytes, keep_messages, now_us - window_us)
        self.bytes += tail.bytes - before
        self._evict()

    def prime(self, key: str, floor: int, items: Sequence[Item], window_us: int) -> None:
        """Keep what a read of the log has just shown to be the topic's newest messages.

        :param floor: the cursor that was read after: `items` are all there is above it.
        """
        if key in self._by_key or not items:
            return
        tail = self._by_key[key] = Tail(floor, window_us)
        tail.append(items)
        tail.shrink(self.topic_bytes, len(items), 0)
        self.bytes += tail.bytes
        self._evict()

    def after(self, key: str, position: int, max_bytes: int, now_us: int) -> Sequence[Item] | None:
        """As `Tail.after`; `None` also where the topic has no tail."""
        tail = self._by_key.get(key)
        if tail is None:
            return None
        before = tail.bytes
        tail.shrink(self.topic_bytes, len(tail), now_us - tail.window_us)
        self.bytes += tail.bytes - before
        return tail.after(position, max_bytes)

    def newest(self, key: str, now_us: int) -> Item | None:
        """The topic's newest message; `None` where only the log knows."""
        if self.after(key, MAX_ID, 0, now_us) is None:
            return None
        return self._by_key[key].newest

    def forget(self, key: str) -> None:
        """Have no tail of this topic.  Harmless when there is none."""
        tail = self._by_key.pop(key, None)
        if tail is not None:
            self.bytes -= tail.bytes

    def clear(self) -> None:
        """Forget all: the store behind was replaced."""
        self._by_key.clear()
        self.bytes = 0

    def _evict(self) -> None:
        while self.bytes > self.total_bytes and self._by_key:
            _, tail = self._by_key.popitem(last=False)
            self.bytes -= tail.bytes

    def __len__(self) -> int:
        return len(self._by_key)
