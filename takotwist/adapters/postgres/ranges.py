"""Ranges of ids that transactions stored, as notified to all nodes, and those that wait their
turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import msgspec

from takotwist.adapters.postgres.entries import digest_of
from takotwist.core.log import Reported

#: Ranges that may wait, more than a page; past these they are forgotten and read from the table.
MAX_HEARD = 4096


class Range(msgspec.Struct, frozen=True, eq=False):
    """Consecutive ids, from behind the head before it.

    :ivar head: the last one.
    :ivar rows: of the topics that existed.
    :ivar made: rows of topics that are new, with the marks of their keys.
    :ivar own: the messages, where this node stored them itself.
    """

    head: int
    rows: frozenset[int] = frozenset()
    made: tuple[tuple[str, int], ...] = ()
    own: Sequence[Reported] | None = None

    @classmethod
    def of(cls, head: int, touched: str) -> Range:
        """Of the text in a notification or in the table of batches: ``12,15:ab12cd34``."""
        if ":" not in touched:
            return cls(head, frozenset(map(int, touched.split(","))))
        rows, made = [], []
        for part in touched.split(","):
            row, _, mark = part.partition(":")
            if mark:
                made.append((mark, int(row)))
            else:
                rows.append(int(row))
        return cls(head, frozenset(rows), tuple(made))


def mark_of(key: str) -> str:
    """The mark of a topic's key.  Two keys may have the same; then a node looks for nothing."""
    return digest_of(key)[:4].hex()


@attrs.define(slots=True, eq=False)
class HeardRanges:
    """Ranges that were heard of and are not reported yet, by the head behind which each begins."""

    _by_start: dict[int, Range] = attrs.field(factory=dict, init=False)

    def __len__(self) -> int:
        return len(self._by_start)

    def after(self, head: int) -> Range | None:
        """The range that begins behind `head`, where it is known."""
        return self._by_start.get(head)

    def take(self, head: int) -> Range:
        """The same, which waits no more."""
        return self._by_start.pop(head)

    def hear(self, prev: int, one: Range) -> bool:
        """Have a range wait.

        :return: `False` where too many did, and all of them are forgotten.
        """
        kept = len(self._by_start) < MAX_HEARD
        if not kept:
            self._by_start.clear()
        known = self._by_start.get(prev)
        if known is None or known.own is None:
            self._by_start[prev] = one
        return kept

    def drop(self, head: int, to: int) -> None:
        """Have those from `head` on and up to `to` wait no more."""
        while head < to:
            head = self.take(head).head

    def split(self, head: int, last: int) -> int:
        """Have the ranges go on after `last`, in the middle of one; where they do."""
        while head < last:
            one = self.take(head)
            if one.head > last:
                self._by_start[last] = one
                return last
            head = one.head
        return head

    def rows(
        self,
        head: int,
        rows_of: Callable[[Range], set[int]],
        most: int,
        end: int | None = None,
    ) -> tuple[set[int], int]:
        """Rows that the ranges from `head` on touch, of about `most` topics; and where those end.

        A range of this node's own ends them: nothing has to be read for it.

        :param rows_of: the rows of a range that matter.
        :param end: go on up to this.
        """
        rows: set[int] = set()
        while (one := self._by_start.get(head)) is not None and one.own is None and head != end:
            rows |= rows_of(one)
            head = one.head
            if end is None and len(rows) > most:
                break
        return rows, head

    def make_room(self, count: int) -> None:
        """Forget all where `count` more would be too many."""
        if len(self._by_start) + count > MAX_HEARD:
            self._by_start.clear()

    def begin_at(self, head: int) -> None:
        """Forget those that begin before `head`."""
        self._by_start = {prev: one for prev, one in self._by_start.items() if prev >= head}

    def clear(self) -> None:
        """Forget all."""
        self._by_start.clear()
