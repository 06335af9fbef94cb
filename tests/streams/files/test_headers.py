"""HTTP dates: three forms in, one out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.files.headers import format_http_date, parse_http_date

NOW = 1_763_700_000.0
INSTANT = 784_111_777


class ParseHttpDate(SynchronousTestCase):
    """What counts as a date."""

    def test_three_forms(self) -> None:
        """F7: the preferred form and both obsolete ones name the same second."""
        for value in (
            b"Sun, 06 Nov 1994 08:49:37 GMT",
            b"Sunday, 06-Nov-94 08:49:37 GMT",
            b"Sun Nov  6 08:49:37 1994",
        ):
            self.assertEqual(parse_http_date(value, NOW), INSTANT, value)

    def test_two_digit_year(self) -> None:
        """A two-digit year that seems more than 50 years ahead is in the past."""
        self.assertEqual(parse_http_date(b"Sunday, 06-Nov-75 08:49:37 GMT", NOW), 3_340_255_777)
        self.assertEqual(parse_http_date(b"Sunday, 06-Nov-76 08:49:37 GMT", NOW), 216_118_177)

    def test_no_dates(self) -> None:
        """Another zone, impossible days and times, and other spellings are no dates."""
        for value in (
            *(b"", b"0", b"yesterday", b"784111777", b"1994-11-06T08:49:37Z"),
            *(b"Sun, 06 Nov 1994 08:49:37 +0200", b"Sun, 06 Nov 1994 08:49:37 UTC"),
            *(b"Sun, 06 Nov 1994 08:49:37", b"Sun, 6 Nov 1994 08:49:37 GMT"),
            *(b"Sun, 31 Feb 1994 08:49:37 GMT", b"Sun, 00 Nov 1994 08:49:37 GMT"),
            *(b"Sun, 06 Nov 1994 24:00:00 GMT", b"Sun, 06 Nov 1994 08:60:37 GMT"),
            *(b"Sun, 06 Xyz 1994 08:49:37 GMT", b"Sun, 06 Nov 0000 08:49:37 GMT"),
            *(b"Sun, 06 Nov 1994 08:49:37 GMT, x", b"Sun Nov 06 08:49:37 19941"),
        ):
            self.assertIsNone(parse_http_date(value, NOW), value)

    @given(st.binary(max_size=40))
    def test_any_bytes(self, value: bytes) -> None:
        """Nothing makes the parser fail."""
        parse_http_date(value, NOW)

    @given(st.integers(min_value=0, max_value=250_000_000_000))
    def test_round_trip(self, seconds: int) -> None:
        """What is written is read back as the same second."""
        self.assertEqual(parse_http_date(format_http_date(seconds), NOW), seconds)

    def test_fractions_are_cut(self) -> None:
        """A date names the second that an instant lies in."""
        self.assertEqual(format_http_date(INSTANT + 0.9), b"Sun, 06 Nov 1994 08:49:37 GMT")
