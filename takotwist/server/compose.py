"""The parts list: what the server is made of, leaves first.

Adapters and transports meet here and nowhere else.  Rule: nothing happens while
the parts are put together; what runs is started by `server.service`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.web.resource import IResource

from takotwist.adapters.publish_local import Store
from takotwist.core.deadlines import Deadlines
from takotwist.core.fanout import FanOut
from takotwist.core.group_commit import GroupCommit
from takotwist.core.limits import Concurrency, ConnectionLimits, Rate
from takotwist.core.message import Draft, Message
from takotwist.core.outbox import Turn
from takotwist.core.registry import Registry
from takotwist.core.tail import Tails
from takotwist.core.tally import Tally
from takotwist.flow.attach import Attaching
from takotwist.flow.authorize import Authorizing
from takotwist.flow.publish import Publishing, validate
from takotwist.flow.reads import Reads
from takotwist.flow.sessions import Sessions
from takotwist.ports import IAuthorizer, IReplayLog
from takotwist.server.config import Config
from takotwist.streams.origin import OriginPolicy
from takotwist.streams.peer import Peer, TrustedProxies, peer_of
from takotwist.streams.websocket_config import WebSocketConfig
from takotwist.streams.websocket_upgrade import WebSocketUpgrade
from takotwist.transports.admission import Admission
from takotwist.transports.answers import Answers
from takotwist.transports.history import HistoryTransport
from takotwist.transports.publish import PublishKeys, PublishTransport
from takotwist.transports.site import Routes
from takotwist.transports.sse import SseTransport
from takotwist.transports.websocket import WebSocketTransport

#: A frame of a client may be so many times the largest message: up to there it gets an
#: answer that names the fault, past it the connection is closed.
FRAME_FACTOR = 4

#: What a frame of a live object has beside its data, in bytes.
LIVE_ENVELOPE_BYTES = 4 * 1024


@attrs.define(slots=True)
class Reloadable:
    """What SIGHUP may change without dropping a connection."""

    origins: OriginPolicy
    proxies: TrustedProxies
    keys: PublishKeys = attrs.field(repr=False)

    @classmethod
    def of(cls, config: Config) -> Reloadable:
        """As configured."""
        return cls(
            OriginPolicy.of(config.http.allowed_origins or None),
            TrustedProxies.of(map(str, config.http.trusted_proxies)),
            PublishKeys.of(config.publish.keys),
        )

    def peer(self, request: Any) -> Peer:
        """Who a request is from, trusted proxies looked through."""
        return peer_of(request, self.proxies)

    def allows(self, request: Any, origin: str) -> bool:
        """Whether a page of `origin` may use the server for this request."""
        return self.origins.permits(origin, self.peer(request).origin)

    def address(self, request: Any) -> str:
        """What limits by address count a request under; empty on a Unix socket."""
        return self.peer(request).address or ""


@attrs.define(slots=True)
class Rates:
    """How fast messages may come: `frames` from clients, `publishes` with a key."""

    frames: Rate
    publishes: Rate

    @classmethod
    def of(cls, config: Config) -> Rates:
        """As configured."""
        limits, publish = config.limits, config.publish
        return cls(
            Rate(limits.publish_rate, limits.publish_burst), Rate(publish.rate, publish.burst)
        )


@attrs.define(slots=True, eq=False)
class Parts:
    """The server, put together."""

    config: Config
    reloadable: Reloadable
    registry: Registry
    authorizer: IAuthorizer
    log: IReplayLog
    tally: Tally
    deadlines: Deadlines
    turn: Turn
    fanout: FanOut
    attaching: Attaching
    publishing: Publishing
    authorizing: Authorizing
    sessions: Sessions
    limits: ConnectionLimits
    rates: Rates
    answers: Answers
    admissions: tuple[Admission, ...]
    store: Store
    public: Routes
    private: Routes
    _upgrades: Callable[[Config], tuple[WebSocketUpgrade, WebSocketUpgrade]]

    def close_doors(self) -> None:
        """Let nobody new in."""
        for admission in self.admissions:
            admission.draining = True

    def change(self, config: Config) -> None:
        """Take up what a new configuration may change without dropping a connection."""
        limits, fresh = config.limits, Reloadable.of(config)
        reloadable = self.reloadable
        reloadable.origins, reloadable.proxies, reloadable.keys = (
            fresh.origins,
            fresh.proxies,
            fresh.keys,
        )
        upgrade, upgrade_many = self._upgrades(config)
        for admission in self.admissions:
            admission.max_message_bytes = limits.max_message_bytes
        for routes in (self.public, self.private):
            routes.websocket.upgrade = upgrade
            routes.websocket.upgrade_many = upgrade_many
            routes.publish.max_message_bytes = limits.max_message_bytes
            routes.publish.max_body_bytes = limits.max_body_bytes
        self.limits.most = limits.max_connections
        self.limits.by_address.most = limits.max_connections_per_address
        self.limits.by_subject.most = limits.max_connections_per_subject
        self.limits.rate.change(limits.connect_rate, limits.connect_burst)
        self.rates.frames.change(limits.publish_rate, limits.publish_burst)
        self.rates.publishes.change(config.publish.rate, config.publish.burst)
        self.sessions.max_subscriptions = limits.max_subscriptions_per_connection
        self.authorizing.forget_lifecycles()
        self.config = config


def compose(
    config: Config,
    *,
    reactor: Any,
    wall: Callable[[], float],
    random: Callable[[], float],
    new_id: Callable[[], str],
    log: IReplayLog,
    registry: Registry,
    authorizer: IAuthorizer,
    refresh: Callable[[], Awaitable[bool]] | None = None,
    elsewhere: IResource | None = None,
) -> Parts:
    """Put the server together.

    :param reactor: its clock drives deadlines and durations.
    :param wall: unix time in seconds: ids and expiries.
    :param random: a number from 0 to 1.
    :param new_id: a fresh name for a connection.
    :param refresh: see `Authorizing`.
    :param elsewhere: what answers the paths that are not ours.
    """
    limits, seconds = config.limits, reactor.seconds
    tally, deadlines, turn, fanout = Tally(), Deadlines(), Turn(), FanOut()
    tails = Tails(limits.tail_bytes, limits.tail_total_bytes)
    reloadable, rates = Reloadable.of(config), Rates.of(config)

    authorizing = Authorizing(registry, authorizer, tally, seconds, refresh)
    reads = Reads(log, tails, tally)
    attaching = Attaching(log, reads, fanout, tails, tally, deadlines, wall, seconds)
    publishing = Publishing(
        log,
        fanout,
        tails,
        attaching,
        turn,
        tally,
        wall,
        seconds,
        GroupCommit(
            max_waiting=limits.pending_appends, max_waiting_bytes=limits.pending_append_bytes
        ),
    )
    connection_limits = ConnectionLimits(
        limits.max_connections,
        Concurrency(limits.max_connections_per_address),
        Concurrency(limits.max_connections_per_subject),
        Rate(limits.connect_rate, limits.connect_burst),
    )
    sessions = Sessions(
        connection_limits,
        limits.max_subscriptions_per_connection,
        attaching,
        publishing,
        authorizing,
        authorizer,
        deadlines,
        tally,
        seconds,
        wall,
        random,
        new_id,
    )
    answers = Answers(tally, reloadable.allows)
    admission = Admission(
        authorizing,
        attaching,
        sessions,
        answers,
        turn,
        reloadable.allows,
        reloadable.address,
        seconds,
        limits.outbox_bytes,
        limits.max_message_bytes,
        lambda address, count: rates.frames.take(address, seconds(), count),
    )

    def upgrades(config: Config) -> tuple[WebSocketUpgrade, WebSocketUpgrade]:
        def of(size: int) -> WebSocketUpgrade:
            return WebSocketUpgrade(
                WebSocketConfig(max_frame_size=size, max_message_size=size), reactor
            )

        # To one channel, and to what may hold live objects too.
        channel = config.limits.max_message_bytes * FRAME_FACTOR
        return of(channel), of(max(channel, config.live.max_message_bytes + LIVE_ENVELOPE_BYTES))

    upgrade, upgrade_many = upgrades(config)

    def publishing_over(may_publish: Callable[[Any], None], rate: Rate | None) -> PublishTransport:
        def cost(sender: str, count: int) -> None:
            if rate is not None:
                rate.take(sender, seconds(), count)

        return PublishTransport(
            authorizing,
            publishing,
            answers,
            may_publish,
            limits.max_message_bytes,
            limits.max_body_bytes,
            cost,
            lambda: reloadable.keys,
        )

    def routes(admission: Admission, publish: PublishTransport) -> Routes:
        return Routes(
            config.http.base_paths,
            answers,
            SseTransport(admission),
            WebSocketTransport(admission, upgrade, upgrade_many),
            publish,
            HistoryTransport(admission, log),
        )

    public = routes(
        admission,
        publishing_over(
            lambda request: reloadable.keys.check(request.getHeader("authorization")),
            rates.publishes,
        ),
    )
    public.elsewhere = elsewhere
    trusted = attrs.evolve(admission, trusted=True)
    private = routes(trusted, publishing_over(lambda request: None, None))

    def store(
        channel: str, params: Mapping[str, Any], drafts: Sequence[Draft], key: str | None
    ) -> Deferred[Sequence[Message]]:
        async def storing() -> Sequence[Message]:
            definition = await authorizing.find(channel)
            asked = authorizing.bind(definition, params)
            validate(definition, drafts)
            lifecycle = authorizing.lifecycle(definition)
            return (await publishing.publish(asked.topic, drafts, lifecycle, key)).messages

        return ensureDeferred(storing())

    return Parts(
        config,
        reloadable,
        registry,
        authorizer,
        log,
        tally,
        deadlines,
        turn,
        fanout,
        attaching,
        publishing,
        authorizing,
        sessions,
        connection_limits,
        rates,
        answers,
        (admission, trusted),
        store,
        public,
        private,
        upgrades,
    )
