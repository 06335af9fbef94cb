"""Channel definitions, read at start and again on SIGHUP.

From the app's folder or module in this process, the configuration file, and the
registry of an app elsewhere.  Rule: a reload that fails changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool
from twisted.web.client import HTTPConnectionPool

from takotwist.adapters.app_agent import app_agent
from takotwist.adapters.app_client import AppAddress, AppBounds, AppClient
from takotwist.adapters.asyncio_check import needs_asyncio
from takotwist.adapters.authorize_http import AuthorizerRouter, HttpAuthorizer, HttpRegistry
from takotwist.adapters.authorize_local import LocalAuthorizer
from takotwist.adapters.callable_runner import CallableRunner
from takotwist.app.discovery import Discovered
from takotwist.app.published import Publishing
from takotwist.core.channel import Defined, Registry
from takotwist.errors import AuthUnavailable, DefinitionError
from takotwist.interfaces import IReactor
from takotwist.live.functions.function import Function
from takotwist.server.app_code import read_channels, read_functions
from takotwist.server.config import Config
from takotwist.streams.seams.reactor import runs_asyncio

if TYPE_CHECKING:
    from takotwist.server.tokens import TokenParts


@attrs.define(slots=True, eq=False)
class Definitions:
    """The channels, and the authorizer that is asked about them.

    :ivar runs_asyncio: whether asyncio coroutines can run.
    :ivar registry: the same object for the life of the server; its content is replaced.
    :ivar authorizer: asks the app that defined the channel.
    """

    config: Config
    runs_asyncio: bool
    registry: Registry
    authorizer: AuthorizerRouter
    _local: LocalAuthorizer
    _elsewhere: HttpRegistry | None
    _connections: HTTPConnectionPool | None
    _found: Discovered = attrs.field(factory=lambda: Discovered(()))
    _publishing: Publishing | None = None
    _client: AppClient | None = None
    _reactor: IReactor = attrs.field(kw_only=True)
    _wall: Callable[[], float] = time.time
    _tokens: TokenParts | None = attrs.field(default=None, init=False)
    _log: Logger = attrs.field(factory=Logger, init=False)

    @classmethod
    def of(
        cls,
        config: Config,
        reactor: IReactor,
        pool: ThreadPool,
        jitter: Callable[[], float],
        wall: Callable[[], float] = time.time,
    ) -> Definitions:
        """Definitions of which nothing is read before `load`.

        :param pool: threads for the app's plain functions.
        :param jitter: a number from 0 to 1.
        :param wall: unix time in seconds.
        """
        on_asyncio = runs_asyncio(reactor)
        registry = Registry()
        local = LocalAuthorizer(
            (),
            reactor,
            pool,
            deadline=config.app.deadline_seconds,
            queue=config.app.queue,
        )
        if config.app.url is None:
            router = AuthorizerRouter(registry, local)
            return cls(
                config, on_asyncio, registry, router, local, None, None, reactor=reactor, wall=wall
            )
        agent, url, connections = app_agent(
            reactor,
            config.app.url,
            connections=config.app.max_concurrency,
            ca_file=config.app.ca_file,
        )
        client = AppClient(
            AppAddress(url=url, name=config.app.name, token=config.app.token or ""),
            agent,
            reactor,
            jitter,
            AppBounds(
                deadline=config.app.deadline_seconds,
                concurrency=config.app.max_concurrency,
                queue=config.app.queue,
            ),
        )
        router = AuthorizerRouter(registry, local, HttpAuthorizer(client))
        elsewhere = HttpRegistry(client, reactor, dispatches=config.app.dispatch)
        return cls(
            config,
            on_asyncio,
            registry,
            router,
            local,
            elsewhere,
            connections,
            client=client,
            reactor=reactor,
            wall=wall,
        )

    @property
    def runner(self) -> CallableRunner:
        """Runs the functions of this process's channels."""
        return self._local.runner

    def bind(self, publishing: Publishing) -> None:
        """Give the app's channels their publisher in this process."""
        self._publishing = publishing
        for channel in self._found.channels:
            channel.bind(publishing)

    def load(
        self, config: Config | None = None, *, again: bool = False
    ) -> Mapping[str, Function[..., object]]:
        """Read the definitions of this process and of the configuration.

        :param config: a new configuration, on a reload.
        :param again: read the app's files anew.
        :return: the functions that pages may call.
        :raises DefinitionError: :raises ConfigError: and then nothing has changed.
        """
        config = config or self.config
        found = read_channels(config, again=again)
        functions = read_functions(config, again=again)
        elsewhere = self._elsewhere.defined if self._elsewhere is not None else ()
        client = self._client
        address = None
        if client is not None:
            address = attrs.evolve(client.address, token=config.app.token or "")
        tokens = self._token_parts(config)
        self.registry.replace(_registry(config, found.defined, elsewhere))
        self._take_tokens(tokens)
        self._found, channels = found, found.channels
        self.config = config
        self._local.replace(channels)
        if client is not None and address is not None:
            client.replace(address)
        if self._publishing is not None:
            for channel in channels:
                channel.bind(self._publishing)
        for need in () if self.runs_asyncio else needs_asyncio(channels):
            self._log.warn(
                "{what} seems to need asyncio ({package}), which this reactor does not run:"
                " start with `tako serve` or `twistd --reactor=asyncio tako`",
                what=need.what,
                package=need.package,
            )
        if self._elsewhere is None:
            self._name_unknown()
        return functions if tokens is None else _under_tokens(functions, tokens)

    async def read_elsewhere(self) -> bool:
        """Read what is elsewhere: the app's registry, and the keys of tokens.

        What cannot be read now is read later; the keys are not waited for.

        :return: false where the app could not say its channels.
        """
        if self._tokens is not None and self._tokens.authorizer.jwks is not None:
            self._tokens.authorizer.jwks.start()
        if self._elsewhere is None:
            return True
        try:
            await self._elsewhere.reload()
        except AuthUnavailable:
            return False  # the client has said so in the log
        self._merge()
        self._name_unknown()
        return True

    async def refresh(self) -> bool:
        """Read it because a channel is unknown; see `AuthorizerService`."""
        if self._elsewhere is None:
            return False
        changed = await self._elsewhere.reload_for_unknown()
        if changed:
            self._merge()
        return True

    def is_by_token(self, channel: str) -> bool:
        """`True` if tokens decide about a channel."""
        return channel in self.registry and self.registry.get(channel).by_token

    def look_for_revoked(self) -> frozenset[str]:
        """The subjects whose tokens were revoked since the last look."""
        return frozenset() if self._tokens is None else self._tokens.authorizer.revocations.look()

    def close(self) -> Deferred[object] | None:
        """Let go of the connections to the app, and to where keys are."""
        if self._tokens is not None:
            self._tokens.close()
        return self._connections.closeCachedConnections() if self._connections else None

    def _token_parts(self, config: Config) -> TokenParts | None:
        """The parts that check tokens, where any channel is by them.

        :raises ConfigError: they cannot be made.
        """
        if not config.tokens.wanted:
            return None
        # Here, because what it imports is an extra.
        from takotwist.server.tokens import token_parts

        return token_parts(config.tokens, self._reactor, self._wall, self._tokens)

    def _take_tokens(self, tokens: TokenParts | None) -> None:
        before, self._tokens = self._tokens, tokens
        jwks = None if tokens is None else tokens.authorizer.jwks
        if before is not None and before.authorizer.jwks is not jwks:
            before.close()
        self.authorizer.replace_tokens(None if tokens is None else tokens.authorizer.authorize)

    def _name_unknown(self) -> None:
        """Say which names of `tokens.channels` are no channel: one misspelt guards nothing."""
        for name in self.config.tokens.channels:
            if name != "*" and name not in self.registry:
                self._log.warn("tokens.channels names {name}, which is no channel", name=name)

    def _merge(self) -> None:
        assert self._elsewhere is not None
        try:
            self.registry.replace(
                _registry(self.config, self._found.defined, self._elsewhere.defined)
            )
        except DefinitionError as bad:
            self._log.error("the app's registry is not used: {reason}", reason=str(bad))


def _registry(config: Config, *others: Iterable[Defined]) -> Registry:
    """All channels; those that were defined elsewhere get the configured lifecycle."""
    default = config.lifecycle.lifecycle()
    decides = config.tokens.decides
    return Registry.of(
        [
            *(
                one.under_tokens()
                if one.definition.verified and decides(one.definition.name)
                else one
                for one in config.defined
            ),
            *(
                one.under_tokens() if decides(one.definition.name) else one
                for one in (
                    attrs.evolve(one, definition=one.definition.with_defaults(default))
                    for defined in others
                    for one in defined
                )
            ),
        ]
    )


def _under_tokens(
    functions: Mapping[str, Function[..., object]], tokens: TokenParts
) -> Mapping[str, Function[..., object]]:
    """The functions, with tokens in place of the `verify` of those that they decide about."""
    verify = tokens.authorizer.verify_function
    return {
        name: one.verified_by(verify) if tokens.config.decides_call(name) else one
        for name, one in functions.items()
    }
