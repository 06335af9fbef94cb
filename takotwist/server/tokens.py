"""Tokens as configured.

Imported where tokens decide about something, and nowhere else: the libraries are an extra.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.web.client import HTTPConnectionPool

from takotwist.adapters.app_agent import app_agent
from takotwist.adapters.authorize_token import TokenAuthorizer
from takotwist.adapters.jwks import Jwks
from takotwist.adapters.revocations import Revocations
from takotwist.adapters.token_keys import Keys, UnusableKey, read_key_file, secret_key
from takotwist.core.token import TokenRules
from takotwist.errors import ConfigError
from takotwist.interfaces import IReactor
from takotwist.server.config.tokens import Tokens


@attrs.define(slots=True, eq=False)
class TokenParts:
    """The check of tokens, and its connections.

    :ivar config: what it was made of.
    """

    config: Tokens
    authorizer: TokenAuthorizer
    _connections: HTTPConnectionPool | None = None

    def close(self) -> None:
        """Stop reading keys."""
        if self.authorizer.jwks is not None:
            self.authorizer.jwks.close()
        if self._connections is not None:
            self._connections.closeCachedConnections()


def fixed_keys(config: Tokens) -> Keys:
    """The keys of the configuration.

    :raises ConfigError: one cannot be used.
    """
    try:
        keys = [secret_key(secret) for secret in config.secrets]
    except UnusableKey as bad:
        raise ConfigError(str(bad), key="tokens.secrets") from None
    if config.keys_file is not None:
        keys += read_key_file(config.keys_file, "tokens.keys_file")
    return tuple(keys)


def token_parts(
    config: Tokens, reactor: IReactor, wall: Callable[[], float], before: TokenParts | None = None
) -> TokenParts:
    """The check of tokens as configured.

    :param before: what has decided until now.  Keys by the same URL are taken over from it, so
        that a reload makes nobody wait.
    :raises ConfigError: a file cannot be used.
    """
    fixed = fixed_keys(config)
    revocations = Revocations(config.revoked_file)
    jwks, connections = _jwks(config, reactor, before)
    rules = TokenRules(config.audience, config.issuer, config.leeway_seconds)
    authorizer = TokenAuthorizer(rules, config.claim, fixed, jwks, revocations, wall)
    return TokenParts(config, authorizer, connections)


def _jwks(
    config: Tokens, reactor: IReactor, before: TokenParts | None
) -> tuple[Jwks | None, HTTPConnectionPool | None]:
    if config.jwks_url is None:
        return None, None
    if before is not None and (before.config.jwks_url, before.config.jwks_ca_file) == (
        config.jwks_url,
        config.jwks_ca_file,
    ):
        jwks = before.authorizer.jwks
        assert jwks is not None
        jwks.refresh_after(config.jwks_refresh_seconds)
        return jwks, before._connections
    agent, url, connections = app_agent(
        reactor,
        config.jwks_url,
        connections=1,
        ca_file=config.jwks_ca_file,
        setting="tokens.jwks_ca_file",
    )
    return Jwks(url, agent, reactor, config.jwks_refresh_seconds), connections
