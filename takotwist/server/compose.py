"""The parts list: what the server is made of, leaves first.

Adapters and transports meet here and nowhere else.  Rule: nothing happens while
the parts are put together; what runs is started by `server.service`.

Publishes of the app's code in this process: the second sentence, without HTTP.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import attrs
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.web.resource import IResource

from takotwist.adapters.authorize_local import Store
from takotwist.core.channel import Registry
from takotwist.core.deadlines import Deadlines
from takotwist.core.fanout import FanOut
from takotwist.core.limits import Concurrency, ConnectionLimits, Rate, TopicNames
from takotwist.core.log import GroupCommit
from takotwist.core.metrics import Metrics
from takotwist.core.send_queue import FlushBatch
from takotwist.core.tail import Tails
from takotwist.core.topic import Draft, Message
from takotwist.flow.attach import Attacher
from takotwist.flow.authorize import AuthorizerService
from takotwist.flow.publish import PublisherService, validate
from takotwist.flow.read_log import SharedReads
from takotwist.flow.sessions import Sessions
from takotwist.ports import IAuthorizer, IReplayLog
from takotwist.server.config import Config
from takotwist.server.doors import Doors
from takotwist.server.parts import Parts
from takotwist.server.reloadable import Rates, Reloadable
from takotwist.server.upgrades import Upgrades
from takotwist.streams.http.interface import ReadableRequest
from takotwist.streams.seams.socket import blocked_sends
from takotwist.streams.unfinished import Unfinished
from takotwist.transports.admission import Admission
from takotwist.transports.history import HistoryTransport
from takotwist.transports.publish.route import PublishTransport, StreamTimes
from takotwist.transports.responses import Responses
from takotwist.transports.site import Routes
from takotwist.transports.sse import SseTransport
from takotwist.transports.websocket import WebSocketTransport


def storing(authorizing: AuthorizerService, publishing: PublisherService) -> Store:
    """What `LocalPublishing` stores with."""

    async def stored(
        channel: str, params: Mapping[str, Any], drafts: Sequence[Draft], key: str | None
    ) -> Sequence[Message]:
        definition = await authorizing.find(channel)
        asked = authorizing.bind(definition, params)
        validate(definition, drafts)
        lifecycle = authorizing.lifecycle(definition)
        return (await publishing.publish(asked.topic, drafts, lifecycle, key)).messages

    def store(
        channel: str, params: Mapping[str, Any], drafts: Sequence[Draft], key: str | None
    ) -> Deferred[Sequence[Message]]:
        return ensureDeferred(stored(channel, params, drafts, key))

    return store


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
    :param refresh: see `AuthorizerService`.
    :param elsewhere: what answers the paths that are not ours.
    """
    limits, seconds = config.limits, reactor.seconds

    # what all of them count, wait for and send through
    metrics, deadlines, flush_batch = Metrics(), Deadlines(), FlushBatch()
    fanout = FanOut(flush_batch, blocked_sends(reactor))
    tails = Tails(limits.tail_bytes, limits.tail_total_bytes)
    reloadable, rates = Reloadable.of(config), Rates.of(config)
    unfinished = Unfinished(
        reactor,
        limits.input_seconds,
        limits.input_rate,
        limits.max_unfinished_bytes,
        lambda why: metrics.cuts.update((why.value,)),
    )
    unfinished.answers.seconds = limits.unread_seconds
    unfinished.answers.most = limits.max_unread_bytes
    upgrades = partial(Upgrades.of, reactor=reactor, unfinished=unfinished)

    # the two sentences
    authorizing = AuthorizerService(
        registry, authorizer, metrics, seconds, refresh, limits.max_topic_bytes
    )
    reads = SharedReads(log, tails, metrics)
    attacher = Attacher(log, reads, fanout, tails, metrics, deadlines, wall, seconds)
    group: GroupCommit[Any] = GroupCommit(
        max_waiting=limits.pending_appends, max_waiting_bytes=limits.pending_append_bytes
    )
    publishing = PublisherService(
        log, fanout, tails, attacher, flush_batch, metrics, wall, seconds, group
    )

    # who is connected
    connection_limits = ConnectionLimits(
        limits.max_connections,
        Concurrency(limits.max_connections_per_address),
        Concurrency(limits.max_connections_per_subject),
        Rate(limits.connect_rate, limits.connect_burst),
    )
    sessions = Sessions(
        connection_limits,
        limits.max_subscriptions_per_connection,
        TopicNames(
            limits.max_subscriptions,
            limits.max_topic_bytes_total,
            limits.max_topic_bytes_per_connection,
        ),
        attacher,
        publishing,
        authorizing,
        authorizer,
        deadlines,
        metrics,
        seconds,
        wall,
        random,
        new_id,
    )

    # how they come in: the public listeners, and the private one where all is allowed
    doors = Doors.of(reloadable, seconds)
    answers = Responses(metrics, reloadable.allows, lambda: reloadable.headers)
    private_answers = Responses(metrics, doors.private_allows)
    admission = Admission(
        authorizing,
        attacher,
        sessions,
        answers,
        flush_batch,
        reloadable.allows,
        reloadable.address,
        seconds,
        limits.outbox_bytes,
        limits.max_message_bytes,
        lambda address, tokens: rates.take_frame(address, seconds(), tokens),
        doors.origin_refused,
    )
    trusted = attrs.evolve(
        admission, answers=private_answers, allows=doors.private_allows, trusted=True
    )
    upgrade = upgrades(config)

    def routes(
        admission: Admission,
        may_publish: Callable[[ReadableRequest], None],
        cost: Callable[[str, int], None],
    ) -> Routes:
        return Routes(
            config.http.base_paths,
            admission.answers,
            SseTransport(admission),
            WebSocketTransport(admission, upgrade.one, upgrade.many),
            PublishTransport(
                authorizing,
                publishing,
                admission.answers,
                may_publish,
                limits.max_message_bytes,
                limits.max_body_bytes,
                cost,
                lambda: reloadable.keys,
                deadlines,
                StreamTimes(config.publish.stream_idle_seconds, config.publish.stream_seconds),
            ),
            HistoryTransport(admission, log),
        )

    public = routes(
        admission,
        reloadable.check_key,
        lambda sender, count: rates.publishes.take(sender, seconds(), count),
    )
    public.elsewhere, public.door = elsewhere, doors.public
    private = routes(trusted, lambda request: None, lambda sender, count: None)
    private.door = doors.private

    return Parts(
        config=config,
        reloadable=reloadable,
        registry=registry,
        authorizer=authorizer,
        log=log,
        metrics=metrics,
        deadlines=deadlines,
        flush_batch=flush_batch,
        fanout=fanout,
        attacher=attacher,
        publishing=publishing,
        authorizing=authorizing,
        sessions=sessions,
        limits=connection_limits,
        rates=rates,
        answers=answers,
        unfinished=unfinished,
        admissions=(admission, trusted),
        store=storing(authorizing, publishing),
        public=public,
        private=private,
        upgrades=upgrades,
    )
