"""Credentials of a request, and the cache of queries that were found valid."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.channel import ChannelDefinition, Credentials
from takotwist.core.params import Params
from takotwist.core.topic import Topic
from takotwist.flow import topic_request
from takotwist.flow.topic_request import QueryCache, RequestCredentials, TopicRequest


def presented(header: str | None = None, cookie: str | None = None) -> RequestCredentials:
    """Credentials as a request has them."""
    return RequestCredentials(
        lambda name: header if name == "authorization" else None,
        lambda name: cookie if name == "session" else None,
    )


def chat() -> ChannelDefinition:
    """The channel of the queries; another one at each call."""
    return ChannelDefinition(name="chat", params=Params.none())


class RequestCredentialsTests(SynchronousTestCase):
    """Credentials, kept apart from their request."""

    def test_kept(self) -> None:
        """A connection keeps what its channel names, and nothing of the request."""
        asked: list[str] = []

        def header(name: str) -> str | None:
            asked.append(name)
            return "Bearer x"

        definition = ChannelDefinition(
            name="c", verified=True, credentials=Credentials(header_name="authorization")
        )
        kept = RequestCredentials(header, lambda name: None).kept_for(definition)
        self.assertEqual((kept.header("authorization"), asked), ("Bearer x", ["authorization"]))
        self.assertEqual(asked, ["authorization"])

    def test_a_frame_wins(self) -> None:
        """Credentials of a frame stand for the header; the cookie stays."""
        mixed = presented("Bearer old", "y").or_text("Bearer new")
        self.assertEqual(mixed.header("authorization"), "Bearer new")
        self.assertEqual(mixed.cookie("session"), "y")
        self.assertNotIn("new", repr(mixed))


class QueryCacheTests(SynchronousTestCase):
    """What was valid once need not be validated again."""

    def setUp(self) -> None:
        self.cache = QueryCache()
        self.definition = chat()

    def _remember(self, query: dict[str, list[str]]) -> Any:
        key = self.cache.key(self.definition, query)
        assert key is not None
        asked = TopicRequest(self.definition, {}, Topic.of("chat", {}))
        self.cache.remember(key, asked)
        return asked

    def _find(self, query: dict[str, list[str]]) -> Any:
        key = self.cache.key(self.definition, query)
        assert key is not None
        return self.cache.find(self.definition, key)

    def test_known(self) -> None:
        """The same query is known, another one is not."""
        asked = self._remember({"room": ["a"], "x": [""]})
        self.assertIs(self._find({"room": ["a"], "x": [""]}), asked)
        self.assertIsNone(self._find({"room": ["a"]}))
        self.assertIsNone(self._find({"room": ["a"], "x": ["b"]}))

    def test_another_definition(self) -> None:
        """A definition that was read anew knows nothing of what the old one found valid."""
        self._remember({"room": ["a"]})
        self.definition = chat()
        self.assertIsNone(self._find({"room": ["a"]}))

    def test_not_remembered(self) -> None:
        """Long queries, those of many fields and those with repeated ones are not remembered."""
        for query in (
            {"room": ["a" * 300]},
            {"room": ["a", "b"]},
            {str(number): ["a"] for number in range(9)},
        ):
            self.assertIsNone(self.cache.key(self.definition, query))

    def test_bounded(self) -> None:
        """The oldest is forgotten first, and all of them when definitions are read again."""
        self.patch(topic_request, "MAX_QUERIES", 3)
        for number in range(5):
            self._remember({"room": [str(number)]})
        self.assertEqual(len(self.cache), 3)
        self.assertIsNone(self._find({"room": ["1"]}))
        self.assertIsNotNone(self._find({"room": ["4"]}))
        self.cache.forget()
        self.assertEqual(len(self.cache), 0)
