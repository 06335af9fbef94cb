"""Channels and functions by signed tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from joserfc import jwt as joserfc_jwt
from joserfc.jwk import ECKey, OctKey
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from takotwist import VerifyRequest
from takotwist.adapters import authorize_token
from takotwist.adapters.authorize_token import TokenAuthorizer
from takotwist.adapters.jwks import LEAST_INTERVAL, Jwks
from takotwist.adapters.revocations import Revocations, revoke
from takotwist.adapters.token_keys import secret_key
from takotwist.core.authorization import AuthRequest, Grant, HeaderCredential
from takotwist.core.token import TokenRules
from takotwist.errors import (
    AuthUnavailable,
    CredentialsExpired,
    CredentialsMissing,
    Refusal,
    VerifyRejected,
)
from tests.adapters import token_vectors as rfc
from tests.adapters.test_jwks import URL, Provider, ProviderAgent

NOW = 1_796_000_000
SECRET = "a secret of more than thirty-two bytes"

ENTRY = {"channel": "chat", "params": {"roomId": "lobby"}, "operations": ["subscribe", "publish"]}


def claims(**changed: Any) -> dict[str, Any]:
    """Of a good token, with some changed; `None` leaves one out."""
    said = {"aud": "tako", "sub": "ann", "exp": NOW + 60, "channels": [ENTRY], **changed}
    return {name: value for name, value in said.items() if value is not None}


def token(key: Any = None, kid: str | None = None, /, **changed: Any) -> str:
    """Signed by another library."""
    head = {"alg": "HS256" if key is None else "ES256"} | ({"kid": kid} if kid else {})
    return joserfc_jwt.encode(head, claims(**changed), key or OctKey.import_key(SECRET))


class TokenAuthorizerTests(SynchronousTestCase):
    """Grants and refusals."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.key = ECKey.generate_key("P-256", {"kid": "e1"})
        self.provider = Provider()
        self.provider.body = json.dumps({"keys": [self.key.as_dict(private=False)]}).encode()
        self.agent = ProviderAgent(self.provider)
        self.revoked = Path(self.mktemp())
        self.authorizer = self.of(Jwks(URL, self.agent, self.clock, 3600))

    def of(self, jwks: Jwks | None) -> TokenAuthorizer:
        """An authorizer with these keys and the secret."""
        return TokenAuthorizer(
            TokenRules("tako", leeway=10),
            "channels",
            (secret_key(SECRET),),
            jwks,
            Revocations(self.revoked),
            self.clock.seconds,
        )

    def ask(
        self,
        token: str | None,
        operation: Any = "subscribe",
        room: str = "lobby",
        channel: str = "chat",
        **more: Any,
    ) -> Deferred[Grant]:
        """As the server asks."""
        header = None if token is None else HeaderCredential(token, "Bearer")
        request = {"header": header, **more}
        asked = self.authorizer.authorize(
            AuthRequest(channel, operation, {"roomId": room}, **request)
        )
        self.agent.inner.flush()
        return asked

    def granted(self, *args: Any, **more: Any) -> Grant:
        return self.successResultOf(self.ask(*args, **more))

    def refused(self, kind: type[Refusal], *args: Any, **more: Any) -> str:
        """The sentence of the refusal."""
        failure = self.failureResultOf(self.ask(*args, **more), kind)
        sentence: str = failure.value.sentence
        return sentence

    def test_granted(self) -> None:
        """A token says who it is, and the grant is a lease to its end."""
        grant = Grant(subject="ann", expires_at=NOW + 70)
        self.assertEqual(self.granted(token()), grant)
        self.assertEqual(self.granted(token(), "publish"), grant)
        self.assertEqual(self.granted(token(self.key, "e1")), grant)
        self.assertIsNone(self.granted(token(sub=None)).subject)

    def test_places(self) -> None:
        """The scheme is Bearer, in any case, or none as in a header of one's own; or a cookie."""
        good = token()
        for header in (HeaderCredential(good), HeaderCredential(good, "bearer")):
            self.granted(None, header=header)
        self.granted(None, cookie=good)
        basic = HeaderCredential(good, "Basic")
        self.refused(VerifyRejected, None, header=basic, cookie=good)
        self.refused(CredentialsMissing, None)
        self.refused(CredentialsMissing, None, cookie="")

    def test_no_permission(self) -> None:
        """Another room, channel or operation than it names."""
        good = token()
        sentence = "The token does not allow this."
        self.assertEqual(self.refused(VerifyRejected, good, room="attic"), sentence)
        self.assertEqual(self.refused(VerifyRejected, good, "history"), sentence)
        self.assertEqual(self.refused(VerifyRejected, good, channel="news"), sentence)
        self.assertEqual(self.refused(VerifyRejected, token(channels=None)), sentence)

    def test_void(self) -> None:
        """Each thing that can be wrong with a token has its own sentence, and none lets in."""
        other = ECKey.generate_key("P-256")
        for expected, kind, bad in (
            ("key or an algorithm that is not known", VerifyRejected, rfc.UNSECURED),
            ("no signed token", VerifyRejected, "abc"),
            ("audience", VerifyRejected, token(aud="other")),
            ("audience", VerifyRejected, token(aud=None)),
            ("not valid yet", VerifyRejected, token(nbf=NOW + 11)),
            ("not valid yet", VerifyRejected, token(iat=NOW + 11)),
            ("no exp", VerifyRejected, token(exp=None)),
            ("expired", CredentialsExpired, token(exp=NOW - 10)),
            ("key or an algorithm", VerifyRejected, token(other, "e9")),
            ("signature", VerifyRejected, token(other, "e1")),
            ("'channels'", VerifyRejected, token(channels=[{"chanel": "chat"}])),
        ):
            for _ in range(2):
                self.clock.advance(0)
                sentence = self.refused(kind, bad)
                self.assertIn(expected, sentence)
                self.assertNotIn(bad, sentence)
        self.assertEqual(len(self.authorizer._cache), 0)

    def test_wrong_kind_of_key(self) -> None:
        """A token by the secret algorithm that names a public key is told so."""
        forged = joserfc_jwt.encode(
            {"alg": "HS256", "kid": "e1"}, claims(), OctKey.import_key("x" * 40)
        )
        self.authorizer.fixed = ()
        self.assertIn("another algorithm", self.refused(VerifyRejected, forged))

    def test_lasts_as_long_as_it_says(self) -> None:
        """One that was good is refused when its time is over, and its place is free."""
        good = token()
        self.granted(good)
        self.clock.advance(69)
        self.granted(good)
        self.clock.advance(1)
        self.refused(CredentialsExpired, good)
        self.assertEqual(len(self.authorizer._cache), 0)
        self.assertEqual(self.authorizer._cached_characters, 0)

    def test_clock_set_back(self) -> None:
        """What was remembered is compared with the time that it is now."""
        good = token(nbf=NOW - 5)
        self.granted(good)
        self.clock.rightNow -= 3600
        self.refused(VerifyRejected, good)

    def test_checked_once(self) -> None:
        """The cryptography of a token is done once."""
        counted: list[str] = []
        checked = authorize_token.checked_payload

        def counting(token: str, *rest: Any) -> Any:
            counted.append(token)
            return checked(token, *rest)

        self.patch(authorize_token, "checked_payload", counting)
        good = token()
        for _ in range(10):
            self.granted(good)
            self.granted(good, "publish")
        self.assertEqual(len(counted), 1)
        self.refused(VerifyRejected, good[:-2])

    def test_bounded(self) -> None:
        """What is remembered has a bound in number and in size; the oldest goes first."""
        self.patch(authorize_token, "MAX_CACHED", 3)
        tokens = [token(sub=str(number)) for number in range(5)]
        for one in tokens:
            self.granted(one)
        self.assertEqual(len(self.authorizer._cache), 3)
        self.patch(authorize_token, "MAX_CACHED_CHARACTERS", len(tokens[0]))
        self.granted(tokens[4])
        self.assertEqual(len(self.authorizer._cache), 1)
        self.assertEqual(self.authorizer._cached_characters, len(tokens[4]))
        self.assertNotIn(tokens[4], repr(self.authorizer))

    def test_key_withdrawn(self) -> None:
        """A token that is remembered is void when its key leaves the set."""
        mine = token(self.key, "e1", exp=NOW + 10_000)
        self.granted(mine)
        new = ECKey.generate_key("P-256", {"kid": "e2"})
        self.provider.body = json.dumps({"keys": [new.as_dict(private=False)]}).encode()
        self.clock.advance(LEAST_INTERVAL)
        self.granted(token(new, "e2", exp=NOW + 10_000))
        self.refused(VerifyRejected, mine)

    def test_key_withdrawn_while_tokens_are_remembered(self) -> None:
        """The set is read again when it is due, though nobody comes with a token that is new."""
        mine = token(self.key, "e1", exp=NOW + 100_000)
        self.granted(mine)
        new = ECKey.generate_key("P-256", {"kid": "e2"})
        self.provider.body = json.dumps({"keys": [new.as_dict(private=False)]}).encode()
        self.clock.advance(3599)
        self.granted(mine)
        self.assertEqual(self.agent.requests, 1)
        self.clock.advance(1)
        self.granted(mine)
        self.assertEqual(self.agent.requests, 2)
        self.refused(VerifyRejected, mine)

    def test_revoked(self) -> None:
        """Older tokens of a subject are void, newer ones and those of others count."""
        old, bare, of_bob = token(iat=NOW), token(), token(sub="bob", iat=NOW)
        for one in (old, bare, of_bob):
            self.granted(one)
        revoke(self.revoked, "ann", NOW)
        self.assertEqual(self.authorizer.revocations.look(), {"ann"})
        for one in (old, bare):
            self.assertEqual(self.refused(VerifyRejected, one), "The token was revoked.")
        self.granted(of_bob)
        self.granted(token(iat=NOW + 1))

    def test_keys_away(self) -> None:
        """Without the set its tokens are nobody's no; those by the secret are not held up."""
        self.agent.refuses = True
        self.refused(AuthUnavailable, token(self.key, "e1"))
        self.granted(token())
        self.refused(AuthUnavailable, rfc.UNSECURED)

    def test_without_jwks(self) -> None:
        """Where all keys are in the configuration nothing is asked."""
        self.authorizer = self.of(None)
        self.granted(token())
        self.refused(VerifyRejected, token(self.key, "e1"))
        self.assertEqual(self.agent.requests, 0)

    def test_functions(self) -> None:
        """A function is not the channel of its name, and the other way round."""
        entries = [{"channel": "chat"}, {"function": "send", "operations": ["call"]}]
        header = HeaderCredential(token(channels=entries), "Bearer")

        def call(name: str, operation: Any = "call") -> Deferred[Grant]:
            request = VerifyRequest(
                channel=name, operation=operation, params={}, header=header, cookie=None
            )
            return ensureDeferred(self.authorizer.verify_function(request))

        self.assertEqual(self.successResultOf(call("send")).subject, "ann")
        self.failureResultOf(call("chat"), VerifyRejected)
        self.failureResultOf(call("send", "publish"), VerifyRejected)
        self.refused(VerifyRejected, header.value, channel="send")
