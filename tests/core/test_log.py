"""Whether resuming at a cursor can be complete.

Appends that arrive while a transaction is under way form the next one.
"""

from __future__ import annotations

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.log import GroupCommit, Page
from takotwist.errors import CursorInvalid, Overloaded, ReplayTooOld


class TestJudge(SynchronousTestCase):
    """Too old exactly when a message with a greater id may be gone."""

    page = Page((), False, head=100, removed=50)

    def test_good(self) -> None:
        """Everything from the last removed id to the head can be resumed at."""
        for cursor in (50, 51, 100):
            self.page.judge(cursor)

    def test_too_old(self) -> None:
        """Below the last removed id something is missing."""
        self.assertRaises(ReplayTooOld, self.page.judge, 49)

    def test_everything(self) -> None:
        """0 is no cursor and never too old."""
        self.page.judge(0)

    def test_from_the_future(self) -> None:
        """An id that was never given out is no cursor."""
        self.assertRaises(CursorInvalid, self.page.judge, 101)


@attrs.frozen
class Entry:
    """An entry of some size."""

    number: int
    size: int = 1


class TestGroupCommit(SynchronousTestCase):
    """One batch out at a time, in the order of offers."""

    def test_alone(self) -> None:
        """A single entry goes at once."""
        group: GroupCommit[Entry] = GroupCommit()
        group.offer(Entry(1))
        self.assertEqual(group.take(), [Entry(1)])
        self.assertFalse(group.idle)
        group.finished()
        self.assertTrue(group.idle)

    def test_gathered(self) -> None:
        """What comes meanwhile goes together, next."""
        group: GroupCommit[Entry] = GroupCommit()
        group.offer(Entry(0))
        group.take()
        for number in (1, 2, 3):
            group.offer(Entry(number))
        self.assertEqual((group.take(), group.waiting), ([], 3))
        group.finished()
        self.assertEqual([one.number for one in group.take()], [1, 2, 3])

    def test_overloaded(self) -> None:
        """Past the bounds an offer is refused, and nothing of it is kept."""
        group: GroupCommit[Entry] = GroupCommit(max_waiting=2, max_waiting_bytes=10)
        group.offer(Entry(1, 6))
        self.assertRaises(Overloaded, group.offer, Entry(2, 5))
        group.offer(Entry(3, 4))
        self.assertRaises(Overloaded, group.offer, Entry(4, 0))
        self.assertEqual([one.number for one in group.take()], [1, 3])

    def test_one_that_is_larger_than_a_batch(self) -> None:
        """An entry larger than a batch goes alone."""
        group: GroupCommit[Entry] = GroupCommit(max_batch_bytes=10)
        for size in (20, 5, 5, 5):
            group.offer(Entry(size, size))
        sizes = []
        while batch := group.take():
            sizes.append([one.size for one in batch])
            group.finished()
        self.assertEqual(sizes, [[20], [5, 5], [5]])

    @given(st.lists(st.one_of(st.integers(1, 40), st.just("take"), st.just("finish"))))
    def test_order(self, steps: list[int | str]) -> None:
        """However offers and transactions fall together, the order is that of the offers."""
        group: GroupCommit[Entry] = GroupCommit(max_batch=5, max_batch_bytes=60)
        offered, taken, out = 0, [], False
        for step in [*steps, *["finish", "take"] * (len(steps) + 1)]:
            if step == "take":
                batch = group.take()
                self.assertFalse(out and batch, "two batches out")
                out = out or bool(batch)
                self.assertLessEqual(len(batch), 5)
                taken += [one.number for one in batch]
            elif step == "finish":
                out = False
                group.finished()
            else:
                group.offer(Entry(offered, int(step)))
                offered += 1
        self.assertEqual(taken, list(range(offered)))
