"""The parts list: the server's components, leaves first.

Adapters and transports meet here and nowhere else.  Rule: nothing happens while
the parts are put together; what runs is started by `server.service`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import attrs
import msgspec
from prometheus_client.registry import Collector
from twisted.python.threadpool import ThreadPool
from twisted.web.resource import IResource

from takotwist.adapters.callable_runner import CallableRunner
from takotwist.admin.health import Health
from takotwist.admin.metrics import LiveCollector, WebhooksCollector
from takotwist.admin.nodes import NodeInfo, OtherNodes, this_process
from takotwist.core.channel import Registry
from takotwist.core.limits import ConnectionLimits, TopicNames
from takotwist.flow.channel_states import ChannelStates
from takotwist.flow.lease import Lease
from takotwist.flow.member_events import MemberEvents
from takotwist.flow.presence import PresenceService
from takotwist.flow.presence_hooks import hooks_endpoint
from takotwist.flow.presence_list import PresenceLists
from takotwist.flow.presence_nodes import Living
from takotwist.flow.presence_store import RosterStore
from takotwist.flow.publish import at_once
from takotwist.flow.session_services import SessionServices
from takotwist.flow.sessions import Sessions
from takotwist.flow.webhooks import Courier
from takotwist.interfaces import IReactor
from takotwist.live.broadcast.bus import Bus
from takotwist.live.peers import Peers, name_on
from takotwist.ports import IAuthorizer, IReplayLog, IWebhookSender
from takotwist.server.compose_live import compose_live, live_routes
from takotwist.server.compose_messages import compose_messages
from takotwist.server.compose_pages import compose_pages
from takotwist.server.compose_presence import kicks_of, rosters, saying
from takotwist.server.compose_sentences import compose_sentences
from takotwist.server.config import Config
from takotwist.server.in_process import storing
from takotwist.server.listener_access import ListenerAccess
from takotwist.server.parts import Parts
from takotwist.server.reloadable import Rates, Reloadable
from takotwist.server.start_page import StartPage
from takotwist.streams.http.interface import ReadableRequest
from takotwist.streams.unfinished import Unfinished
from takotwist.streams.websocket.config import WebSocketConfig
from takotwist.streams.websocket.upgrade import WebSocketUpgrade
from takotwist.transports.admission import Admission
from takotwist.transports.history import HistoryTransport
from takotwist.transports.live.peer_door import PeerDoor
from takotwist.transports.live.routes import LiveRoutes
from takotwist.transports.presence import PresenceTransport
from takotwist.transports.publish.intake import PublishIntake
from takotwist.transports.publish.route import PublishTransport
from takotwist.transports.responses import Responses
from takotwist.transports.site import Answer, Facade, Routes
from takotwist.transports.sse import SseTransport
from takotwist.transports.websocket import WebSocketTransport

if TYPE_CHECKING:
    from takotwist.server.compose_webhooks import Webhooks

#: What a frame of a live object has beside its data, in bytes.
LIVE_ENVELOPE_BYTES = 4 * 1024


def compose(
    config: Config,
    *,
    reactor: IReactor,
    wall: Callable[[], float],
    random: Callable[[], float],
    new_id: Callable[[], str],
    log: IReplayLog,
    registry: Registry,
    authorizer: IAuthorizer,
    pool: ThreadPool,
    health: Callable[[], Health],
    soon: Callable[[Callable[[], object]], object] = at_once,
    bus: Bus | None = None,
    beside: CallableRunner | None = None,
    refresh: Callable[[], Awaitable[bool]] | None = None,
    elsewhere: IResource | None = None,
    more_pages: Mapping[str, IResource] | None = None,
    webhook_sender: IWebhookSender | None = None,
    peers: Peers | None = None,
    others: OtherNodes | None = None,
    info: NodeInfo | None = None,
    node: str = "",
    nodes: Collection[str] | None = ("",),
    living: Living | None = None,
) -> Parts:
    """Put the server together.

    :param reactor: its clock drives deadlines and durations.
    :param wall: unix time in seconds: ids and expiries.
    :param random: a number from 0 to 1.
    :param new_id: a fresh name for a connection.
    :param pool: threads for plain functions of the app.
    :param health: the state of the server, for its page.
    :param soon: see `PublisherService`.
    :param bus: of broadcasts; left out, that of the process.
    :param beside: runs the channels' functions on the same threads.
    :param refresh: see `AuthorizerService`.
    :param elsewhere: the resource of all paths that are not ours.
    :param webhook_sender: in the place of the one that posts.
    :param peers: the other nodes, where there are several.
    :param others: the same, as the administrator's pages need them.
    :param info: what there is to say of this node; left out, of this process.
    :param node: the name of this node among those that share the log, the same in its next
        run, `nodes` and `living`: see `PresenceService`.
    :param more_pages: public pages beside ours, by their paths, or in the place of one of ours.
    """
    seconds = reactor.seconds
    reloadable = Reloadable.of(config)
    rates = Rates(reloadable)

    # the three sentences
    asked = authorizer
    if config.pusher.apps:
        # Here, because most servers need none of it.
        from takotwist.server.compose_pusher import PusherChannelAuthorizer, compose_pusher

        asked = PusherChannelAuthorizer(authorizer, registry)
    sentences = compose_sentences(
        config, reloadable, registry, asked, log, refresh, soon, reactor=reactor, wall=wall
    )
    unfinished = Unfinished(
        reactor, reloadable, lambda why: sentences.metrics.cuts.update((why.value,))
    )

    @lru_cache(maxsize=4)
    def upgrade(size: int) -> WebSocketUpgrade:
        bounds = WebSocketConfig(max_frame_size=size, max_message_size=size)
        return WebSocketUpgrade(bounds, reactor, unfinished)

    process = node if log.everything else f"{node} {new_id()}"
    lease = Lease(sentences.publishing, process)
    webhooks: Webhooks | None = None
    if config.webhooks.endpoints or any(app.webhook_url for app in config.pusher.apps):
        # Here, because most servers need none of it.
        from takotwist.adapters.webhook_sender import WebhookSender
        from takotwist.server.compose_webhooks import compose_webhooks

        timeout = config.webhooks.timeout_seconds
        sender = webhook_sender or WebhookSender(reactor, timeout)
        webhooks = compose_webhooks(config, sentences, random, sender, lease, node, process)

    # who is connected
    connection_limits = ConnectionLimits(reloadable)
    roster_store = RosterStore(
        log,
        sentences.publishing,
        sentences.authorizing,
        MemberEvents(
            sentences.publishing,
            sentences.attacher,
            lease,
            Courier(
                hooks_endpoint(authorizer), sentences.publishing, sentences.deadlines, random, lease
            ),
            () if webhooks is None else webhooks.native,
        ),
    )
    presence = PresenceService(
        roster_store,
        sentences.fanout,
        reloadable,
        seconds,
        wall,
        reactor.callLater,
        node,
        nodes,
        living,
    )
    lists = PresenceLists(log)
    session_services = SessionServices(
        connection_limits,
        reloadable,
        TopicNames(reloadable),
        sentences.attacher,
        sentences.publishing,
        sentences.authorizing,
        asked,
        presence,
        sentences.deadlines,
        seconds,
        wall,
        random,
        ChannelStates(log, asked, reloadable, seconds),
    )
    new_name = new_id if peers is None else lambda: name_on(peers.name, new_id())
    sessions = Sessions(session_services, sentences.metrics, new_name)

    kicks = kicks_of(sentences, presence, sessions, process)

    streamed = compose_messages(config.streams, sentences, wall=wall, random=random)

    # functions of the app, and the live objects that they hand out
    live = compose_live(
        config.live,
        sentences,
        reloadable,
        reactor=reactor,
        pool=pool,
        queue=config.app.queue,
        bus=bus,
        beside=beside,
        peers=peers,
    )

    # how they come in: the public listeners, and the private one where all is allowed
    access = ListenerAccess.of(reloadable, seconds)
    answers = Responses(sentences.metrics, reloadable.allows, lambda: reloadable.headers)
    private_answers = Responses(sentences.metrics, access.private_allows)
    admission = Admission(
        sentences.authorizing,
        sentences.attacher,
        sessions,
        answers,
        sentences.flush_batch,
        reloadable.allows,
        reloadable.address,
        seconds,
        config.limits.outbox_bytes,
        reloadable,
        lambda address, tokens: rates.take_frame(address, seconds(), tokens),
        access.origin_refused,
        live=live.link,
    )
    trusted = attrs.evolve(
        admission, answers=private_answers, allows=access.private_allows, trusted=True, live=None
    )
    max_live_frame_bytes = config.live.max_message_bytes + LIVE_ENVELOPE_BYTES

    def routes(
        admission: Admission,
        may_publish: Callable[[ReadableRequest], None],
        cost: Callable[[str, int], None],
        check_access: Callable[[ReadableRequest], None],
        pages: Mapping[str, IResource],
        live: LiveRoutes | None = None,
        elsewhere: IResource | None = None,
        facades: Sequence[Facade] = (),
    ) -> Routes:
        sse = SseTransport(admission)
        return Routes(
            config.http.base_paths,
            admission.answers,
            sse,
            WebSocketTransport(admission, upgrade, max_live_frame_bytes),
            PublishTransport(
                PublishIntake(
                    sentences.authorizing,
                    sentences.publishing,
                    admission.answers,
                    reloadable,
                    cost,
                    sentences.deadlines,
                ),
                may_publish,
            ),
            HistoryTransport(admission, log, sentences.followed),
            PresenceTransport(
                admission,
                presence,
                lists,
                kicks,
                sse,
                lambda: reloadable.limits.max_presence_state_bytes,
                may_publish,
                peers,
            ),
            streamed.routes(admission, may_publish, cost),
            pages,
            live,
            elsewhere,
            check_access,
            facades,
        )

    functions = live_routes(live, admission, config.live, peers)
    collectors: list[Collector] = [LiveCollector(live.sessions)]
    if webhooks is not None:
        collectors.append(WebhooksCollector(webhooks.couriers))

    began = wall()

    def node_info() -> NodeInfo:
        return msgspec.structs.replace(
            info or this_process(),
            since=began,
            ready=health().ready,
            store_available=health().store,
            head=log.head,
            connections=len(sessions),
            subscriptions=sentences.metrics.subscriptions,
            topics=len(sentences.fanout.keys()),
        )

    pages = compose_pages(reactor, health, sentences, collectors, registry, node_info, others)
    peer_door = None
    if peers is not None:
        peer_door = PeerDoor(
            peers.name,
            peers.secret,
            live.link,
            functions,
            sentences.deadlines,
            pages.for_peers(),
            saying(sentences.authorizing, presence),
        )

    def publish_cost(sender: str, count: int) -> None:
        rates.take_publish(sender, seconds(), count)

    facades: list[Facade] = []
    private_facades: list[Facade] = []
    if config.pusher.apps:
        facades.append(
            compose_pusher(
                config.pusher,
                admission,
                sentences,
                reloadable,
                upgrade,
                publish_cost,
                webhooks,
                wall=wall,
            )
        )
    if config.streams.path:
        # Here, because most servers need none of it.
        from takotwist.server.compose_streams import compose_streams

        streams = compose_streams(config.streams, sentences, reloadable, wall=wall, random=random)
        facades.append(streams(admission, reloadable.check_key, publish_cost))
        private_facades.append(streams(trusted, lambda request: None, lambda sender, count: None))
    public = routes(
        admission,
        reloadable.check_key,
        publish_cost,
        access.check_public,
        {
            **pages.public(),
            **({} if elsewhere is not None else {"/": Answer(answers, StartPage(reloadable))}),
            **(more_pages or {}),
        },
        functions,
        elsewhere,
        facades,
    )
    private = routes(
        trusted,
        lambda request: None,
        lambda sender, count: None,
        access.check_private,
        pages.private(),
        facades=private_facades,
    )

    return Parts(
        reloadable=reloadable,
        registry=registry,
        authorizer=authorizer,
        log=log,
        metrics=sentences.metrics,
        deadlines=sentences.deadlines,
        flush_batch=sentences.flush_batch,
        fanout=sentences.fanout,
        attacher=sentences.attacher,
        follower=sentences.follower,
        publishing=sentences.publishing,
        authorizing=sentences.authorizing,
        presence=presence,
        kicks=kicks,
        webhooks=webhooks,
        sessions=sessions,
        limits=connection_limits,
        answers=answers,
        unfinished=unfinished,
        admissions=(admission, trusted),
        store=storing(sentences.authorizing, sentences.publishing),
        rosters=rosters(sentences.authorizing, lists, kicks),
        streamed=streamed,
        live=live,
        peer_door=peer_door,
        node_info=node_info,
        public=public,
        private=private,
    )
