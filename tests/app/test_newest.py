"""`Newest`: how a channel says what its keys are."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from takotwist import Newest, define_channel
from takotwist.codecs.registry_json import read_registry, write_registry
from takotwist.core.channel import NewestRules
from takotwist.errors import DefinitionError


class Price(msgspec.Struct, rename="camel"):
    ticker_symbol: str
    price: float


class Gone(msgspec.Struct):
    tickerSymbol: str


def rules(said: Any, **more: Any) -> NewestRules | None:
    return define_channel("prices", newest=said, **more).definition.newest


class TestNewest(SynchronousTestCase):
    def test_said(self) -> None:
        """In short and at length."""
        self.assertIsNone(rules(None))
        self.assertIsNone(rules(False))
        self.assertEqual(rules(True), NewestRules())
        self.assertEqual(rules("symbol"), NewestRules(key="symbol"))
        self.assertEqual(rules(Newest(max_keys=5)), NewestRules(max_keys=5))

    def test_name_on_the_wire(self) -> None:
        """The field is named in Python; its data is read on the wire."""
        expected = NewestRules(key="tickerSymbol")
        self.assertEqual(rules("ticker_symbol", messages={"price": Price}), expected)
        self.assertEqual(rules("tickerSymbol", messages={"price": Price, "gone": Gone}), expected)

    def test_refused(self) -> None:
        """What cannot be is found when the module is read, and named."""
        for said, messages, word in [
            (5, {}, "newest must be"),
            (Newest(key=""), {}, "newest: key"),
            (Newest(max_keys=0), {}, "newest: max_keys"),
            ("symbol", {"price": Price}, "'price' has no field 'symbol'"),
            ("ticker_symbol", {"price": Price, "gone": Gone}, "several names"),
        ]:
            with self.assertRaises(DefinitionError) as caught:
                rules(said, messages=messages)
            self.assertIn(word, caught.exception.reason)

    def test_declared_later(self) -> None:
        """A message that is declared one by one has the field too."""
        channel = define_channel("prices", newest="tickerSymbol", messages={"price": Price})
        with self.assertRaises(DefinitionError):
            channel.message("note", User)
        self.assertEqual(channel.message("gone", Gone).definition.newest, rules("tickerSymbol"))

    def test_registry(self) -> None:
        """An app elsewhere says the same."""
        for said in (None, True, Newest(key="symbol", max_keys=7, conflate=True)):
            definition = define_channel("prices", newest=said).definition
            [read] = read_registry(write_registry([definition]))
            self.assertEqual(read.newest, definition.newest)


class User(msgspec.Struct):
    name: str
