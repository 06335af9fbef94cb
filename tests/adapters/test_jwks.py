"""Keys by URL: read, remembered, rotated, and not to be had."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred, ensureDeferred, fail
from twisted.internet.error import ConnectError
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from takotwist.adapters.jwks import DEADLINE, LEAST_INTERVAL, MOST_AGE, Jwks
from takotwist.adapters.token_keys import MAX_SET_BYTES, Keys, TokenHead, candidates
from takotwist.errors import AuthUnavailable
from tests.adapters import token_vectors as rfc
from tests.adapters.test_token_keys import jwks

URL = "https://id.example/keys.json"


class Provider(Resource):
    """Publishes keys as it is told."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.body: bytes | None = jwks({**rfc.ES256_JWK, "kid": "a"})
        self.status = 200
        self.location = ""
        self.asked: list[Any] = []
        self.held: list[Any] = []

    def render(self, request: Any) -> Any:
        self.asked.append(request.requestHeaders)
        request.setResponseCode(self.status)
        request.setHeader("set-cookie", "tracked=1")
        if self.location:
            request.setHeader("location", self.location)
        if self.body is not None:
            return self.body
        self.held.append(request)
        return NOT_DONE_YET


@implementer(IAgent)
class ProviderAgent:
    """Reaches a `Provider`, or does not."""

    def __init__(self, provider: Provider) -> None:
        self.inner = RequestTraversalAgent(provider)
        self.refuses = False
        self.requests = 0

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[Any]:
        self.requests += 1
        if self.refuses:
            return fail(ConnectError())
        answer: Deferred[Any] = self.inner.request(method, uri, headers, bodyProducer)
        return answer


def by_kid(kid: str | None) -> Callable[[Keys], Keys]:
    """The choice for a token by such a key."""
    return lambda keys: candidates(keys, TokenHead("ES256", kid))


class JwksTests(SynchronousTestCase):
    """One set."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_000_000)
        self.provider = Provider()
        self.agent = ProviderAgent(self.provider)
        self.jwks = Jwks(URL, self.agent, self.clock, 3600)
        self.lines: list[str] = []

        def note(event: Any) -> None:
            if event.get("log_namespace") == "takotwist.adapters.jwks.Jwks":
                self.lines.append(event["reason"])

        globalLogPublisher.addObserver(note)
        self.addCleanup(globalLogPublisher.removeObserver, note)

    def find(self, kid: str | None = "a") -> Deferred[Keys]:
        """Ask for the keys of a token."""
        return ensureDeferred(self.jwks.find(by_kid(kid)))

    def found(self, kid: str | None = "a") -> list[str | None]:
        """The names of the keys that are there at once."""
        self.agent.inner.flush()
        asked = self.find(kid)
        self.agent.inner.flush()
        return [one.kid for one in self.successResultOf(asked)]

    def unavailable(self, kid: str | None = "a") -> None:
        """Nobody can tell."""
        asked = self.find(kid)
        self.agent.inner.flush()
        self.failureResultOf(asked, AuthUnavailable)

    def test_read_once(self) -> None:
        """All who come while it is read are served by one reading, and all later ones."""
        body, self.provider.body = self.provider.body, None
        asked = [self.find() for _ in range(100)]
        self.agent.inner.flush()
        [request] = self.provider.held
        request.write(body)
        request.finish()
        self.agent.inner.flush()
        for one in asked:
            self.assertEqual([key.kid for key in self.successResultOf(one)], ["a"])
        self.assertEqual(self.found(), ["a"])
        self.assertEqual(self.agent.requests, 1)

    def test_ready_before_the_first(self) -> None:
        """What is read at start is there for the first token."""
        self.jwks.start()
        self.agent.inner.flush()
        self.assertEqual([key.kid for key in self.successResultOf(self.find())], ["a"])

    def test_refreshed(self) -> None:
        """An old set is read again in the background; a key that is withdrawn is gone then."""
        self.assertEqual(self.found(), ["a"])
        kept = self.jwks.keys
        self.clock.advance(3600)
        self.assertEqual([one.kid for one in self.successResultOf(self.find())], ["a"])
        self.agent.inner.flush()
        self.assertEqual(self.agent.requests, 2)
        # The same object, so that what was checked by it need not be checked again.
        self.assertIs(self.jwks.keys, kept)
        self.provider.body = jwks({**rfc.ES256_JWK, "kid": "b"})
        self.clock.advance(3600)
        self.find()
        self.agent.inner.flush()
        self.assertIsNot(self.jwks.keys, kept)
        self.assertEqual(self.found("a"), [])
        self.assertEqual(self.found("b"), ["b"])

    def test_rotated(self) -> None:
        """A token by a new key has the set read at once."""
        self.assertEqual(self.found(), ["a"])
        self.clock.advance(LEAST_INTERVAL)
        self.provider.body = jwks({**rfc.ES256_JWK, "kid": "a"}, {**rfc.ES256_JWK, "kid": "b"})
        self.assertEqual(self.found("b"), ["b"])
        self.assertEqual(self.agent.requests, 2)

    def test_made_up_names(self) -> None:
        """Key ids that nobody has make the provider work once in a while and no more."""
        self.assertEqual(self.found(), ["a"])
        for number in range(1000):
            self.clock.advance(LEAST_INTERVAL / 100)
            self.assertEqual(self.found(f"x{number}"), [])
        self.assertLessEqual(self.agent.requests, 12)
        self.assertEqual(self.found(), ["a"])

    def test_never_answers(self) -> None:
        """Who waits for keys that do not come is told in time, and nobody is let in."""
        self.provider.body = None
        asked = self.find()
        self.agent.inner.flush()
        self.clock.advance(DEADLINE - 0.1)
        self.assertNoResult(asked)
        self.clock.advance(0.1)
        self.failureResultOf(asked, AuthUnavailable)
        self.assertEqual(self.lines, [f"it did not answer within {DEADLINE:g} s"])
        self.provider.body = jwks({**rfc.ES256_JWK, "kid": "a"})
        self.assertEqual(self.found(), ["a"])

    def test_half_an_answer(self) -> None:
        """One that begins and does not end is given up as well."""

        def begin(request: Any) -> Any:
            request.write(b'{"keys":')
            return NOT_DONE_YET

        self.provider.render = begin  # type: ignore[method-assign]
        asked = self.find()
        self.agent.inner.flush()
        self.clock.advance(DEADLINE)
        self.failureResultOf(asked, AuthUnavailable)

    def test_wrong_answers(self) -> None:
        """What is no set of good keys is none, whatever its status; one line says which."""
        for status, body, reason in (
            (200, b"<html>", "no JSON Web Key Set"),
            (200, b'{"keys":[]}', "no key that can check tokens"),
            (200, jwks({"kty": "oct", "k": rfc.HS256_KEY}), "secret"),
            (200, b"x" * (MAX_SET_BYTES + 1), "more than"),
            (404, jwks(rfc.ES256_JWK), "answered 404"),
            (500, b"oops", "answered 500"),
        ):
            self.clock.advance(LEAST_INTERVAL)
            self.lines.clear()
            self.provider.status, self.provider.body = status, body
            self.unavailable(None)
            [line] = self.lines
            self.assertIn(reason, line)
            self.assertNotIn(rfc.HS256_KEY, line)

    def test_redirect(self) -> None:
        """Keys are taken from where they are said to be, and from nowhere else."""
        self.provider.status, self.provider.location = 302, "https://evil.example/keys"
        self.unavailable()
        self.assertEqual(self.agent.requests, 1)

    def test_no_cookie(self) -> None:
        """The provider is told nothing that it set before, and no credential of anybody."""
        self.found()
        self.clock.advance(3600)
        self.found()
        self.agent.inner.flush()
        for headers in self.provider.asked:
            self.assertFalse(headers.hasHeader("cookie"))
            self.assertFalse(headers.hasHeader("authorization"))

    def test_away(self) -> None:
        """While it is away what was read last holds, for a day and no longer."""
        self.assertEqual(self.found(), ["a"])
        self.agent.refuses = True
        self.clock.advance(3600)
        self.assertEqual(self.found(), ["a"])
        # A key that is not in the old set may be in the new one, which nobody has seen.
        self.clock.advance(LEAST_INTERVAL)
        self.unavailable("b")
        self.clock.advance(MOST_AGE - 3600 - LEAST_INTERVAL)
        self.assertEqual(self.found(), ["a"])
        self.clock.advance(1)
        self.unavailable("a")
        self.assertIsNone(self.jwks.keys)

    def test_wrong_after_good(self) -> None:
        """A broken answer does not take a good set's place."""
        self.found()
        self.provider.body = b"<html>"
        self.clock.advance(3600)
        self.found()
        self.agent.inner.flush()
        self.assertEqual(self.found(), ["a"])

    def test_asked_again(self) -> None:
        """A provider that is away is asked now and then, however many come, and logged seldom."""
        self.agent.refuses = True
        for _ in range(100):
            self.unavailable()
        self.assertEqual((self.agent.requests, len(self.lines)), (1, 1))
        self.clock.advance(LEAST_INTERVAL)
        self.unavailable()
        self.assertEqual((self.agent.requests, len(self.lines)), (2, 1))
        self.agent.refuses = False
        self.clock.advance(LEAST_INTERVAL)
        self.assertEqual(self.found(), ["a"])

    def test_left(self) -> None:
        """Who leaves while keys are read takes nothing from the others."""
        body, self.provider.body = self.provider.body, None
        first, second = self.find(), self.find()
        first.cancel()
        self.failureResultOf(first)
        self.provider.held[0].write(body)
        self.provider.held[0].finish()
        self.agent.inner.flush()
        self.assertEqual(len(self.successResultOf(second)), 1)

    def test_closed(self) -> None:
        """At the end of the server nothing is left of a reading."""
        self.provider.body = None
        asked = self.find()
        self.agent.inner.flush()
        self.jwks.close()
        self.failureResultOf(asked, AuthUnavailable)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.lines, [])
