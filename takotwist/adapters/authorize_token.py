"""Authorizes by a signed token (JWT) instead of asking the app.

Head, key, signature, claims, revocation, permission: each step has its own answer.  Rules:
no token is in a log, an error or the cache, which has hashes; a token that was found good is
not checked by cryptography again, and everything that time can change is.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from hashlib import sha256

import attrs
from twisted.internet.defer import Deferred

from takotwist.adapters.jwks import Jwks
from takotwist.adapters.revocations import Revocations
from takotwist.adapters.token_keys import Keys, candidates, checked_payload, read_head
from takotwist.app.types import VerifyRequest
from takotwist.codecs.token_json import read_claims
from takotwist.core.authorization import AuthRequest, Grant, HeaderCredential, Operation
from takotwist.core.token import Claims, TokenRules, check_permission
from takotwist.errors import CredentialsMissing, VerifyRejected

#: Tokens whose claims are remembered, and characters of all of them.  What is remembered takes
#: up to sixteen times as much memory.
MAX_CACHED, MAX_CACHED_CHARACTERS = 10_000, 4 * 2**20


@attrs.frozen(slots=True)
class _Cached:
    claims: Claims
    size: int
    #: The key that signed it is one of these.
    keys: Keys


@attrs.define(slots=True, eq=False)
class TokenAuthorizer:
    """Grants by what tokens say.

    :ivar rules: what every token must say.
    :ivar claim: the name of the claim with the permissions.
    :ivar fixed: keys of the configuration.
    :ivar jwks: keys of an identity provider, where there is one.
    :ivar wall: unix time in seconds.
    """

    rules: TokenRules
    claim: str
    fixed: Keys
    jwks: Jwks | None
    revocations: Revocations
    wall: Callable[[], float]
    _cache: OrderedDict[bytes, _Cached] = attrs.field(factory=OrderedDict, init=False, repr=False)
    _cached_characters: int = attrs.field(default=0, init=False)

    def authorize(self, request: AuthRequest) -> Deferred[Grant]:
        """Implement `IAuthorizer`.

        :raises CredentialsExpired: the token was good.
        """
        return Deferred.fromCoroutine(
            self._authorize(
                "channel",
                request.channel,
                request.operation,
                request.params,
                request,
            )
        )

    async def verify_function(self, request: VerifyRequest[object]) -> Grant:
        """The same for a function that pages call, in place of its own `verify`."""
        return await self._authorize("function", request.channel, request.operation, {}, request)

    async def _authorize(
        self,
        kind: str,
        name: str,
        operation: Operation,
        params: Mapping[str, object],
        shown: AuthRequest | VerifyRequest[object],
    ) -> Grant:
        claims = await self._claims(_token(shown.header, shown.cookie))
        if self.revocations.revoked(claims.subject, claims.issued_at):
            raise VerifyRejected("The token was revoked.")
        check_permission(claims, kind, name, operation, params)
        return self.rules.grant(claims)

    async def _claims(self, token: str) -> Claims:
        """The claims of a token whose signature is right, and that is for here and now."""
        digest = sha256(token.encode("utf-8", "surrogateescape")).digest()
        cached = self._cache.get(digest)
        if cached is not None:
            # Taken out first, so that it does not stay when it has expired.
            self._forget(digest)
            if cached.keys is self.fixed or (self.jwks and cached.keys is self.jwks.keys):
                if self.jwks is not None:
                    # Who comes back and back must not keep a key that the provider took out.
                    self.jwks.refresh_when_due()
                self.rules.check(cached.claims, self.wall())
                self._remember(digest, cached)
                return cached.claims
        head = read_head(token)
        keys: Keys = self.fixed
        fit = candidates(keys, head)
        payload = checked_payload(token, head, fit)
        if payload is None and self.jwks is not None:
            fit = await self.jwks.find(lambda keys: candidates(keys, head))
            keys = self.jwks.keys or ()
            payload = checked_payload(token, head, fit)
        if payload is None:
            raise VerifyRejected(
                "The token's signature is not right."
                if fit
                else "The token is signed by a key or an algorithm that is not known here."
            )
        claims = read_claims(payload, self.claim)
        self.rules.check(claims, self.wall())
        self._remember(digest, _Cached(claims, len(token), keys))
        return claims

    def _remember(self, digest: bytes, cached: _Cached) -> None:
        self._forget(digest)
        self._cache[digest] = cached
        self._cached_characters += cached.size
        while len(self._cache) > MAX_CACHED or self._cached_characters > MAX_CACHED_CHARACTERS:
            self._forget(next(iter(self._cache)))

    def _forget(self, digest: bytes) -> None:
        cached = self._cache.pop(digest, None)
        if cached is not None:
            self._cached_characters -= cached.size


def _token(header: HeaderCredential | None, cookie: str | None) -> str:
    """The token of a request.

    :raises CredentialsMissing: there is none.
    :raises VerifyRejected: the header has credentials of another kind.
    """
    if header is not None:
        if header.scheme is not None and header.scheme.lower() != "bearer":
            raise VerifyRejected("The credentials are no signed token (JWT).")
        return header.value
    if cookie:
        return cookie
    raise CredentialsMissing
