"""Values are read, or refused in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.server.config.kind import (
    Choice,
    Flag,
    Kind,
    Listed,
    Location,
    Number,
    Table,
    Text,
    Unfit,
    Whole,
)
from takotwist.server.config.reference import toml_value

HERE = Path("/folder")


def _refusal(case: SynchronousTestCase, kind: Kind, value: Any) -> str:
    return " | ".join(case.assertRaises(Unfit, kind.read, value, HERE).sentences())


class KindTests(SynchronousTestCase):
    """What fits each kind, and what a misfit is told."""

    def test_whole_number_bounds(self) -> None:
        """The least and the most fit; what is beyond, and what is no whole number, does not."""
        kind = Whole(1, 10)
        self.assertEqual([kind.read(1, HERE), kind.read(10, HERE)], [1, 10])
        for bad in (0, 11, 1.0, "5", True, None):
            self.assertIn("must be a whole number from 1 to 10", _refusal(self, kind, bad))

    def test_number_takes_no_nan_and_no_infinity(self) -> None:
        """A limit that compares with nothing would be no limit."""
        for bad in (float("nan"), float("inf"), -0.1, "1", False):
            self.assertIn("must be a number from 0 to 5", _refusal(self, Number(0, 5), bad))
        self.assertEqual(Number(0, 5).read(5, HERE), 5.0)

    def test_flag_words_in_the_environment(self) -> None:
        """Yes and no have the spellings that people use."""
        kind = Flag()
        for text in ("true", "YES", "on", "1"):
            self.assertIs(kind.read(kind.from_text(text), HERE), True)
        for text in ("false", "No", "off", "0"):
            self.assertIs(kind.read(kind.from_text(text), HERE), False)
        self.assertIn("must be true or false, not 'maybe'", _refusal(self, kind, "maybe"))

    def test_choice_names_what_is_allowed(self) -> None:
        """A word that is none of the choices is told them all."""
        self.assertEqual(
            _refusal(self, Choice(("text", "json")), "xml"),
            'must be "text" or "json", not \'xml\'',
        )

    def test_location_is_relative_to_its_folder(self) -> None:
        """A relative path is one in the folder of whoever said it; an absolute one stays."""
        self.assertEqual(Location().read("a/b", HERE), Path("/folder/a/b"))
        self.assertEqual(Location().read("/a", HERE), Path("/a"))
        self.assertIn("must be a path", _refusal(self, Location(), ""))

    def test_list_tells_every_bad_item(self) -> None:
        """Two misfits in one list are two sentences, each with its place."""
        error = self.assertRaises(Unfit, Listed(Whole(0, 9)).read, [1, "x", 3, 99], HERE)
        self.assertEqual(
            error.sentences(),
            [
                "item 2 must be a whole number from 0 to 9, not 'x'",
                "item 4 must be a whole number from 0 to 9, not 99",
            ],
        )

    def test_list_as_text(self) -> None:
        """In the environment a list has commas, or is a JSON array."""
        kind = Listed(Text())
        self.assertEqual(kind.from_text("a, b,,c "), ["a", "b", "c"])
        self.assertEqual(kind.from_text('["a,b"]'), ["a,b"])
        self.assertIn("must be a list", _refusal(self, kind, kind.from_text('["a"')))

    def test_list_that_must_not_be_empty(self) -> None:
        """A list of which one is needed refuses to have none."""
        self.assertIn("at least 1", _refusal(self, Listed(Text(), least=1), []))

    def test_secret_is_not_repeated(self) -> None:
        """The error of a secret says what is needed and not what was given."""
        error = self.assertRaises(Unfit, Text("x+").read, "hunter2", HERE)
        self.assertNotIn("hunter2", " ".join(error.sentences(secret=True)))

    def test_table(self) -> None:
        """A table is a table."""
        self.assertEqual(Table().read({"a": 1}, HERE), {"a": 1})
        self.assertIn("must be a table", _refusal(self, Table(), []))

    @given(st.integers(-(2**60), 2**60))
    def test_text_of_a_number_is_the_number(self, number: int) -> None:
        """What the environment says of a whole number is what the file would say."""
        self.assertEqual(Whole().from_text(str(number)), number)

    @given(st.lists(st.text("abc:/=. ", min_size=1).map(str.strip).filter(bool)))
    def test_list_text_comes_back(self, items: list[str]) -> None:
        """A list of plain words survives the environment."""
        self.assertEqual(Listed(Text()).from_text(",".join(items)), items)

    def test_toml_of_every_kind_of_value(self) -> None:
        """Values are shown as the file would have them."""
        self.assertEqual(toml_value(True), "true")
        self.assertEqual(toml_value((1, 'a"b')), '[1, "a\\"b"]')
        self.assertEqual(toml_value({"a": 0.5}), "{ a = 0.5 }")
