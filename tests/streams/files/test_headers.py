"""HTTP dates: three forms in, one out.

Content-Disposition by RFC 6266.

Content types by name.

Accept-Encoding against what is there.
"""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.files.headers import (
    IDENTITY,
    content_disposition,
    format_http_date,
    media_type_of,
    parse_http_date,
    rank,
    weights,
)

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


SAFE = re.compile(
    rb"""inline(; filename="[ !#-$&'()+,\-.0-9;=@A-Z\[\]^_`a-z{}~]*\""""
    rb"""(; filename\*=UTF-8''[!#-.0-9A-Z^_`a-z|~%]+)?)?"""
)


class ContentDisposition(SynchronousTestCase):
    """F14: names that are safe in a header."""

    def test_plain(self) -> None:
        """A plain name stands once."""
        self.assertEqual(
            content_disposition("attachment", "report 1.pdf"),
            b'attachment; filename="report 1.pdf"',
        )

    def test_no_name(self) -> None:
        """Without a name only the kind is sent."""
        for name in (None, "", "...", "/", "\r\n"):
            self.assertEqual(content_disposition("inline", name), b"inline", name)

    def test_beyond_ascii(self) -> None:
        """F14: a name beyond ASCII is sent in both forms, the plain one reduced."""
        self.assertEqual(
            content_disposition("attachment", "Übersicht €.pdf"),
            b'attachment; filename="Ubersicht _.pdf"; '
            b"filename*=UTF-8''%C3%9Cbersicht%20%E2%82%AC.pdf",
        )

    def test_quotes_and_line_ends(self) -> None:
        """F14: quotes, backslashes, percent signs and line ends cannot leave the name."""
        value = content_disposition("attachment", 'a"b\r\nSet-Cookie: x=1; y\\c%41.txt')
        self.assertEqual(value, b"attachment; filename=\"c_41.txt\"; filename*=UTF-8''c%2541.txt")
        self.assertEqual(
            content_disposition("inline", 'a"b.txt'),
            b"inline; filename=\"a_b.txt\"; filename*=UTF-8''a%22b.txt",
        )

    def test_folders_are_taken_off(self) -> None:
        """Nobody is told to save into another folder."""
        for name in ("../../etc/passwd", "C:\\temp\\passwd", "/etc/passwd", "..passwd"):
            self.assertEqual(content_disposition("inline", name), b'inline; filename="passwd"')

    @given(st.text(max_size=30))
    def test_any_text(self, name: str) -> None:
        """F14: whatever the name, the header is one line of its own grammar."""
        self.assertIsNotNone(SAFE.fullmatch(content_disposition("inline", name)), name)

    def test_undecodable_name(self) -> None:
        """A file system name that is no UTF-8 is sent without what cannot be."""
        self.assertEqual(
            content_disposition("inline", b"a\xff.txt".decode("utf-8", "surrogateescape")),
            b"inline; filename=\"a_.txt\"; filename*=UTF-8''a%3F.txt",
        )


class MediaTypeOf(SynchronousTestCase):
    """What a name says about the content."""

    def test_types(self) -> None:
        """Text has a charset, everything else none, and the web's newer types are known."""
        for name, expected in (
            *(("a.html", "text/html; charset=utf-8"), ("a.CSS", "text/css; charset=utf-8")),
            *(("a.js", "text/javascript; charset=utf-8"), ("a.json", "application/json")),
            *(("a.mjs", "text/javascript; charset=utf-8"), ("a.svg", "image/svg+xml")),
            *(("a.wasm", "application/wasm"), ("a.webp", "image/webp"), ("a.woff2", "font/woff2")),
            *(("a.mp4", "video/mp4"), ("a.webm", "video/webm"), ("a.m4a", "audio/mp4")),
            *(("a.webmanifest", "application/manifest+json"), ("a.pdf", "application/pdf")),
            *(("x/y.z/readme", "application/octet-stream"), ("a.b-c", "application/octet-stream")),
            *((".html", "application/octet-stream"), ("", "application/octet-stream")),
        ):
            self.assertEqual(media_type_of(name), expected, name)

    def test_compressed_files_are_what_they_are(self) -> None:
        """A downloaded ``.gz`` is an archive, not the text inside of it."""
        self.assertEqual(media_type_of("log.txt.gz"), "application/gzip")
        self.assertEqual(media_type_of("app.js.br"), "application/octet-stream")
        self.assertEqual(media_type_of("x.tar.xz"), "application/x-xz")
        self.assertEqual(media_type_of("x.tar.zst"), "application/zstd")

    def test_names_that_look_like_urls(self) -> None:
        """A file name is never read as a ``data:`` URL."""
        self.assertEqual(media_type_of("data:text/html,x.png"), "image/png")


class Rank(SynchronousTestCase):
    """F8: which coding is sent."""

    def check(self, header: bytes | None, *expected: str) -> None:
        """The codings that may be sent for `header`, best first."""
        self.assertEqual(rank(header, ("br", "gzip")), expected, header)

    def test_servers_order_settles_ties(self) -> None:
        """F8: codings of equal weight come in the server's order."""
        self.check(b"gzip, br", "br", "gzip", IDENTITY)
        self.check(b"gzip, deflate, br, zstd", "br", "gzip", IDENTITY)

    def test_weights_decide(self) -> None:
        """F8: the client's favourite wins over the server's."""
        self.check(b"gzip;q=1, br;q=0.5", "gzip", "br", IDENTITY)
        self.check(b"identity, gzip;q=0.5", IDENTITY, "gzip")
        self.check(b"gzip;q=0.001", "gzip", IDENTITY)

    def test_refused(self) -> None:
        """F8: a weight of zero refuses, however it is written."""
        for zero in (b"0", b"0.", b"0.0", b"0.00", b"0.000"):
            self.check(b"br;q=" + zero + b", gzip", "gzip", IDENTITY)

    def test_star(self) -> None:
        """F8: ``*`` is every coding without a weight of its own, identity included."""
        self.check(b"*", "br", "gzip", IDENTITY)
        self.check(b"br;q=0, *", "gzip", IDENTITY)
        self.check(b"gzip, *;q=0", "gzip")
        self.check(b"*;q=0, identity", IDENTITY)

    def test_nothing_acceptable(self) -> None:
        """A client can refuse everything, and then gets nothing."""
        self.check(b"*;q=0")
        self.check(b"identity;q=0")
        self.check(b"identity;q=0, gzip;q=0")

    def test_absent_and_empty(self) -> None:
        """Without the header, or with an empty one, only the original is sent."""
        self.check(None, IDENTITY)
        self.check(b"", IDENTITY)
        self.check(b"deflate", IDENTITY)

    def test_spelling(self) -> None:
        """Case does not matter, blanks are allowed, and ``x-gzip`` is gzip."""
        self.check(b"BR ; Q=0.1 , X-GZIP", "gzip", "br", IDENTITY)

    def test_malformed_members_count_as_absent(self) -> None:
        """A weight that is none does not switch a coding on."""
        for weight in (b"2", b"0.0001", b"-1", b"", b"x"):
            self.check(b"br;q=" + weight, IDENTITY)
        self.check(b"br;level=9, b r", IDENTITY)
        self.assertEqual(weights(b"br;q=0.5, br"), {"br": 0.5})

    @given(st.binary(max_size=40))
    def test_any_bytes(self, header: bytes) -> None:
        """No header makes it fail, and nothing is offered that is not there."""
        self.assertLessEqual(set(rank(header, ("br",))), {"br", IDENTITY})
