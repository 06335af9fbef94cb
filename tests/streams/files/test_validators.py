"""Entity tags: grammar, comparison, making."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.files.validators import AnyTag, ETag, parse_etag, parse_etags, tag_of

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
