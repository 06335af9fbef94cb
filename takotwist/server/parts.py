"""The server, put together: what `compose` returns.

Whoever needs a part takes it from here by its name.  Rule: a part is made once, whole, and
nothing is set on it from outside; what SIGHUP changes is in `reloadable`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from takotwist.adapters.authorize_local import Rosters, Store
from takotwist.admin.nodes import NodeInfo
from takotwist.core.channel import Registry
from takotwist.core.deadlines import Deadlines
from takotwist.core.fanout import FanOut
from takotwist.core.limits import ConnectionLimits
from takotwist.core.metrics import Metrics
from takotwist.core.send_queue import FlushBatch
from takotwist.flow.attach import Attacher
from takotwist.flow.authorize import AuthorizerService
from takotwist.flow.follow import Follower
from takotwist.flow.presence import PresenceService
from takotwist.flow.presence_kicks import PresenceKicks
from takotwist.flow.publish import PublisherService
from takotwist.flow.sessions import Sessions
from takotwist.ports import IAuthorizer, IReplayLog
from takotwist.server.compose_live import LiveParts
from takotwist.server.compose_messages import MessageParts
from takotwist.server.config import Config
from takotwist.server.reloadable import Reloadable
from takotwist.streams.unfinished import Unfinished
from takotwist.transports.admission import Admission
from takotwist.transports.live.peer_door import PeerDoor
from takotwist.transports.responses import Responses
from takotwist.transports.site import Routes

if TYPE_CHECKING:
    from takotwist.server.compose_webhooks import Webhooks


@attrs.frozen(slots=True, eq=False, kw_only=True)
class Parts:
    """All parts, by name.

    :ivar reloadable: the settings that a reload changes.
    :ivar limits: of connections.
    :ivar admissions: of the public listeners and of the private one.
    :ivar peer_door: answers the other nodes, where there are several.
    :ivar node_info: what this node says of itself now.
    :ivar webhooks: who is told what happens; `None` where nobody is.
    :ivar streamed: messages that are written bit by bit.
    :ivar store: stores on one topic, for the app's code in this process; `rosters`: who is
        there.
    """

    reloadable: Reloadable
    registry: Registry
    authorizer: IAuthorizer
    log: IReplayLog
    metrics: Metrics
    deadlines: Deadlines
    flush_batch: FlushBatch
    fanout: FanOut
    attacher: Attacher
    follower: Follower
    publishing: PublisherService
    authorizing: AuthorizerService
    presence: PresenceService
    kicks: PresenceKicks
    webhooks: Webhooks | None
    sessions: Sessions
    limits: ConnectionLimits
    answers: Responses
    unfinished: Unfinished
    admissions: tuple[Admission, Admission]
    store: Store
    rosters: Rosters
    streamed: MessageParts
    live: LiveParts
    peer_door: PeerDoor | None
    node_info: Callable[[], NodeInfo]
    public: Routes
    private: Routes

    def stop_admitting(self) -> None:
        """Let nobody new in."""
        for admission in self.admissions:
            admission.stop()
        for routes in (self.public, self.private):
            routes.publish.stop()

    def change(self, config: Config) -> None:
        """Take up what a new configuration may change without dropping a connection."""
        self.reloadable.change(config)
        self.authorizing.forget_lifecycles()
