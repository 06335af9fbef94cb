"""Preconditions, in the order of RFC 9110, section 13.2.2.

Entity tags: grammar, comparison, making.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.files.conditions import (
    AnyTag,
    Conditions,
    Current,
    ETag,
    Outcome,
    evaluate,
    parse_etag,
    parse_etags,
    range_applies,
    tag_of,
)
from takotwist.streams.files.headers import format_http_date

MODIFIED = 784_111_777
NOW = MODIFIED + 1000.0
CURRENT = Current(ETag(b'"now"'), MODIFIED)
SAME = format_http_date(MODIFIED)
EARLIER = format_http_date(MODIFIED - 1)
LATER = format_http_date(MODIFIED + 1)


class Evaluate(SynchronousTestCase):
    """Whether a request may proceed."""

    def check(self, outcome: Outcome, **headers: bytes) -> None:
        """The headers have this outcome."""
        self.assertIs(evaluate(Conditions(**headers), CURRENT, NOW), outcome, headers)

    def test_none(self) -> None:
        """Without conditions a request proceeds."""
        self.check(Outcome.PROCEED)

    def test_if_match(self) -> None:
        """F6: If-Match compares strongly, so a weak tag of the same text fails; ``*`` holds."""
        self.check(Outcome.PROCEED, if_match=b'"now"')
        self.check(Outcome.PROCEED, if_match=b'"other", "now"')
        self.check(Outcome.PROCEED, if_match=b"*")
        self.check(Outcome.FAILED, if_match=b'W/"now"')
        self.check(Outcome.FAILED, if_match=b'"other"')
        self.check(Outcome.FAILED, if_match=b"now")

    def test_if_unmodified_since(self) -> None:
        """A file that changed after the date fails; a date that is none is ignored."""
        self.check(Outcome.PROCEED, if_unmodified_since=SAME)
        self.check(Outcome.PROCEED, if_unmodified_since=LATER)
        self.check(Outcome.FAILED, if_unmodified_since=EARLIER)
        self.check(Outcome.PROCEED, if_unmodified_since=b"nonsense")

    def test_if_match_switches_if_unmodified_since_off(self) -> None:
        """With If-Match there, If-Unmodified-Since is not looked at."""
        self.check(Outcome.PROCEED, if_match=b'"now"', if_unmodified_since=EARLIER)

    def test_if_none_match(self) -> None:
        """F5: a match by weak comparison is a 304: one tag, a list, ``*`` or ``W/``."""
        self.check(Outcome.NOT_MODIFIED, if_none_match=b'"now"')
        self.check(Outcome.NOT_MODIFIED, if_none_match=b'W/"now"')
        self.check(Outcome.NOT_MODIFIED, if_none_match=b'"a", W/"now"')
        self.check(Outcome.NOT_MODIFIED, if_none_match=b"*")
        self.check(Outcome.PROCEED, if_none_match=b'"other"')
        self.check(Outcome.PROCEED, if_none_match=b"now")

    def test_if_none_match_switches_if_modified_since_off(self) -> None:
        """F5: a tag decides in both directions, whatever the date says."""
        self.check(Outcome.NOT_MODIFIED, if_none_match=b'"now"', if_modified_since=EARLIER)
        self.check(Outcome.PROCEED, if_none_match=b'"other"', if_modified_since=LATER)
        self.check(Outcome.PROCEED, if_none_match=b"malformed", if_modified_since=LATER)

    def test_if_modified_since(self) -> None:
        """F7: a date from the last modification on is a 304, in each of the three forms."""
        self.check(Outcome.NOT_MODIFIED, if_modified_since=SAME)
        self.check(Outcome.NOT_MODIFIED, if_modified_since=LATER)
        self.check(Outcome.PROCEED, if_modified_since=EARLIER)
        self.check(Outcome.PROCEED, if_modified_since=b"nonsense")
        self.check(Outcome.NOT_MODIFIED, if_modified_since=b"Sunday, 06-Nov-94 08:49:37 GMT")
        self.check(Outcome.NOT_MODIFIED, if_modified_since=b"Sun Nov  6 08:49:37 1994")

    def test_failure_comes_first(self) -> None:
        """A condition that fails is a 412 even where another would make it a 304."""
        self.check(Outcome.FAILED, if_match=b'"other"', if_none_match=b'"now"')
        self.check(Outcome.FAILED, if_unmodified_since=EARLIER, if_none_match=b'"now"')


class RangeApplies(SynchronousTestCase):
    """F4: when a range may be taken from the file as it is now."""

    def check(self, applies: bool, if_range: bytes | None, now: float = NOW) -> None:
        """The header lets a range count, or not."""
        self.assertIs(range_applies(Conditions(if_range=if_range), CURRENT, now), applies, if_range)

    def test_tag(self) -> None:
        """F4: the same strong tag only; a weak one or a stale one asks for the whole file."""
        self.check(True, None)
        self.check(True, b'"now"')
        self.check(False, b'W/"now"')
        self.check(False, b'"old"')
        self.check(False, b'"old", "now"')
        self.check(False, b"*")

    def test_date(self) -> None:
        """F4: exactly the same date; earlier and later ones ask for the whole file."""
        self.check(True, SAME)
        self.check(False, EARLIER)
        self.check(False, LATER)
        self.check(False, b"nonsense")

    def test_date_of_the_running_second(self) -> None:
        """A date is no proof while its second runs, as the file may change again in it."""
        self.check(False, SAME, now=MODIFIED + 0.5)
        self.check(True, SAME, now=MODIFIED + 1.0)


OPAQUE = st.lists(
    st.sampled_from([*range(0x21, 0x22), *range(0x23, 0x7F), *range(0x80, 0x100)]), max_size=12
).map(lambda codes: b'"' + bytes(codes) + b'"')
TAGS = st.builds(ETag, OPAQUE, st.booleans())


class ParseETags(SynchronousTestCase):
    """What stands in If-Match and If-None-Match."""

    def test_lists(self) -> None:
        """Commas inside a tag belong to it; blanks and empty members do not matter."""
        self.assertEqual(
            parse_etags(b' , "a,b" ,, W/"c"\t,"",'),
            (ETag(b'"a,b"'), ETag(b'"c"', weak=True), ETag(b'""')),
        )
        self.assertEqual(parse_etags(b" * "), AnyTag())

    def test_not_of_the_grammar(self) -> None:
        """A list with one bad member is no list at all."""
        for value in (
            b"",
            b",",
            b"abc",
            b'"a',
            b'w/"a"',
            b'"a" "b"',
            b'"a",b',
            b'*, "a"',
            b'"a\x00"',
        ):
            self.assertIsNone(parse_etags(value), value)

    @given(st.lists(TAGS, min_size=1, max_size=5))
    def test_round_trip(self, tags: list[ETag]) -> None:
        """Any list of tags is read as it was written."""
        self.assertEqual(parse_etags(b", ".join(map(bytes, tags))), tuple(tags))

    @given(st.binary(max_size=30))
    def test_any_bytes(self, value: bytes) -> None:
        """Nothing makes the parser fail."""
        parse_etags(value)

    def test_one_tag(self) -> None:
        """If-Range takes exactly one tag."""
        self.assertEqual(parse_etag(b'W/"x"'), ETag(b'"x"', weak=True))
        for value in (b'"a", "b"', b"*", b"a", b""):
            self.assertIsNone(parse_etag(value), value)


class Comparison(SynchronousTestCase):
    """The table of RFC 9110, section 8.8.3.2."""

    def test_table(self) -> None:
        """Strong comparison needs two strong tags; weak comparison looks at the text alone."""
        weak1, weak2 = ETag(b'"1"', weak=True), ETag(b'"2"', weak=True)
        strong1 = ETag(b'"1"')
        for one, other, strongly, weakly in (
            (weak1, weak1, False, True),
            (weak1, weak2, False, False),
            (weak1, strong1, False, True),
            (strong1, strong1, True, True),
        ):
            self.assertIs(one.matches_strongly(other), strongly)
            self.assertIs(one.matches_weakly(other), weakly)


class TagOf(SynchronousTestCase):
    """Tags of files."""

    def test_strong_and_distinct(self) -> None:
        """Size, time, inode and coding each make another tag, and none is weak."""
        tags = [
            *(tag_of(1, 2, 3), tag_of(2, 2, 3), tag_of(1, 3, 3), tag_of(1, 2, 4)),
            *(tag_of(1, 2, 3, "br"), tag_of(1, 2, 3, "gzip"), tag_of(12, 3, 3)),
        ]
        self.assertEqual(len(set(tags)), len(tags))
        self.assertFalse(any(tag.weak for tag in tags))
        self.assertEqual([parse_etag(bytes(tag)) for tag in tags], tags)

    def test_tells_nothing(self) -> None:
        """An inode number cannot be read off a tag."""
        self.assertNotIn(b"987654321", bytes(tag_of(1, 2, 987654321)))
