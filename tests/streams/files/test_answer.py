"""Whole answers, decided without I/O.

The Range header against its grammar, and against a slow and obvious model.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.files.answer import (
    JOIN_GAP,
    MAX_RANGES,
    Answer,
    FromTo,
    Representation,
    Selection,
    Span,
    Suffix,
    answer,
    join,
    parse_range,
    select,
)
from takotwist.streams.files.conditions import Conditions, ETag

NOW = 1_763_700_000.0
RANGES = st.lists(
    st.one_of(
        st.builds(b"%d-%d".__mod__, st.tuples(st.integers(0, 3000), st.integers(0, 3000))),
        st.builds(b"-%d".__mod__, st.integers(0, 3000)),
        st.builds(b"%d-".__mod__, st.integers(0, 3000)),
    ),
    min_size=1,
    max_size=5,
).map(lambda members: b"bytes=" + b",".join(members))


def decide(size: int, range_header: bytes | None = None, **conditions: bytes) -> Answer:
    """The answer for a file of `size` bytes."""
    current = Representation(size, ETag(b'"t"'), int(NOW) - 100, b"text/plain")
    common = [(b"Vary", b"Accept-Encoding")]
    return answer(Conditions(**conditions), range_header, current, common, NOW, lambda: b"BOUNDARY")


class Decide(SynchronousTestCase):
    """The order of the steps, and lengths."""

    @given(st.integers(0, 2500), st.one_of(st.none(), RANGES))
    def test_lengths(self, size: int, range_header: bytes | None) -> None:
        """Whatever is asked, the length told is the length of the pieces, which are inside."""
        decided = decide(size, range_header)
        self.assertEqual(decided.length, sum(map(len, decided.body)))
        self.assertIn(decided.status, (200, 206, 416))
        for piece in decided.body:
            if isinstance(piece, Span):
                self.assertTrue(0 <= piece.start < piece.stop <= size)
        names = [name for name, _ in decided.headers]
        self.assertEqual(len(names), len(set(names)), "a header is there twice")
        self.assertIn(b"Vary", names)

    def test_order(self) -> None:
        """412 before 304 before 416 before 206."""
        everything = {"if_match": b'"x"', "if_none_match": b'"t"'}
        self.assertEqual(decide(10, b"bytes=99-", **everything).status, 412)
        self.assertEqual(decide(10, b"bytes=99-", if_none_match=b'"t"').status, 304)
        self.assertEqual(decide(10, b"bytes=99-").status, 416)
        self.assertEqual(decide(10, b"bytes=9-").status, 206)
        self.assertEqual(decide(10, b"bytes=99-", if_range=b'"x"').status, 200)

    def test_no_body_without_content(self) -> None:
        """A 304, a 412 and a 416 carry nothing of the file."""
        refused = decide(10, if_match=b'"x"'), decide(10, b"bytes=10-")
        for decided in (decide(10, if_none_match=b"*"), *refused):
            self.assertEqual((decided.body, decided.length), ((), 0))
            self.assertNotIn(b"Content-Type", dict(decided.headers))


OFFSETS = st.integers(min_value=0, max_value=600)
MEMBERS = st.one_of(
    st.tuples(OFFSETS, OFFSETS).map(lambda pair: b"%d-%d" % (min(pair), max(pair))),
    OFFSETS.map(lambda first: b"%d-" % first),
    OFFSETS.map(lambda length: b"-%d" % length),
)
HEADERS = st.lists(MEMBERS, min_size=1, max_size=8).map(lambda some: b"bytes=" + b",".join(some))


def model(header: bytes, size: int) -> list[set[int]]:
    """Each range of a well-formed header as the set of the offsets it asks for, one by one."""
    wanted = []
    for member in header.removeprefix(b"bytes=").split(b","):
        first, last = member.split(b"-")
        offsets = set()
        for offset in range(size):
            if first and last:
                inside = int(first) <= offset <= int(last)
            elif first:
                inside = int(first) <= offset
            else:
                inside = offset >= size - int(last)
            if inside:
                offsets.add(offset)
        wanted.append(offsets)
    return wanted


class ParseRange(SynchronousTestCase):
    """What is a Range header and what is ignored."""

    def test_forms(self) -> None:
        """From-to, open and suffix ranges are read, in order, with blanks and empty members."""
        self.assertEqual(
            parse_range(b"BYTES= 0-9 ,, 5-\t,-7,"), (FromTo(0, 9), FromTo(5, None), Suffix(7))
        )

    def test_ignored(self) -> None:
        """F3: what is not of the grammar makes the whole header ignored, never half of it."""
        for value in (
            *(b"", b"bytes", b"bytes=", b"bytes=,", b"bytes=abc", b"bytes=-", b"bytes=--1"),
            *(b"items=0-1", b"bytes=9-3", b"bytes=0-1,9-3", b"bytes=0-1;5-6", b"bytes 0-1"),
            *(b"bytes=0 - 1", b"bytes=+0-1", b"bytes=0x1-2", b"bytes=1.0-2", b"bytes==0-1"),
            *(b"bytes=\xb2-3", b"bytes=0-1\n", b"bytes=1-2-3"),
        ):
            self.assertIsNone(parse_range(value), value)
            self.assertIs(select(value, 100), Selection.WHOLE, value)

    def test_number_of_ranges_is_bounded(self) -> None:
        """A header with more ranges than the bound is ignored."""
        at_bound = b"bytes=" + b",".join([b"0-0"] * MAX_RANGES)
        self.assertIsNotNone(parse_range(at_bound))
        self.assertIsNone(parse_range(at_bound + b",0-0"))

    def test_huge_numbers(self) -> None:
        """A number of any length is past the end, and costs nothing to read."""
        digits = b"9" * 10_000
        self.assertEqual(select(b"bytes=1-" + digits, 10), (Span(1, 10),))
        self.assertIs(select(b"bytes=" + digits + b"-", 10), Selection.UNSATISFIABLE)
        self.assertEqual(select(b"bytes=-" + digits, 10), (Span(0, 10),))
        self.assertEqual(select(b"bytes=" + b"0" * 10_000 + b"1-2", 10), (Span(1, 3),))

    @given(st.binary(max_size=40))
    def test_any_bytes(self, junk: bytes) -> None:
        """No header makes the parser fail, and whatever it selects lies inside the file."""
        for value in (junk, b"bytes=" + junk):
            selected = select(value, 50)
            if not isinstance(selected, Selection):
                self.assertTrue(all(0 <= span.start < span.stop <= 50 for span in selected))


class Select(SynchronousTestCase):
    """Ranges fitted to a file."""

    def test_single(self) -> None:
        """F1: closed, open, suffix and clamped ranges; ``0-0`` is one byte."""
        for value, start, stop in (
            *((b"0-9", 0, 10), (b"5-", 5, 100), (b"-5", 95, 100), (b"0-0", 0, 1)),
            *((b"0-999999", 0, 100), (b"-999999", 0, 100), (b"99-99", 99, 100)),
        ):
            self.assertEqual(select(b"bytes=" + value, 100), (Span(start, stop),), value)

    def test_unsatisfiable(self) -> None:
        """F2: from the end on, an empty suffix, and anything of an empty file."""
        for value, size in ((b"100-", 100), (b"-0", 100), (b"0-", 0), (b"-5", 0), (b"0-0", 0)):
            self.assertIs(select(b"bytes=" + value, size), Selection.UNSATISFIABLE, value)

    def test_unsatisfiable_beside_satisfiable(self) -> None:
        """A range that cannot be had is left out where another can be."""
        self.assertEqual(select(b"bytes=500-,0-1", 100), (Span(0, 2),))

    @settings(max_examples=300)
    @given(HEADERS, st.integers(min_value=0, max_value=500))
    def test_against_the_model(self, header: bytes, size: int) -> None:
        """Every wanted byte is selected, once, and beyond those only gaps worth joining."""
        wanted = set().union(*model(header, size))
        selected = select(header, size)
        if not wanted:
            self.assertIs(selected, Selection.UNSATISFIABLE)
            return
        assert isinstance(selected, tuple)
        offsets = [offset for span in selected for offset in range(span.start, span.stop)]
        self.assertEqual(len(offsets), len(set(offsets)), "a byte is sent twice")
        self.assertLessEqual(wanted, set(offsets))
        for start, stop in unwanted_runs(set(offsets) - wanted):
            self.assertLess(stop - start, JOIN_GAP)
            self.assertTrue(start - 1 in wanted and stop in wanted, "a gap at an edge")

    @given(HEADERS, st.integers(min_value=1, max_value=500))
    def test_order_is_the_clients(self, header: bytes, size: int) -> None:
        """Pieces stand in the order in which the request first touched them."""
        selected = select(header, size)
        if isinstance(selected, Selection):
            return
        firsts = []
        for wanted in model(header, size):
            if wanted:
                index = next(i for i, span in enumerate(selected) if min(wanted) in range_of(span))
                if index not in firsts:
                    firsts.append(index)
        self.assertEqual(firsts, sorted(firsts))


class Join(SynchronousTestCase):
    """Ranges near each other become one."""

    def test_gap(self) -> None:
        """A gap that is shorter than another part's head is sent along."""
        near, far = Span(10 + JOIN_GAP - 1, 500), Span(10 + JOIN_GAP, 500)
        self.assertEqual(join((Span(0, 10), near)), (Span(0, 500),))
        self.assertEqual(join((Span(0, 10), far)), (Span(0, 10), far))

    def test_bridge(self) -> None:
        """A range between two others joins both."""
        self.assertEqual(join((Span(0, 10), Span(5000, 5010), Span(10, 5000))), (Span(0, 5010),))

    def test_many_overlapping(self) -> None:
        """A header full of overlapping ranges never costs more than the file."""
        header = b"bytes=" + b",".join(b"%d-" % n for n in range(MAX_RANGES))
        self.assertEqual(select(header, 1000), (Span(0, 1000),))


def unwanted_runs(offsets: set[int]) -> list[tuple[int, int]]:
    """Neighbouring offsets as (first, after the last)."""
    runs: list[tuple[int, int]] = []
    for offset in sorted(offsets):
        if runs and runs[-1][1] == offset:
            runs[-1] = (runs[-1][0], offset + 1)
        else:
            runs.append((offset, offset + 1))
    return runs


def range_of(span: Span) -> range:
    """The offsets of `span`."""
    return range(span.start, span.stop)
