"""Params as all Python clients of ours spell them."""

from __future__ import annotations

import datetime
import uuid

from twisted.trial.unittest import SynchronousTestCase

from takotwist.codecs.query import check_cursor, given, query_of
from takotwist.errors import CursorInvalid, ParamsInvalid


class TestQuery(SynchronousTestCase):
    def test_spelling(self) -> None:
        """Sorted by name, lists as repeated names, JSON's words for truth and numbers."""
        self.assertEqual(
            query_of(
                {
                    "n": [1, 2.5],
                    "on": True,
                    "big": 2**53 + 1,
                    "day": datetime.date(2026, 1, 2),
                    "id": uuid.UUID(int=1),
                    "a": "x y",
                    "deep": {"k": [1]},
                }
            ),
            [
                ("a", "x y"),
                ("big", "9007199254740993"),
                ("day", "2026-01-02"),
                ("deep", '{"k":[1]}'),
                ("id", "00000000-0000-0000-0000-000000000001"),
                ("n", "1"),
                ("n", "2.5"),
                ("on", "true"),
            ],
        )

    def test_none(self) -> None:
        """A param that is None was not given; None in a list has no spelling."""
        self.assertEqual(query_of({"a": None, "b": "null"}), [("b", "null")])
        self.assertEqual(given({"a": None, "b": 1}), {"b": 1})
        wrong = self.assertRaises(ParamsInvalid, query_of, {"b": ["x", None]})
        self.assertIn("'b'[1]", wrong.sentence)

    def test_cursor(self) -> None:
        """A cursor goes into a header, so it is one line of text."""
        for cursor in ("", "1\r\nX: y", "\ud83d", 5):
            self.assertRaises(CursorInvalid, check_cursor, cursor)
        for cursor in (None, "0", "1763700000123456", "of another server: ä"):
            self.assertEqual(check_cursor(cursor), cursor)
