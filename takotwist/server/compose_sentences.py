"""The parts list of the three sentences, and of what they count, wait for and send through."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import attrs

from takotwist.core.channel import Registry
from takotwist.core.deadlines import Deadlines
from takotwist.core.fanout import FanOut
from takotwist.core.log import (
    BATCH,
    BATCH_BYTES,
    SHARED_BATCH,
    SHARED_BATCH_BYTES,
    GroupCommit,
)
from takotwist.core.metrics import Metrics
from takotwist.core.send_queue import FlushBatch
from takotwist.core.tail import Tails
from takotwist.flow.attach import Attacher
from takotwist.flow.authorize import AuthorizerService
from takotwist.flow.follow import Follower
from takotwist.flow.followed import FollowedTopics
from takotwist.flow.publish import PublisherService
from takotwist.flow.read_log import SharedReads
from takotwist.interfaces import IReactor
from takotwist.ports import IAuthorizer, IReplayLog
from takotwist.server.config import Config
from takotwist.server.reloadable import Reloadable
from takotwist.streams.seams.socket import blocked_sends


@attrs.frozen(slots=True, eq=False, kw_only=True)
class Sentences:
    """Authorize and attach; publish; follow.

    :ivar group: appends that wait for their turn.
    """

    metrics: Metrics
    deadlines: Deadlines
    flush_batch: FlushBatch
    fanout: FanOut
    tails: Tails
    group: GroupCommit[Any]
    followed: FollowedTopics
    authorizing: AuthorizerService
    attacher: Attacher
    follower: Follower
    publishing: PublisherService


def compose_sentences(
    config: Config,
    settings: Reloadable,
    registry: Registry,
    authorizer: IAuthorizer,
    log: IReplayLog,
    refresh: Callable[[], Awaitable[bool]] | None,
    soon: Callable[[Callable[[], object]], object],
    *,
    reactor: IReactor,
    wall: Callable[[], float],
) -> Sentences:
    """The sentences of one server; for the arguments see `compose`."""
    limits, seconds = config.limits, reactor.seconds
    metrics, deadlines, flush_batch = Metrics(), Deadlines(), FlushBatch()
    fanout = FanOut(flush_batch, blocked_sends(reactor))
    tails = Tails(limits.tail_bytes, limits.tail_total_bytes)
    authorizing = AuthorizerService(registry, authorizer, metrics, seconds, settings, refresh)
    followed = FollowedTopics(log, tails, deadlines, seconds)
    reads = SharedReads(log, followed, tails, metrics)
    attacher = Attacher(log, followed, reads, fanout, tails, metrics, deadlines, wall, seconds)
    shared = config.replay.url is not None
    group: GroupCommit[Any] = GroupCommit(
        SHARED_BATCH if shared else BATCH,
        SHARED_BATCH_BYTES if shared else BATCH_BYTES,
        limits.pending_appends,
        limits.pending_append_bytes,
    )
    follower = Follower(
        fanout, tails, attacher, followed, flush_batch, metrics, wall, seconds, registry.conflates
    )
    return Sentences(
        metrics=metrics,
        deadlines=deadlines,
        flush_batch=flush_batch,
        fanout=fanout,
        tails=tails,
        group=group,
        followed=followed,
        authorizing=authorizing,
        attacher=attacher,
        follower=follower,
        publishing=PublisherService(
            log,
            follower,
            flush_batch,
            metrics,
            wall,
            seconds,
            group,
            soon,
            lambda pause, action: deadlines.at(seconds() + pause, action),
        ),
    )
