"""Names, their prefixes, and rules."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.topic import Topic
from takotwist.errors import BodyInvalid
from takotwist.facades.pusher.names import Name, Names, Rule

_WORD = st.text("abcXYZ019-_=@,.;", min_size=1, max_size=12)


class NameTests(SynchronousTestCase):
    """What a prefix says."""

    def test_prefixes(self) -> None:
        private = Name.of("private-x")
        self.assertTrue(private.private and private.signed and private.takes_client_events)
        presence = Name.of("presence-x")
        self.assertTrue(presence.presence and presence.signed and presence.takes_client_events)
        encrypted = Name.of("private-encrypted-x")
        self.assertTrue(encrypted.signed and not encrypted.takes_client_events)
        for cached in ("", "private-", "presence-", "private-encrypted-"):
            self.assertTrue(Name.of(f"{cached}cache-x").cache)
        self.assertFalse(Name.of("privatex").signed)
        self.assertEqual(Name.of("#server-to-user-7 é").user, "7 é")

    def test_bad(self) -> None:
        bad = ("", "a b", "a/b", "#x", "a:b", "é", "x" * 201, "a\n", "#server-to-user-", None, 7)
        for text in bad:
            self.assertRaises(BodyInvalid, Name.of, text)


class RuleTests(SynchronousTestCase):
    """Names of channels of the app's."""

    def test_place(self) -> None:
        rules = (Rule("private-{rest}", "any"), Rule("private-chat-{roomId}", "chat"))
        names = Names.of("main", rules)
        self.assertEqual(names.place("private-chat-1")[:2], ("chat", {"roomId": "1"}))
        self.assertEqual(names.place("private-x")[:2], ("any", {"rest": "x"}))
        channel, params, rule = names.place("news")
        self.assertEqual((channel, params), ("pusher", {"app": "main", "name": "news"}))
        self.assertIs(rule, None)

    @given(_WORD, _WORD)
    def test_one_name_of_a_topic(self, first: str, second: str) -> None:
        names = Names.of("main", [Rule("a-{x}.to.{y}", "pair")])
        name = f"a-{first}.to.{second}"
        channel, params, _ = names.place(name)
        self.assertEqual(names.name_of(Topic.of(channel, dict(params))), name)

    def test_bad(self) -> None:
        for pattern in ("a {x}", "{x}{y}", "{x}-{x}", "{", "a-{b c}"):
            self.assertRaises(ValueError, Rule, pattern, "chat")
        self.assertRaises(ValueError, Names.of, "main", [Rule("a-{x}", "c"), Rule("b-{x}", "c")])
