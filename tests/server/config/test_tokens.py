"""``[tokens]``: what signed tokens decide about."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.server.config.tokens import Tokens

NAMES = st.sampled_from(("chat", "news", "a"))


class TokensTests(SynchronousTestCase):
    """`Tokens`."""

    def test_nothing(self) -> None:
        """Keys alone decide about nothing."""
        tokens = Tokens(secrets=("s" * 32,))
        self.assertFalse(tokens.wanted)
        self.assertFalse(tokens.decides("chat") or tokens.decides_call("onChat"))

    def test_channels_and_functions_apart(self) -> None:
        """A channel's name is no function's, also where one says all of them."""
        self.assertFalse(Tokens(channels=("*",)).decides_call("chat"))
        self.assertFalse(Tokens(functions=("*",)).decides("chat"))

    @given(st.sets(NAMES), NAMES)
    def test_named(self, said: set[str], asked: str) -> None:
        """Those that are named, and all of them by a star."""
        tokens = Tokens(channels=tuple(said), functions=tuple(said))
        self.assertEqual(tokens.decides(asked), asked in said)
        self.assertEqual(tokens.decides_call(asked), asked in said)
        self.assertEqual(tokens.wanted, bool(said))
        self.assertTrue(Tokens(channels=(*said, "*")).decides(asked))

    def test_secrets_are_not_shown(self) -> None:
        """No text of the section has a secret."""
        self.assertNotIn("geheim", repr(Tokens(secrets=("geheim" * 6,))))
