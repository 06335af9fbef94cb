"""Values that JSON cannot carry, with the place where they stand."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.codecs.plain_json import MAX_DEPTH, failed_in, fault_in, is_text

HALF = "\ud800"


def nested(levels: int) -> Any:
    """Lists in lists."""
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


class Odd:
    """Nothing that an encoder knows."""


def refuse_odd(value: Any) -> None:
    """An encoder that has its own reason."""
    if isinstance(value, Odd):
        raise TypeError("Odd is not serializable")


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats()
    | st.text(st.characters(), max_size=5)
    | st.sampled_from([HALF, b"x", {1}]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=10,
)


class FaultTests(SynchronousTestCase):
    """`fault_in`: before anything is encoded."""

    def test_arrives(self) -> None:
        """What JSON has a form for is no fault, text of any script included."""
        for value in (
            None,
            True,
            0,
            -1.5,
            "",
            "\u2028 \U0001f419",
            [],
            {},
            {"a": [1, {"b": None}]},
        ):
            self.assertIsNone(fault_in(value, "data"), value)

    def test_place(self) -> None:
        """The sentence names keys and indices down to the value."""
        for value, sentence in (
            (math.nan, "data: NaN and Infinity have no JSON form"),
            ({"a": [0, math.inf]}, "data.a[1]: NaN and Infinity have no JSON form"),
            ([{"b": {1}}], "data[0].b: JSON has no form for set"),
            ({"x": b"y"}, "data.x: JSON has no form for bytes"),
            ((1, HALF), "data[1]: half of a surrogate pair is no text"),
            ({"a": {HALF: 1}}, f"data.a: the key {HALF!r} is no text"),
        ):
            self.assertEqual(fault_in(value, "data"), sentence)

    def test_first(self) -> None:
        """Of several faults the first is named."""
        self.assertEqual(
            fault_in([1, b"x", math.nan], "args"), "args[1]: JSON has no form for bytes"
        )

    def test_depth(self) -> None:
        """The deepest value that is taken is at the limit, and one that holds itself is past it."""
        self.assertIsNone(fault_in(nested(MAX_DEPTH), "data"))
        for value in (nested(MAX_DEPTH + 1), {"a": nested(MAX_DEPTH)}):
            self.assertIn("nested deeper than 200 levels", fault_in(value, "data") or "")
        loop: dict[str, Any] = {}
        loop["again"] = loop
        self.assertIn("or holds itself", fault_in(loop, "data") or "")

    def test_long_place(self) -> None:
        """A place is cut, so that a sentence does not repeat what a client sent without end."""
        said = fault_in({"k" * 5000: math.nan}, "data") or ""
        place, _, reason = said.partition(": ")
        self.assertEqual((len(place), place[-3:]), (len("data") + 100, "..."))
        self.assertEqual(reason, "NaN and Infinity have no JSON form")

    def test_typed_values(self) -> None:
        """What is of a type of its own is not looked into."""

        class Point(msgspec.Struct):
            raw: bytes

        self.assertIsNone(fault_in(Point(b"x"), "data"))

    @given(VALUES)
    def test_what_is_given_arrives(self, value: Any) -> None:
        """Where there is no fault, the value comes back from JSON equal; where there is one, it
        would not."""
        if fault_in(value, "data") is None:
            self.assertEqual(json.loads(msgspec.json.encode(value)), value)
        else:
            with self.assertRaises((TypeError, ValueError, AssertionError)):
                text = json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
                self.assertEqual(json.loads(text), value)


class FailedTests(SynchronousTestCase):
    """`failed_in`: an encoder has failed, and its parts are asked where."""

    def test_of_a_part(self) -> None:
        """The part that the encoder refuses is found, with the encoder's own reason."""
        error = TypeError("somewhere")
        said = failed_in({"a": [1, Odd()]}, "data", refuse_odd, error)
        self.assertEqual(said, "data.a[1]: Odd is not serializable")

    def test_of_the_whole(self) -> None:
        """Where no part is at fault the failure itself is told, by its name where it says none."""
        self.assertEqual(failed_in([1], "data", refuse_odd, ValueError("why")), "data: why")
        self.assertEqual(failed_in([1], "data", refuse_odd, OverflowError()), "data: OverflowError")

    def test_no_quoting(self) -> None:
        """Errors whose own text holds the value, or none, get a sentence of ours."""
        for error, sentence in (
            (UnicodeEncodeError("utf-8", "secret" + HALF, 6, 7, "x"), "half of a surrogate pair"),
            (RecursionError("maximum recursion depth exceeded"), "nested deeper than"),
        ):
            said = failed_in(1, "data", refuse_odd, error)
            self.assertIn(sentence, said)
            self.assertNotIn("secret", said)


class TextTests(SynchronousTestCase):
    """`is_text`."""

    @given(st.text(st.characters(exclude_categories=()), max_size=8))
    def test_by_the_encoder(self, text: str) -> None:
        """It is what UTF-8 has a form for."""
        try:
            text.encode()
            wanted = True
        except UnicodeEncodeError:
            wanted = False
        self.assertEqual(is_text(text), wanted)
