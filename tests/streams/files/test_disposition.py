"""Content-Disposition by RFC 6266."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.files.disposition import content_disposition

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
