"""The key of a message in a channel that keeps the newest of each."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.channel import NewestRules
from takotwist.core.newest import MAX_KEY_LENGTH, keys_of
from takotwist.core.topic import Draft, spelled
from takotwist.errors import BodyInvalid, DefinitionError

SYMBOL = NewestRules(key="symbol")


def draft(data: object, **more: object) -> Draft:
    return msgspec.structs.replace(Draft("price", msgspec.json.encode(data)), **more)


class TestKeysOf(SynchronousTestCase):
    def test_of_the_field(self) -> None:
        """The field's value as params spell it: 10 and 10.0 are one number, so one key."""
        for value, key in [("ACME", "ACME"), (10, "10"), (10.0, "10"), (True, "true")]:
            self.assertEqual(keys_of(SYMBOL, [draft({"symbol": value, "x": {}})]), (key,))
        self.assertEqual(keys_of(SYMBOL, [draft({"symbol": None})]), ("null",))

    def test_said(self) -> None:
        """What the publisher says wins, also where the data has no such field."""
        self.assertEqual(keys_of(SYMBOL, [draft({"symbol": "A"}, key="B")]), ("B",))
        self.assertEqual(keys_of(SYMBOL, [draft([1], key="B", delete=True)]), ("B",))

    def test_one_for_all(self) -> None:
        """Where neither says anything, all messages have one key, and it is nobody else's."""
        self.assertEqual(keys_of(NewestRules(), [draft({"symbol": "A"}), draft(1)]), ("", ""))
        with self.assertRaises(BodyInvalid):
            keys_of(NewestRules(), [draft(1, key="")])

    def test_refused(self) -> None:
        """A key that cannot be is named."""
        for data, word in [
            ({}, "data.symbol: is missing"),
            ([], "data.symbol: is missing"),
            ({"symbol": {}}, "data.symbol: a key must be"),
            ({"symbol": ""}, "key: must have 1"),
            ({"symbol": "x" * (MAX_KEY_LENGTH + 1)}, "key: must have 1"),
        ]:
            with self.assertRaises(BodyInvalid) as caught:
                keys_of(SYMBOL, [draft(data)])
            self.assertIn(word, caught.exception.sentence)

    @given(st.one_of(st.text(min_size=1, max_size=MAX_KEY_LENGTH), st.integers(-(2**53), 2**53)))
    def test_any_value(self, value: str | int) -> None:
        """Whatever else is in the data, equal values and no others have equal keys."""
        [key] = keys_of(SYMBOL, [draft({"a": [1], "symbol": value, "b": "symbol"})])
        self.assertEqual(key, spelled(value))


class TestRules(SynchronousTestCase):
    def test_bounds(self) -> None:
        """A number of keys that cannot be is named."""
        for most in (0, -1, 1_000_001, True, 1.5):
            with self.assertRaises(DefinitionError) as caught:
                NewestRules(max_keys=most)  # type: ignore[arg-type]
            self.assertIn("max_keys", caught.exception.reason)
