"""Text becomes a cursor in one place."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.cursor import MAX_ID, parse_cursor
from takotwist.errors import CursorInvalid


class TestParse(SynchronousTestCase):
    """Ids are read, everything else is refused by name."""

    def test_ids(self) -> None:
        """Digits, and numbers of JSON, up to what a double holds."""
        for value in ("0", "1763700000123456", 5, MAX_ID, str(MAX_ID)):
            self.assertEqual(parse_cursor(value), int(value))

    def test_refused(self) -> None:
        """The field is named as the client wrote it."""
        for value in ("", "-1", "+1", " 1", "1.0", "abc", "٣", True, -1, MAX_ID + 1, "9" * 17):
            refusal = self.assertRaises(CursorInvalid, parse_cursor, value, "Last-Event-ID")
            self.assertIn("Last-Event-ID", refusal.sentence)

    @given(st.text(max_size=20))
    def test_anything(self, text: str) -> None:
        """Whatever text comes, it is a number in bounds or refused."""
        with contextlib.suppress(CursorInvalid):
            self.assertTrue(0 <= parse_cursor(text) <= MAX_ID)
