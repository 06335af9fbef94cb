"""The newest messages of a topic, kept in memory."""

from __future__ import annotations

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.tail import Tail, cost


@attrs.frozen
class Item:
    """A message of some size."""

    id: int
    size: int = 10

    def frame(self, form: object) -> bytes:
        """Not asked here."""
        raise NotImplementedError


class TestTail(SynchronousTestCase):
    """It never answers with a gap."""

    @given(
        st.lists(st.integers(1, 5), max_size=30),
        st.integers(0, 40),
        st.integers(1, 20),
        st.integers(0, 60),
    )
    def test_against_a_list(self, gaps: list[int], oldest: int, most: int, position: int) -> None:
        """What it gives after a position is all there is after it, or it says it does not know."""
        ids, last = [], 10
        for gap in gaps:
            last += gap
            ids.append(last)
        tail = Tail(10, 1_000_000)
        tail.append([Item(one) for one in ids])
        tail.shrink(10**9, most, oldest)
        given_items = tail.after(position, 10**9)
        if given_items is None:
            self.assertLess(position, tail.floor)
        else:
            self.assertEqual(
                [one.id for one in given_items], [one for one in ids if one > position]
            )
        self.assertLessEqual(len(tail), most)
        self.assertEqual(tail.bytes, len(tail) * cost(Item(1)))

    @given(
        st.lists(
            st.lists(st.tuples(st.sampled_from([None, *"abc"]), st.integers(1, 9)), min_size=1),
            max_size=12,
        ),
        st.integers(1, 8),
        st.integers(0, 60),
    )
    def test_keys(
        self, batches: list[list[tuple[str | None, int]]], most: int, position: int
    ) -> None:
        """With keys it is the same without each message of which a later one has the key, and
        its numbers are those of what is left."""
        stored: list[tuple[Item, str | None]] = []
        tail = Tail(0, 1_000_000)
        for batch in batches:
            items = [Item(len(stored) + at + 1, size) for at, (_, size) in enumerate(batch)]
            keys = [key for key, _ in batch]
            stored += zip(items, keys, strict=True)
            tail.append(items, keys)
            tail.shrink(10**9, most, 0)
        newest = {key: item for item, key in stored if key is not None}
        left = [item for item, key in stored if key is None or newest[key] is item]
        given_items = tail.after(position, 10**9)
        if given_items is None:
            self.assertLess(position, tail.floor)
        else:
            self.assertEqual(list(given_items), [one for one in left if one.id > position])
        held = tail.after(tail.floor, 10**9) or []
        self.assertEqual(len(held), len(tail))
        self.assertLessEqual(len(tail), most)
        self.assertEqual(tail.bytes, sum(map(cost, held)))
        self.assertEqual(tail.size, sum(item.size for item in held))

    def test_pages(self) -> None:
        """A page holds about what was asked, and at least one message."""
        tail = Tail(0, 1)
        tail.append([Item(one) for one in range(1, 11)])
        self.assertEqual([one.id for one in tail.after(2, 25) or ()], [3, 4, 5])
        self.assertEqual([one.id for one in tail.after(2, 0) or ()], [3])
        self.assertEqual(list(tail.after(10, 100) or ()), [])
