"""The settings that SIGHUP changes without dropping a connection.

One object for the whole server: parts hold it and read it where they need a setting, as the
small interface that each room declares.  Rule: no part keeps a copy of what is in it, so
nothing has to be told of a change.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import attrs

from takotwist.core.channel import Lifecycle
from takotwist.core.limits import Rate, network_of
from takotwist.server.config import Config, Limits, Publish
from takotwist.server.config.limits import Live
from takotwist.streams.http.host import HostPolicy
from takotwist.streams.http.interface import ReadableRequest
from takotwist.streams.http.peer import OriginPolicy, Peer, TrustedProxies, peer_of
from takotwist.transports.publish.route import PublishKeys


@attrs.define(slots=True)
class Reloadable:
    """Bounds, rates and times, and what is trusted: origins, hosts, proxies, publish keys.

    :ivar limits: as configured, and so are `publish` and `live`.  What needs a restart is in
        them too; parts that cannot follow it were given it when they were made.
    :ivar version: another object after each change.
    :ivar headers: fields that pages may send beside those of the protocol.
    :ivar hosts: of requests on the public listeners; `hosts_said`: true where they are
        configured; `named_hosts`: all that are configured anywhere.
    :ivar private_origins: of pages, and `private_hosts`, on the private listener.
    :ivar lifecycle: of topics whose channel does not say another one.
    :ivar development: true where TLS shows the development certificate.
    """

    limits: Limits
    publish: Publish = attrs.field(repr=False)
    live: Live
    origins: OriginPolicy
    headers: tuple[str, ...]
    hosts: HostPolicy
    hosts_said: bool
    named_hosts: tuple[str, ...]
    private_origins: OriginPolicy
    private_hosts: HostPolicy
    development: bool
    proxies: TrustedProxies
    lifecycle: Lifecycle
    keys: PublishKeys = attrs.field(repr=False)
    version: object = attrs.field(factory=object, repr=False)

    @classmethod
    def of(cls, config: Config) -> Reloadable:
        """Settings of a configuration."""
        http, private = config.http, config.private
        own = _own_hosts(config)
        return cls(
            limits=config.limits,
            publish=config.publish,
            live=config.live,
            origins=OriginPolicy.of(http.allowed_origins or None),
            headers=http.allowed_headers,
            hosts=HostPolicy.of(http.allowed_hosts or own, any_address=True),
            hosts_said=bool(http.allowed_hosts),
            named_hosts=(*http.allowed_hosts, *own),
            private_origins=OriginPolicy.of(private.allowed_origins),
            private_hosts=HostPolicy.of(private.allowed_hosts),
            development=config.tls.is_development,
            proxies=TrustedProxies.of(map(str, http.trusted_proxies)),
            lifecycle=config.lifecycle.lifecycle(),
            keys=PublishKeys.of(config.publish.keys),
        )

    def change(self, config: Config) -> None:
        """Take up another configuration."""
        fresh = Reloadable.of(config)
        for field in attrs.fields(Reloadable):
            setattr(self, field.name, getattr(fresh, field.name))

    def peer(self, request: ReadableRequest) -> Peer:
        """The client of a request, behind trusted proxies."""
        return peer_of(request, self.proxies)

    def allows(self, request: ReadableRequest, origin: str) -> bool:
        """`True` if a page of `origin` may use the server for this request."""
        return self.origins.permits(origin, self.peer(request).origin)

    def address(self, request: ReadableRequest) -> str:
        """The address that limits count a request under; empty on a Unix socket."""
        return self.peer(request).address or ""

    def check_key(self, request: ReadableRequest) -> None:
        """:raises Refusal: the request shows no publish key, or a wrong one."""
        self.keys.check(request.getHeader("authorization"))


def _own_hosts(config: Config) -> list[str]:
    """Hosts that are ours where none are configured: pages of theirs are let in anyway."""
    origins = config.http.allowed_origins
    named = [one if one == "*" else urlsplit(one).hostname or "" for one in origins]
    return [*config.tls.hosts, *config.tls.domains, *filter(None, named)]


@attrs.define(slots=True)
class Rates:
    """Rates of messages: `frames` of clients by address, `publishes` by key."""

    _settings: Reloadable
    frames: Rate = attrs.field(factory=Rate, init=False)
    publishes: Rate = attrs.field(factory=Rate, init=False)

    def take_frame(self, address: str, now: float, tokens: float) -> None:
        """:raises RateLimited: clients at `address` send too fast; an empty one is not counted."""
        if address:
            limits = self._settings.limits
            self.frames.take(
                network_of(address), now, limits.publish_rate, limits.publish_burst, tokens
            )

    def take_publish(self, sender: str, now: float, count: int) -> None:
        """:raises RateLimited: messages with the key of `sender` come too fast."""
        publish = self._settings.publish
        self.publishes.take(sender, now, publish.rate, publish.burst, count)
