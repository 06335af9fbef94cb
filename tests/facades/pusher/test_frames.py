"""What is triggered as a string comes out as the same string, and stands as a value between."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.errors import BodyInvalid
from takotwist.facades.pusher.frames import HARMLESS, event_frame, shown, stored, stored_value

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


class DataTests(SynchronousTestCase):
    """Between the log and a client of Pusher's."""

    @given(st.text())
    def test_any_string(self, text: str) -> None:
        """A string that is triggered."""
        if "\n" not in text and "\r" not in text:
            self.assertEqual(shown(stored(text)), text)

    @given(_JSON)
    def test_any_json(self, value: object) -> None:
        """JSON as a library prints it."""
        text = json.dumps(value)
        self.assertEqual(shown(stored(text)), text)

    @given(_JSON)
    def test_of_ours(self, value: object) -> None:
        """A value that one of ours has published is what a client reads: JSON, or else text."""
        given = shown(json.dumps(value).encode())
        try:
            read = json.loads(given)
        except ValueError:
            read = given
        self.assertEqual(read, value)

    def test_object(self) -> None:
        """Our clients read an object and no string of one."""
        self.assertEqual(stored('{"a": 1}'), b'{"a": 1}')
        self.assertEqual(stored("hi"), b'"hi"')
        self.assertEqual(stored_value(b'{"a":1}'), b'{"a":1}')
        self.assertEqual(stored_value(b'"hi"'), b'"hi"')
        self.assertEqual(stored_value(b""), b"null")

    def test_too_deep(self) -> None:
        """What is deeper than the log takes goes as a string, and comes out the same."""
        for depth in (200, 2000):
            text = "[" * depth + "]" * depth
            self.assertEqual(shown(stored(text)), text)
        self.assertRaises(BodyInvalid, stored_value, b"[" * 2000 + b"]" * 2000)

    def test_reserved(self) -> None:
        """Nobody but the server says what only the server may say."""
        for event in ("pusher:error", "pusher_internal:member_added"):
            self.assertEqual(event_frame("private-x", event, b"{}"), HARMLESS)
