"""A whole server in memory, with a clock that a test turns: for your tests and ours.

::

    world = World(chat)
    reader = world.subscribe("/channels/chat?roomId=lobby", {"Authorization": "Bearer ann"})
    world.publish("/channels/chat?roomId=lobby", "msg", {"text": "hi"})
    assert reader.messages[0]["data"] == {"text": "hi"}
    world.advance(7200)
    assert reader.ended

It is the server's own composition over the replay log in memory: parsing, checks,
authorization, handlers, replay and limits are those of production.  Rule: nothing
happens but by a call of the test, and no time passes but by `advance`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import count
from typing import Any

import attrs
import msgspec
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.web.resource import IResource

from takotwist.adapters.authorize_local import LocalAuthorizer, LocalPublishing
from takotwist.adapters.memory.log import InMemoryReplayLog
from takotwist.admin.health import Health
from takotwist.app.channel import Channel
from takotwist.app.discovery import Discovered
from takotwist.core.channel import Registry
from takotwist.core.json_values import Json
from takotwist.flow.presence_nodes import Living
from takotwist.live.broadcast.broadcast import set_default_broadcasts
from takotwist.live.broadcast.bus import Bus
from takotwist.live.functions.function import Function
from takotwist.live.peers import Peers
from takotwist.ports import IAuthorizer, IReplayLog, IWebhookSender
from takotwist.server.compose import compose
from takotwist.server.compose_live import LiveParts
from takotwist.server.config import Config
from takotwist.server.parts import Parts
from takotwist.server.sites import site
from takotwist.server.timers import Sweeper, Ticker, drain
from takotwist.testing.memory_peer import HttpPeer
from takotwist.testing.memory_socket import MemorySocket

#: When a world begins, in unix seconds.
BEGINNING = 1_763_700_000.0

#: How far the clock goes at once.
STEP = 0.25


class WorldClock(Clock):
    """A clock whose threads are not real: what they pass on happens at once."""

    def callFromThread(
        self, call: Callable[..., object], *arguments: object, **named: object
    ) -> None:
        """Implement `IReactorFromThreads`."""
        call(*arguments, **named)


class _AtOnce:
    """A thread pool that does all work where it is asked."""

    max = 16

    def callInThreadWithCallback(
        self,
        on_result: Callable[[bool, object], object],
        function: Callable[..., object],
        *arguments: object,
        **named: object,
    ) -> None:
        try:
            result = function(*arguments, **named)
        except BaseException:
            on_result(False, Failure())
        else:
            on_result(True, result)


class World:
    """One server, its clock, and whoever connects to it.

    :param channels: as `define_channel` returned them.
    :param config: what differs from the defaults, such as ``Config(limits=Limits(...))``.
    :param log: another replay log than one in memory, as a `MemoryNode` of a store that
        several worlds share.
    :param clock: of another world: time passes for both.
    :param peers: the other worlds, for live objects of pages that come by another one.
    :param node: the name of this one among those that share `log`, and `nodes`: of those that
        are to be.
    :param run: tells this run of the node from another, as in a rolling restart.
    :param living: names the nodes that are there, in place of `nodes`, where they come and go.
    :param authorizer: who is asked in place of the channels' own functions.
    :param pages: what answers every path that is not the server's.
    :param functions: that pages may call, as `takotwist.live.functions.function` returned them.
    :param webhook_sender: takes what webhooks would post.
    :ivar clock: the time; turn it with `advance`.
    :ivar parts: the server, put together.
    :ivar live: its live objects.
    """

    def __init__(
        self,
        *channels: Channel[Any],
        config: Config | None = None,
        log: IReplayLog | None = None,
        authorizer: IAuthorizer | None = None,
        random: float = 0.5,
        functions: Iterable[Function[..., object]] = (),
        pages: IResource | None = None,
        clock: WorldClock | None = None,
        peers: Peers | None = None,
        node: str = "",
        run: str = "",
        nodes: Collection[str] | None = None,
        living: Living | None = None,
        webhook_sender: IWebhookSender | None = None,
    ) -> None:
        self.clock = clock or WorldClock()
        if clock is None:
            self.clock.rightNow = BEGINNING
        self.config = config or Config()
        names = count(1)
        # A clock and what threads pass on are all that a server in memory uses of these.
        pool: Any = _AtOnce()
        reactor: Any = self.clock
        default = self.config.lifecycle.lifecycle()
        defined = (
            attrs.evolve(one, definition=one.definition.with_defaults(default))
            for one in Discovered(channels).defined
        )
        local = LocalAuthorizer(channels, reactor, pool)
        self.parts: Parts = compose(
            self.config,
            reactor=reactor,
            wall=self.clock.seconds,
            random=lambda: random,
            new_id=lambda: f"{run}c{next(names)}",
            log=log or InMemoryReplayLog(self.clock),
            registry=Registry.of([*self.config.defined, *defined]),
            authorizer=authorizer or local,
            pool=pool,
            health=lambda: Health.of(True, self.parts.log.available, self.parts.publishing.storing),
            bus=Bus(self.clock.seconds),
            beside=local.runner,
            elsewhere=pages,
            peers=peers,
            node=node,
            nodes=nodes,
            living=living,
            webhook_sender=webhook_sender,
        )
        self.live: LiveParts = self.parts.live
        set_default_broadcasts(self.live.services.broadcasts)
        self.live.replace({one.name: one for one in functions})
        for channel in channels:
            parts = self.parts
            local_publishing = LocalPublishing(
                reactor,
                parts.store,
                lambda: True,
                rosters=parts.rosters,
                streams=parts.streamed.in_process,
            )
            channel.bind(local_publishing)
        self.parts.log.start(self.parts.follower)
        self.live.feed.start()
        self.parts.kicks.start()
        self.parts.presence.start()
        for facade in self.parts.public.facades:
            facade.start()
        self.parts.streamed.messages.start()
        if self.parts.webhooks is not None:
            self.parts.webhooks.start()
        parts = self.parts
        self._public = site(parts.public, parts.reloadable, reactor, parts.unfinished)
        self._private = site(parts.private, parts.reloadable, reactor, parts.unfinished)
        self._ticker = Ticker(parts.deadlines, parts.flush_batch, parts.metrics, self.clock)
        self._ticker.startService()
        interval = self.config.replay.sweep_interval_seconds
        Sweeper(
            parts.log, parts.fanout.keys, self.clock.seconds, self.clock, interval
        ).startService()

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        whole, rest = divmod(seconds, STEP)
        for _ in range(int(whole)):
            self.clock.advance(STEP)
        self.clock.advance(rest)

    def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | object = b"",
        *,
        private: bool = False,
        address: str = "192.0.2.1",
    ) -> HttpPeer:
        """Send a request, on a connection of its own.

        :param target: path and query.
        :param body: bytes as they are, anything else as JSON.
        :param private: on the private listener, where everything is allowed.
        :param address: where the client is, for limits by address.
        :return: the connection: whatever was answered at once is there.
        """
        peer = HttpPeer(self._connection(private, address), address)
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        peer.ask(method, target, headers or {}, data)
        return peer

    def get(self, target: str, headers: Mapping[str, str] | None = None, **more: Any) -> HttpPeer:
        """A GET; see `request`."""
        return self.request("GET", target, headers, **more)

    #: An event stream is a GET whose answer goes on.
    subscribe = get

    def connect(
        self,
        target: str,
        headers: Mapping[str, str] | None = None,
        *,
        subprotocol: str | None = None,
        private: bool = False,
        address: str = "192.0.2.1",
    ) -> MemorySocket:
        """Open a WebSocket; see `request`.

        :param subprotocol: ``tako.v1`` for the explicit protocol.
        """
        peer = MemorySocket(self._connection(private, address), address)
        peer.open(target, subprotocol, headers or {})
        return peer

    def publish(self, target: str, type: str, data: object) -> Json:
        """Publish one message, as the app would; the message as stored.

        :param target: path and query of the topic.
        """
        answer = self.request("POST", target, body={"type": type, "data": data}, private=True)
        assert answer.status == 200, answer.received.decode()
        return answer.json

    def stop(self) -> Deferred[None]:
        """Begin the calm stop; turn the clock until the Deferred has fired."""
        self.parts.stop_admitting()
        seconds = self.config.limits.drain_seconds
        return ensureDeferred(drain(self.parts.sessions, self.clock, seconds))

    def _connection(self, private: bool, address: str) -> object:
        factory = self._private if private else self._public
        return factory.buildProtocol(IPv4Address("TCP", address, 40_000))
