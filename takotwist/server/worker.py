"""One worker of several: the ordinary server, with connections that the supervisor hands to it.

What is bounded for the whole server is shared out among its workers; what is bounded for one
client is not, because a client's connections are not spread by client, and half of a small bound
would refuse whoever has two connections on one worker.  Rule: no share is too small for what one
message or one connection may need.
"""

from __future__ import annotations

import random
import secrets
import socket
from collections.abc import Callable

import attrs

from takotwist.core.json_values import JsonObject
from takotwist.interfaces import IReactor
from takotwist.ports import IReplayLog
from takotwist.server.config import Config
from takotwist.server.config.config import KEYS
from takotwist.server.log_writer import worker_log
from takotwist.server.replay_log import MakeLog, replay_log
from takotwist.server.service import TakoService
from takotwist.server.supervisor.child import Child
from takotwist.server.supervisor.handed import HandedEndpoint, HandedSocket
from takotwist.server.supervisor.handing import SharedCounts
from takotwist.server.worker_context import WorkerContext

#: What is shared out, and the key below which no share goes.
SHARED = {
    "limits.max_connections": None,
    "limits.max_subscriptions": "limits.max_subscriptions_per_connection",
    "limits.max_topic_bytes_total": "limits.max_topic_bytes_per_connection",
    "limits.max_unfinished_bytes": "limits.max_body_bytes",
    "limits.max_unread_bytes": "limits.outbox_bytes",
    "limits.tail_total_bytes": "limits.tail_bytes",
    "limits.pending_appends": None,
    "limits.pending_append_bytes": "limits.max_message_bytes",
    "live.buffer_total_bytes": "live.buffer_limit",
    "live.max_sessions": None,
    "app.max_concurrency": None,
    "app.queue": None,
}


class WorkerService(TakoService):
    """The server of one worker."""

    def __init__(
        self, config: Config, reactor: IReactor, worker: WorkerContext, make_log: MakeLog
    ) -> None:
        shared = share(config, worker.count)
        super().__init__(shared, reactor, worker=worker, make_log=make_log)
        self._count = worker.count

    def reload(self, config: Config) -> None:
        """See `TakoService`."""
        super().reload(share(config, self._count))

    def leave(self) -> None:
        """See `ChildService`."""
        self.listeners.hand_over()


def share(config: Config, count: int) -> Config:
    """The configuration of one of `count` workers: its part of what is bounded for all."""
    sections: dict[str, dict[str, int]] = {}
    for dotted, least in SHARED.items():
        key = KEYS[dotted]
        part = -(-config.value(key) // count)
        floor = 0 if least is None else min(config.value(KEYS[least]), config.value(key))
        sections.setdefault(key.section, {})[key.name] = max(part, floor)
    changes: JsonObject = {
        name: attrs.evolve(getattr(config, name), **change) for name, change in sections.items()
    }
    return attrs.evolve(config, **changes)


def make(child: Child, reactor: IReactor) -> WorkerService:
    """The service of a worker; see `ChildService`."""
    return serving(child, child.config, reactor, shared_log(child))


def shared_log(child: Child) -> MakeLog:
    """Makes the log of a worker: what all of them share."""

    def make_log(config: Config, reactor: IReactor, wall: Callable[[], float]) -> IReplayLog:
        if config.replay.url is not None:
            return replay_log(config, reactor, wall)
        name = secrets.token_urlsafe(9)
        return worker_log(config, reactor, name, random.random, child.outdated)

    return make_log


def serving(child: Child, config: Config, reactor: IReactor, make_log: MakeLog) -> WorkerService:
    """The same, of another configuration, or with another log."""
    start = child.start
    counts = SharedCounts(start.slots, start.counts)
    untaken = len(start.listeners)

    def one_taken() -> None:
        nonlocal untaken
        untaken -= 1
        if not untaken:
            child.taken()

    handed = []
    for descriptor, family, address in start.listeners:
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, descriptor)
        channel.setblocking(False)
        named = tuple(address) if isinstance(address, list) else address
        taking = HandedSocket(
            channel, socket.AddressFamily(family), named, counts, start.slot, one_taken
        )
        handed.append(HandedEndpoint(reactor, taking))
    quic = None
    if start.quic is not None:
        from takotwist.server.supervisor.quic import WorkerQuic

        quic = WorkerQuic.of(reactor, start.slot, start.quic, counts)
    worker = WorkerContext(start.number, start.count, start.slot, handed, child.ready, quic)
    return WorkerService(config, reactor, worker, make_log)
