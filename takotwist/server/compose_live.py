"""The parts list of live objects, which `compose` puts between the sentences and the listeners.

Rule: they are served where the app has functions, and on the public listeners
alone, because an object belongs to the caller of its function.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping

import attrs
from twisted.internet.defer import CancelledError
from twisted.python.threadable import isInIOThread
from twisted.python.threadpool import ThreadPool

from takotwist.adapters.callable_runner import CallableRunner, DeadlinePassed, Raised
from takotwist.core.limits import Rate, network_of
from takotwist.flow.topic_request import RequestCredentials
from takotwist.interfaces import IReactor
from takotwist.live.broadcast.broadcast import Broadcasts, default_broadcasts
from takotwist.live.broadcast.bus import Bus
from takotwist.live.broadcast.durable import Durable
from takotwist.live.broadcast.feed import LogFeed
from takotwist.live.elsewhere import Elsewhere, FarPage
from takotwist.live.functions.calls import Calls
from takotwist.live.functions.function import Function, Verification
from takotwist.live.functions.verifier import Run, Verifier
from takotwist.live.link import Link, LiveSettings, LiveWire
from takotwist.live.machine.frames import Bounds
from takotwist.live.machine.send import Backlog
from takotwist.live.peers import Peers, name_on
from takotwist.live.services import LiveServices
from takotwist.live.sessions import LiveSessions
from takotwist.server.compose_sentences import Sentences
from takotwist.server.config.limits import Live as LiveConfig
from takotwist.server.live_log import LiveLog
from takotwist.server.reloadable import Reloadable
from takotwist.transports.admission import Admission
from takotwist.transports.live.functions import LiveFunctions
from takotwist.transports.live.routes import LiveLeave, LiveRoutes
from takotwist.transports.live.sse import LiveSse

#: Frames of one message in base64 and its envelope, beside others, fit into a POST.
BATCH_FACTOR = 2


@attrs.define(slots=True, eq=False)
class LiveParts:
    """The components of live objects."""

    services: LiveServices
    sessions: LiveSessions
    calls: Calls
    #: Makes the speaker of live objects on a wire.
    link: Callable[[LiveWire, RequestCredentials, str], Link]
    #: Counts a call against the rate of its client's address.
    count_call: Callable[[str], None]
    #: Gives broadcasts of the log to those who subscribe without a cursor.
    feed: LogFeed

    def replace(self, functions: Mapping[str, Function[..., object]]) -> None:
        """Serve these from now on.  Calls in flight end as they began."""
        self.calls.replace(functions)


def compose_live(
    config: LiveConfig,
    sentences: Sentences,
    settings: Reloadable,
    *,
    reactor: IReactor,
    pool: ThreadPool,
    queue: int,
    bus: Bus | None = None,
    beside: CallableRunner | None = None,
    peers: Peers | None = None,
) -> LiveParts:
    """Live objects, over the server's sentences.

    :param settings: for the rate of calls, and the lifecycle of durable broadcasts.
    :param queue: most calls that wait for a thread.
    :param pool: threads for plain functions.
    :param beside: runs the channels' functions on the same threads.
    :param bus: of broadcasts; left out, that of the process.
    :param peers: the other nodes, where there are several.
    """
    if bus is None:
        bus = default_broadcasts().bus
    durable = Durable(
        LiveLog(
            sentences.attacher,
            sentences.publishing,
            lambda: settings.lifecycle,
            config.max_message_bytes,
            lambda call: reactor.callLater(0, call),
        ),
        bus,
    )
    broadcasts = Broadcasts(
        bus,
        durable,
        lambda call: call() if isInIOThread() else reactor.callFromThread(call),
    )
    services = LiveServices(
        bounds_of(config),
        reactor.seconds,
        sentences.deadlines,
        broadcasts,
        Backlog(config.buffer_total_bytes),
    )

    def new_id() -> str:
        own = secrets.token_urlsafe(9)
        return own if peers is None else name_on(peers.name, own)

    sessions = LiveSessions(services, config.max_sessions, new_id)
    runner = CallableRunner(
        reactor,
        pool,
        deadline=config.call_timeout_seconds,
        queue=queue,
        beside=beside,
    )
    rate, subject_rate = Rate(), Rate()

    def count(rate: Rate, key: str) -> None:
        live = settings.live
        rate.take(key, reactor.seconds(), live.call_rate, live.call_burst)

    run = _running(runner)
    verifier = Verifier(run)
    calls = Calls(
        services,
        sessions,
        run,
        verifier,
        lambda: secrets.token_hex(8),
        lambda subject: count(subject_rate, subject),
    )
    for_links = LiveSettings(
        _for_clients(config), config.ping_interval_seconds, config.max_message_bytes
    )

    def link(wire: LiveWire, presented: RequestCredentials, address: str) -> Link:
        def verify(
            verification: Verification, auth: str | None, gone: Callable[[], bool]
        ) -> Awaitable[str | None]:
            shown = presented.or_text(auth)
            return verifier.subject_of(verification, shown.header, shown.cookie, address, gone)

        def far(page: FarPage) -> Elsewhere:
            assert peers is not None
            headers, cookies = presented.whole
            return Elsewhere(
                peers,
                sentences.deadlines,
                reactor.seconds,
                wire,
                page,
                headers,
                cookies,
                address,
                config.ping_interval_seconds,
            )

        return Link(wire, sessions, for_links, verify, None if peers is None else far)

    return LiveParts(
        services,
        sessions,
        calls,
        link,
        lambda address: count(rate, network_of(address)),
        LogFeed(durable, bus),
    )


def live_routes(
    live: LiveParts, admission: Admission, config: LiveConfig, peers: Peers | None
) -> LiveRoutes:
    """The addresses of functions and live objects."""
    functions = LiveFunctions(admission, live.calls, live.count_call, config.max_call_bytes)
    return LiveRoutes(
        functions,
        LiveSse(admission, BATCH_FACTOR * config.max_message_bytes, peers),
        LiveLeave(admission, live.sessions, live.count_call, peers),
    )


def bounds_of(config: LiveConfig) -> Bounds:
    """Bounds and timeouts of the server's ends."""
    return Bounds(
        connect_ttl=config.connect_ttl_seconds,
        reconnect_timeout=config.reconnect_timeout_seconds,
        replay=config.replay_bytes,
        replay_binary=config.replay_bytes_binary,
        buffer=config.buffer_limit,
        buffer_binary=config.buffer_limit_binary,
        window_bytes=config.window_bytes,
        window_messages=config.window_messages,
    )


def _for_clients(config: LiveConfig) -> Mapping[str, int]:
    """Settings for clients (protocol, live objects, section 4)."""
    return {
        "connectTtlMs": round(config.connect_ttl_seconds * 1000),
        "reconnectTimeoutMs": round(config.reconnect_timeout_seconds * 1000),
        "idleTimeoutMs": round(config.idle_timeout_seconds * 1000),
        "pingIntervalMs": round(config.ping_interval_seconds * 1000),
        "replayBytes": config.client_replay_bytes,
        "replayBytesBinary": config.client_replay_bytes_binary,
        "bufferBytes": config.buffer_limit,
        "bufferBytesBinary": config.buffer_limit_binary,
        "windowBytes": config.window_bytes,
        "windowMessages": config.window_messages,
        "maxMessageBytes": config.max_message_bytes,
    }


def _running(runner: CallableRunner) -> Run:
    async def run(name: str, address: str, function: Callable[[], object]) -> object:
        try:
            result = await runner.run((f"function {name}", address), function)
        except DeadlinePassed:
            raise RuntimeError("it did not return in time") from None
        if isinstance(result, Raised):
            if isinstance(result.error, Exception):
                raise result.error
            if isinstance(result.error, asyncio.CancelledError):
                raise CancelledError from result.error
            raise RuntimeError(f"it raised {type(result.error).__name__}") from result.error
        return result

    return run
