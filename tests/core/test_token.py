"""Claims of a token: for whom, for how long, and for what."""

from __future__ import annotations

from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.authorization import Grant
from takotwist.core.token import READING, Claims, Permission, TokenRules, check_permission
from takotwist.errors import CredentialsExpired, VerifyRejected

NOW = 1_796_000_000.0
GOOD = Claims("ann", NOW + 60, audience=("other", "tako"), issuer="https://id.example")
RULES = TokenRules("tako", "https://id.example", leeway=30)


class RulesTests(SynchronousTestCase):
    """What every token must say."""

    def refused(self, **changed: Any) -> str:
        """The sentence for the good token with this changed."""
        claims = attrs.evolve(GOOD, **changed)
        return str(self.assertRaises(VerifyRejected, RULES.check, claims, NOW))

    def test_good(self) -> None:
        """One audience of several is enough."""
        RULES.check(GOOD, NOW)

    def test_another_audience(self) -> None:
        """A token for another service does not count here, nor one for nobody."""
        for audience in ((), ("other",), ("takotako",)):
            self.assertIn("audience", self.refused(audience=audience))

    def test_another_issuer(self) -> None:
        """The issuer is compared where one is wanted, and only there."""
        for issuer in (None, "https://id.example/"):
            self.assertIn("issuer", self.refused(issuer=issuer))
        TokenRules("tako").check(attrs.evolve(GOOD, issuer=None), NOW)

    def test_future(self) -> None:
        """A token of a time to come is not taken, but for the leeway of clocks."""
        for when in ("not_before", "issued_at"):
            RULES.check(attrs.evolve(GOOD, **{when: NOW + 30}), NOW)
            self.assertIn("not valid yet", self.refused(**{when: NOW + 31}))

    def test_expired(self) -> None:
        """After its end and the leeway a newer one is needed, and not before."""
        RULES.check(GOOD, NOW + 89.9)
        self.assertRaises(CredentialsExpired, RULES.check, GOOD, NOW + 90)

    def test_expired_for_elsewhere(self) -> None:
        """Nobody is sent for a new token that would be for elsewhere again."""
        claims = attrs.evolve(GOOD, audience=("other",))
        self.assertRaises(VerifyRejected, RULES.check, claims, NOW + 1000)

    def test_lease(self) -> None:
        """A grant lasts as long as its token would be taken."""
        grant = RULES.grant(GOOD)
        self.assertEqual(grant, Grant(subject="ann", expires_at=NOW + 90))
        RULES.check(GOOD, NOW + 89)


class PermissionTests(SynchronousTestCase):
    """What an entry lets its bearer do."""

    def test_names_and_operations(self) -> None:
        """An entry is for what it names: kind, name, operations."""
        entry = Permission("channel", "chat")
        for operation in READING:
            self.assertTrue(entry.allows("channel", "chat", operation, {}))
        self.assertFalse(entry.allows("channel", "chat", "publish", {}))
        self.assertFalse(entry.allows("channel", "chats", "subscribe", {}))
        self.assertFalse(entry.allows("function", "chat", "call", {}))
        speaks = Permission("channel", "*", {}, frozenset({"publish"}))
        self.assertTrue(speaks.allows("channel", "chat", "publish", {}))
        self.assertFalse(speaks.allows("channel", "chat", "subscribe", {}))

    def test_params(self) -> None:
        """A param that is named must have one of the values; others may have any."""
        entry = Permission("channel", "chat", {"roomId": ("a", "b"), "n": (1,)})

        def allows(**params: Any) -> bool:
            return entry.allows("channel", "chat", "subscribe", params)

        self.assertTrue(allows(roomId="a", n=1, count=7))
        for params in ({"roomId": "c", "n": 1}, {"roomId": "a"}, {}, {"roomId": ["a"], "n": 1}):
            self.assertFalse(allows(**params), params)

    def test_values_of_other_types(self) -> None:
        """Text stands for a number as in an address; true is not 1."""
        for said, allowed, same in (
            (5, "5", True),
            (True, "true", True),
            (1.5, "1.5", True),
            (True, 1, False),
            (1, True, False),
            ("5", 5, False),
            (True, "1", False),
            ("", "", True),
        ):
            entry = Permission("channel", "c", {"p": (allowed,)})
            self.assertEqual(entry.allows("channel", "c", "subscribe", {"p": said}), same, said)

    @given(
        st.lists(st.builds(Permission, st.just("channel"), st.sampled_from(["a", "b", "*"]))),
        st.sampled_from(["a", "b", "c"]),
    )
    def test_any_entry(self, entries: list[Permission], name: str) -> None:
        """A token allows what one of its entries does, whatever the others say."""
        claims = attrs.evolve(GOOD, permissions=tuple(entries))
        if any(one.name in (name, "*") for one in entries):
            check_permission(claims, "channel", name, "subscribe", {})
        else:
            with self.assertRaises(VerifyRejected):
                check_permission(claims, "channel", name, "subscribe", {})
