"""The server, put together: what `compose` returns.

Whoever needs a part takes it from here by its name.  Rule: a part is made once;
SIGHUP changes what is in it.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from takotwist.adapters.authorize_local import Store
from takotwist.core.channel import Registry
from takotwist.core.deadlines import Deadlines
from takotwist.core.fanout import FanOut
from takotwist.core.limits import ConnectionLimits
from takotwist.core.metrics import Metrics
from takotwist.core.send_queue import FlushBatch
from takotwist.flow.attach import Attacher
from takotwist.flow.authorize import AuthorizerService
from takotwist.flow.publish import PublisherService
from takotwist.flow.sessions import Sessions
from takotwist.ports import IAuthorizer, IReplayLog
from takotwist.server.config import Config
from takotwist.server.live import LiveParts
from takotwist.server.reloadable import Rates, Reloadable
from takotwist.server.upgrades import Upgrades
from takotwist.streams.unfinished import Unfinished
from takotwist.transports.admission import Admission
from takotwist.transports.publish.route import StreamTimes
from takotwist.transports.responses import Responses
from takotwist.transports.site import Routes


@attrs.define(slots=True, eq=False, kw_only=True)
class Parts:
    """See the module.

    :ivar limits: of connections.
    :ivar admissions: of the public listeners and of the private one.
    :ivar store: stores on one topic, for the app's code in this process.
    :ivar upgrades: the WebSockets of a configuration.
    """

    config: Config
    reloadable: Reloadable
    registry: Registry
    authorizer: IAuthorizer
    log: IReplayLog
    metrics: Metrics
    deadlines: Deadlines
    flush_batch: FlushBatch
    fanout: FanOut
    attacher: Attacher
    publishing: PublisherService
    authorizing: AuthorizerService
    sessions: Sessions
    limits: ConnectionLimits
    rates: Rates
    answers: Responses
    unfinished: Unfinished
    admissions: tuple[Admission, Admission]
    store: Store
    live: LiveParts
    public: Routes
    private: Routes
    upgrades: Callable[[Config], Upgrades]

    def close_doors(self) -> None:
        """Let nobody new in."""
        for admission in self.admissions:
            admission.stop()
        for routes in (self.public, self.private):
            routes.publish.stop()

    def change(self, config: Config) -> None:
        """Take up what a new configuration may change without dropping a connection."""
        limits, upgrades = config.limits, self.upgrades(config)
        self.reloadable.change(config)
        self.rates.change(config)
        for admission in self.admissions:
            admission.max_message_bytes = limits.max_message_bytes
        for routes in (self.public, self.private):
            routes.websocket.upgrade = upgrades.one
            routes.websocket.upgrade_many = upgrades.many
            routes.publish.max_message_bytes = limits.max_message_bytes
            routes.publish.max_body_bytes = limits.max_body_bytes
            routes.publish.stream_times = StreamTimes(
                config.publish.stream_idle_seconds, config.publish.stream_seconds
            )
        self.limits.most = limits.max_connections
        self.limits.by_address.most = limits.max_connections_per_address
        self.limits.by_subject.most = limits.max_connections_per_subject
        self.limits.rate.change(limits.connect_rate, limits.connect_burst)
        self.unfinished.change(limits.input_seconds, limits.input_rate, limits.max_unfinished_bytes)
        self.sessions.max_subscriptions = limits.max_subscriptions_per_connection
        self.unfinished.answers.seconds = limits.unread_seconds
        self.unfinished.answers.most = limits.max_unread_bytes
        names = self.sessions.names
        names.most, names.most_bytes = limits.max_subscriptions, limits.max_topic_bytes_total
        names.bytes_of_connection = limits.max_topic_bytes_per_connection
        self.authorizing.max_name_bytes = limits.max_topic_bytes
        self.authorizing.forget_lifecycles()
        self.live.change(config.live)
        self.config = config
