"""The application's error codes and HTTP/3's."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.webtransport.errors import FIRST, LAST, from_http3, to_http3

CODES = st.integers(0, 2**32 - 1)


class CodeTests(SynchronousTestCase):
    """`to_http3` and `from_http3`."""

    def test_ends(self) -> None:
        """The smallest and the largest code are the ends of the range that is set apart."""
        self.assertEqual(to_http3(0), FIRST)
        self.assertEqual(to_http3(2**32 - 1), LAST)

    @given(CODES)
    def test_round_trip(self, code: int) -> None:
        """Every code comes back as it went, and never on one that HTTP/3 keeps for itself."""
        there = to_http3(code)
        self.assertEqual(from_http3(there), code)
        self.assertNotEqual((there - 0x21) % 0x1F, 0)

    @given(CODES)
    def test_order(self, code: int) -> None:
        """A larger code is a larger code on the wire."""
        if code:
            self.assertLess(to_http3(code - 1), to_http3(code))

    def test_others(self) -> None:
        """HTTP/3's own codes, and the reserved ones within the range, are no application's."""
        reserved = FIRST + 0x1E
        self.assertEqual((reserved - 0x21) % 0x1F, 0)
        for code in (0, 0x10C, FIRST - 1, LAST + 1, reserved):
            self.assertIsNone(from_http3(code))

    def test_out_of_range(self) -> None:
        """A code of more than 32 bits is refused."""
        for code in (-1, 2**32):
            self.assertRaises(ValueError, to_http3, code)
