from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.channel import ChannelDefinition
from takotwist.core.params import Params
from takotwist.core.topic import Topic
from takotwist.flow import bindings
from takotwist.flow.authorize import Asked
from takotwist.flow.bindings import Bindings


def _definition() -> ChannelDefinition:
    return ChannelDefinition(name="chat", params=Params.none())


class BindingsTests(SynchronousTestCase):
    """What was valid once need not be validated again."""

    def setUp(self) -> None:
        self.bindings = Bindings()
        self.definition = _definition()

    def _remember(self, query: dict[str, list[str]]) -> Any:
        key = self.bindings.key(self.definition, query)
        assert key is not None
        asked = Asked(self.definition, {}, Topic.of("chat", {}))
        self.bindings.remember(key, asked)
        return asked

    def _find(self, query: dict[str, list[str]]) -> Any:
        key = self.bindings.key(self.definition, query)
        assert key is not None
        return self.bindings.find(self.definition, key)

    def test_known(self) -> None:
        """The same query is known, another one is not."""
        asked = self._remember({"room": ["a"], "x": [""]})
        self.assertIs(self._find({"room": ["a"], "x": [""]}), asked)
        self.assertIsNone(self._find({"room": ["a"]}))
        self.assertIsNone(self._find({"room": ["a"], "x": ["b"]}))

    def test_another_definition(self) -> None:
        """A definition that was read anew knows nothing of what the old one found valid."""
        self._remember({"room": ["a"]})
        self.definition = _definition()
        self.assertIsNone(self._find({"room": ["a"]}))

    def test_not_remembered(self) -> None:
        """Long queries, those of many fields and those with repeated ones are not remembered."""
        for query in (
            {"room": ["a" * 300]},
            {"room": ["a", "b"]},
            {str(number): ["a"] for number in range(9)},
        ):
            self.assertIsNone(self.bindings.key(self.definition, query))

    def test_bounded(self) -> None:
        """The oldest is forgotten first, and all of them when definitions are read again."""
        self.patch(bindings, "MAX_QUERIES", 3)
        for number in range(5):
            self._remember({"room": [str(number)]})
        self.assertEqual(len(self.bindings), 3)
        self.assertIsNone(self._find({"room": ["1"]}))
        self.assertIsNotNone(self._find({"room": ["4"]}))
        self.bindings.forget()
        self.assertEqual(len(self.bindings), 0)
