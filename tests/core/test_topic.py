"""A topic is one channel with one binding of its params.

Text becomes a cursor in one place.
"""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.topic import MAX_ID, Topic, parse_cursor
from takotwist.errors import CursorInvalid

VALUES = st.one_of(st.text(), st.integers(), st.booleans(), st.none())


class TestTopic(SynchronousTestCase):
    """Equal bindings are equal topics, others are not."""

    def test_printed(self) -> None:
        """The key is what the protocol prints."""
        self.assertEqual(Topic.of("chat", {"roomId": "lobby"}).key, "chat?roomId=lobby")
        self.assertEqual(Topic.of("chat", {}).key, "chat")
        self.assertEqual(str(Topic.of("a", {"b": "c d&e"})), "a?b=c+d%26e")

    def test_order_does_not_matter(self) -> None:
        """The order of params is no part of a topic."""
        self.assertEqual(Topic.of("c", {"a": 1, "b": 2}), Topic.of("c", {"b": 2, "a": 1}))
        self.assertEqual(hash(Topic.of("c", {"a": 1})), hash(Topic.of("c", {"a": 1})))

    def test_spelled_as_json_spells(self) -> None:
        """Booleans and null are printed as JSON prints them."""
        self.assertEqual(Topic.of("c", {"a": True, "b": None}).key, "c?a=true&b=null")

    def test_not_a_text(self) -> None:
        """A topic is not equal to its own key."""
        self.assertNotEqual(Topic.of("c", {}), "c")

    @given(
        st.dictionaries(st.text(min_size=1), st.text(), max_size=3),
        st.dictionaries(st.text(min_size=1), st.text(), max_size=3),
    )
    def test_different_texts_are_different_topics(
        self, one: dict[str, Any], other: dict[str, Any]
    ) -> None:
        """No two bindings of texts share a key, whatever characters they hold."""
        self.assertEqual(Topic.of("c", one) == Topic.of("c", other), one == other)


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
