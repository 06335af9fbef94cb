"""Ranges of ids as text, and those that wait: in one line, bounded, cut anywhere."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.postgres import ranges
from takotwist.adapters.postgres.ranges import HeardRanges, Range, mark_of
from takotwist.core.channel import Lifecycle
from takotwist.core.log import Reported


def line(*heads: int, rows: frozenset[int] = frozenset({7})) -> HeardRanges:
    """Ranges that follow one another from 0 to each of `heads`."""
    heard, prev = HeardRanges(), 0
    for head in heads:
        heard.hear(prev, Range(head, rows))
        prev = head
    return heard


class RangeTests(SynchronousTestCase):
    """The text of a notification."""

    def test_read(self) -> None:
        """Rows of topics that existed, and rows with the marks of those that are new."""
        self.assertEqual(Range.of(9, "12").rows, frozenset({12}))
        mixed = Range.of(9, "12,15:ab12cd34,3")
        self.assertEqual(
            (mixed.head, mixed.rows, mixed.made), (9, frozenset({12, 3}), (("ab12cd34", 15),))
        )

    def test_no_text(self) -> None:
        """What is no list of rows is refused."""
        for text in ("", "x", "1,", "1:2:3,x", "1;2"):
            self.assertRaises(ValueError, Range.of, 1, text)

    @given(st.text())
    def test_mark(self, key: str) -> None:
        """A mark has no character that separates in the text."""
        self.assertRegex(mark_of(key), r"^[0-9a-f]{8}\Z")


class HeardRangesTests(SynchronousTestCase):
    """Ranges that wait for their turn."""

    def test_own_is_kept(self) -> None:
        """A range with its messages is not replaced by the notification of the same."""
        own = Range(2, own=(Reported("a", Lifecycle(), ()),))
        for first, second in ((own, Range(2)), (Range(2), own)):
            heard = HeardRanges()
            heard.hear(0, first)
            heard.hear(0, second)
            self.assertIs(heard.after(0), own)
            self.assertIs(heard.take(0), own)
            self.assertIsNone(heard.after(0))

    def test_bounded(self) -> None:
        """One too many, and all are forgotten but it: they are read from the table."""
        self.patch(ranges, "MAX_HEARD", 3)
        heard = line(1, 2, 3)
        self.assertFalse(heard.hear(3, Range(4)))
        self.assertEqual(len(heard), 1)
        self.assertTrue(heard.hear(4, Range(5)))
        heard.make_room(1)
        self.assertEqual(len(heard), 2)
        heard.make_room(2)
        self.assertEqual(len(heard), 0)

    def test_begins_at(self) -> None:
        """What begins before a head is forgotten."""
        heard = line(1, 3, 6)
        heard.begin_at(3)
        self.assertEqual(len(heard), 1)
        self.assertIsNotNone(heard.after(3))
        heard.clear()
        self.assertEqual(len(heard), 0)

    def test_rows(self) -> None:
        """A page ends at a range of this node's, at a gap, behind enough rows, and at `end`."""
        heard = HeardRanges()
        for prev, head in ((0, 1), (1, 3), (3, 6)):
            heard.hear(prev, Range(head, frozenset({head})))
        heard.hear(6, Range(8, own=()))
        heard.hear(8, Range(9, frozenset({9})))

        def rows_of(one: Range) -> set[int]:
            return set(one.rows)

        self.assertEqual(heard.rows(0, rows_of, 10), ({1, 3, 6}, 6))
        self.assertEqual(heard.rows(0, rows_of, 1), ({1, 3}, 3))
        self.assertEqual(heard.rows(0, rows_of, 0, 6), ({1, 3, 6}, 6))
        self.assertEqual(heard.rows(0, rows_of, 10, 1), ({1}, 1))
        self.assertEqual(heard.rows(6, rows_of, 10), (set(), 6))
        self.assertEqual(heard.rows(5, rows_of, 10), (set(), 5))

    @given(st.lists(st.integers(1, 5), min_size=1, max_size=8), st.data())
    def test_split(self, sizes: list[int], data: st.DataObject) -> None:
        """Cut anywhere, the line goes on from there to its end, with the rows of what was cut."""
        heads = [sum(sizes[: n + 1]) for n in range(len(sizes))]
        last = data.draw(st.integers(1, heads[-1]))
        heard = line(*heads)
        self.assertEqual(heard.split(0, last), last)
        at, rest = last, []
        while (one := heard.after(at)) is not None:
            self.assertEqual(one.rows, frozenset({7}))
            rest.append(one.head)
            at = one.head
        self.assertEqual((at, rest), (heads[-1], [head for head in heads if head > last]))
        heard.drop(last, heads[-1])
        self.assertEqual(len(heard), 0)
