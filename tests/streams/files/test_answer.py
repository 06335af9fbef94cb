"""Whole answers, decided without I/O."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.files.answer import Answer, Representation, answer
from takotwist.streams.files.conditions import Conditions
from takotwist.streams.files.ranges import Span
from takotwist.streams.files.validators import ETag

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
