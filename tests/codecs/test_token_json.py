"""The payload of a token."""

from __future__ import annotations

import json
from typing import Any, get_args

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.codecs.token_json import MAX_ENTRIES, read_claims, write_claims
from takotwist.core.authorization import LATEST_EXPIRY, Operation
from takotwist.core.token import READING, Claims, Permission
from takotwist.errors import VerifyRejected

_times = st.floats(0, LATEST_EXPIRY) | st.integers(0, LATEST_EXPIRY)
_values = st.text() | st.integers(-(2**53), 2**53) | st.booleans()
_permissions = st.builds(
    Permission,
    st.sampled_from(["channel", "function"]),
    st.text(),
    st.dictionaries(st.text(), st.lists(_values).map(tuple), max_size=3),
    st.frozensets(st.sampled_from(get_args(Operation))),
)
_claims = st.builds(
    Claims,
    st.none() | st.text(),
    _times,
    st.none() | _times,
    st.none() | _times,
    st.none() | st.text(),
    st.lists(st.text()).map(tuple),
    st.lists(_permissions, max_size=4).map(tuple),
)


class TokenJsonTests(SynchronousTestCase):
    """Reading and writing."""

    def read(self, **said: Any) -> Claims:
        """A payload with these claims, and an end."""
        return read_claims(json.dumps({"exp": 1, **said}).encode(), "channels")

    @given(_claims)
    def test_round_trip(self, claims: Claims) -> None:
        """What is written is read as it was."""
        self.assertEqual(read_claims(write_claims(claims, "x"), "x"), claims)

    def test_entries(self) -> None:
        """An entry names a channel or a function, and leaves out what it need not say."""
        claims = self.read(
            channels=[
                {"channel": "chat", "params": {"roomId": "a", "n": [1, 2]}},
                {"function": "f", "operations": ["call", "publish"]},
            ]
        )
        self.assertEqual(
            claims.permissions,
            (
                Permission("channel", "chat", {"roomId": ("a",), "n": (1, 2)}, READING),
                Permission("function", "f", {}, frozenset({"call", "publish"})),
            ),
        )
        self.assertEqual(self.read().permissions, ())

    def test_audience(self) -> None:
        """It is a text or a list of texts (RFC 7519, section 4.1.3)."""
        self.assertEqual(self.read(aud="a").audience, ("a",))
        self.assertEqual(self.read(aud=["a", "b"]).audience, ("a", "b"))

    def test_unreadable(self) -> None:
        """A claim of the wrong shape voids the token, and is named."""
        for claim, value in (
            ("sub", 7),
            ("iss", ["a"]),
            ("aud", 7),
            ("aud", ["a", 7]),
            ("exp", "1"),
            ("exp", None),
            ("exp", True),
            ("exp", -1),
            ("exp", 1_796_000_000_000),
            ("nbf", "now"),
            ("iat", None),
            ("channels", None),
            ("channels", "chat"),
            ("channels", ["chat"]),
            ("channels", [{}]),
            ("channels", [{"channel": "a", "function": "b"}]),
            ("channels", [{"channel": "a", "parms": {"roomId": "x"}}]),
            ("channels", [{"channel": "a", "params": {"roomId": None}}]),
            ("channels", [{"channel": "a", "params": {"roomId": {}}}]),
            ("channels", [{"channel": "a", "operations": ["listen"]}]),
            ("channels", [{"channel": "a"}] * (MAX_ENTRIES + 1)),
        ):
            refused = self.assertRaises(VerifyRejected, self.read, **{claim: value})
            self.assertIn(repr(claim), refused.sentence, value)

    def test_no_end(self) -> None:
        """A token that never ends is not taken."""
        refused = self.assertRaises(VerifyRejected, read_claims, b"{}", "channels")
        self.assertIn("exp", refused.sentence)

    def test_no_object(self) -> None:
        """A payload that is no object is none of ours."""
        for payload in (b"", b"[]", b"7", b"{", b"\xff", b"[" * 100_000):
            self.assertRaises(VerifyRejected, read_claims, payload, "channels")
