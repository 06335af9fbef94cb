"""The running server: the parts of `compose`, started and stopped in order.

Start: definitions, log, listeners, and only then "ready".  Stop: accept nobody,
tell the connections, store what was taken, close the log.  Rule: every step
of the stop has a deadline, so the process always ends.
"""

from __future__ import annotations

import random
import secrets
import socket
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict
from zlib import crc32

import attrs
from twisted.application.internet import TimerService
from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, ensureDeferred, maybeDeferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource

from takotwist.adapters.authorize_local import LocalPublishing
from takotwist.admin.health import Health
from takotwist.core.counted import counted
from takotwist.errors import StoreUnavailable, TakoError
from takotwist.flow.outbox import OutboxMover
from takotwist.interfaces import IReactor
from takotwist.live.broadcast.broadcast import set_default_broadcasts
from takotwist.live.functions.function import Function
from takotwist.ports import IOutbox
from takotwist.server.app_threads import AppThreads
from takotwist.server.cluster import Cluster
from takotwist.server.compose import compose
from takotwist.server.config import Config, needs_restart
from takotwist.server.definitions import Definitions
from takotwist.server.listeners import Listeners
from takotwist.server.parts import Parts
from takotwist.server.replay_log import MakeLog, lock_for, replay_log
from takotwist.server.sites import load_pages
from takotwist.server.state_folder import make_folder
from takotwist.server.state_lock import sign_lock
from takotwist.server.timers import Sweeper, Ticker, drain, until_answered, within
from takotwist.server.tls import certificate_of
from takotwist.server.tuning import raise_open_files

if TYPE_CHECKING:
    from takotwist.server.notify import Notify
    from takotwist.server.worker_context import WorkerContext

#: Least seconds for answering what was asked before, where `drain_seconds` are fewer.
ANSWER_SECONDS = 1.0

#: Seconds for storing what was taken and closing the log, after the drain.
FLUSH_SECONDS = 5.0

#: How often it is looked whether a Unix socket is still there.
SOCKET_SECONDS = 2.0

#: How often it is looked whether tokens were revoked.
REVOKED_SECONDS = 1.0

#: So far may ids be ahead of the clock without a word: it is what a loss of files puts them ahead.
AHEAD_SECONDS = 90

#: Threads for plain functions of the app.
APP_THREADS = 16


@attrs.frozen(slots=True)
class Beside:
    """Pages beside the server's own.

    :ivar pages: by their paths; one of these takes the place of the server's own.
    :ivar elsewhere: the resource of all other paths, in place of the app's pages.
    """

    pages: Mapping[str, IResource] = attrs.field(factory=dict)
    elsewhere: IResource | None = None


class TakoService(MultiService):
    """The server as a Twisted service.

    :param reactor: of the process.
    :param wall: unix time in seconds.
    :param worker: which worker this is, where the server has several.
    :param notify: the service manager, where it wants to be told.
    :param beside: makes more pages for this service, such as those of a server under development.
    :ivar functions: the functions that pages may call, by name.
    :ivar listeners: all of them.
    :ivar exit_code: of the process, after a calm end.
    :ivar ready: true while requests are answered.
    """

    log = Logger()
    exit_code = 0

    def __init__(
        self,
        config: Config,
        reactor: IReactor,
        wall: Callable[[], float] = time.time,
        worker: WorkerContext | None = None,
        *,
        notify: Notify | None = None,
        beside: Callable[[TakoService], Beside] | None = None,
        make_log: MakeLog = replay_log,
    ) -> None:
        MultiService.__init__(self)
        for folder in (config.state_dir, config.replay.path.parent):
            make_folder(folder)
        self._worker, self._notify = worker, notify
        # The supervisor of several workers has it for all of them.
        self._lock = None if worker is not None else lock_for(config)
        self.config = config
        self.ready = self._stopping = False
        self._reactor = reactor
        self._wall = wall
        self._threads = AppThreads(0, APP_THREADS, name="takotwist-app")
        self.definitions = Definitions.of(config, reactor, self._threads, random.random, wall)
        self.functions: Mapping[str, Function[..., object]] = {}
        more = beside(self) if beside is not None else Beside()
        log = make_log(config, reactor, wall)
        names = _names(config, worker)
        slot = () if worker is None else (worker.number, worker.slot)
        cluster = self._cluster = Cluster.of(config, reactor, log, names["node"], *slot)
        self.parts: Parts = compose(
            config,
            reactor=reactor,
            wall=wall,
            random=random.random,
            new_id=lambda: secrets.token_urlsafe(9),
            log=log,
            **names,
            living=cluster.places if cluster is not None and config.replay.url else None,
            peers=cluster.peers if cluster is not None else None,
            others=cluster,
            info=cluster.info if cluster is not None else None,
            registry=self.definitions.registry,
            authorizer=self.definitions.authorizer,
            refresh=self.definitions.refresh,
            pool=self._threads,
            health=self._health,
            soon=partial(reactor.callLater, 0),
            beside=self.definitions.runner,
            elsewhere=more.elsewhere or load_pages(config.app.pages, config.folder),
            more_pages=more.pages,
        )
        self.live = self.parts.live
        if self._cluster is not None and self.parts.peer_door is not None:
            self._cluster.serve(self.parts.peer_door, self.parts.node_info)
        set_default_broadcasts(self.live.services.broadcasts)
        self.definitions.bind(
            LocalPublishing(
                reactor,
                self.parts.store,
                rosters=self.parts.rosters,
                streams=self.parts.streamed.in_process,
            )
        )
        self._serve_functions(self.definitions.load())
        self._certificate = certificate_of(config, reactor, wall)
        if self._certificate is not None:
            self._certificate.start_with(self)
        self.listeners = Listeners.of(config, self.parts, reactor, self._certificate, worker)
        parts = self.parts
        ticker = Ticker(parts.deadlines, parts.flush_batch, parts.metrics, reactor)
        Service.setServiceParent(ticker, self)
        looking = TimerService(SOCKET_SECONDS, self._look_after_sockets)
        looking.clock = reactor
        looking.setServiceParent(self)
        revoking = TimerService(REVOKED_SECONDS, self._end_revoked)
        revoking.clock = reactor
        revoking.setServiceParent(self)
        self._sweeper = Sweeper(
            self.parts.log,
            self.parts.fanout.keys,
            wall,
            reactor,
            config.replay.sweep_interval_seconds,
        )
        Service.setServiceParent(self._sweeper, self)
        if IOutbox.providedBy(self.parts.log):
            outbox: Any = self.parts.log
            mover = OutboxMover(outbox, self.parts.authorizing, self._message_bytes, reactor)
            Service.setServiceParent(mover, self)

    # starting

    def startService(self) -> None:
        """Open everything.

        :raises SystemExit: a listener cannot be opened; says which and what to do.
        """
        open_files = raise_open_files()
        if self._lock is not None:
            sign_lock(self._lock)
        shortage = open_files.shortage(self.config.limits.max_connections)
        if shortage is not None:
            self.log.warn("{shortage}", shortage=shortage)
        # The supervisor of several workers has said them once.
        for warning in () if self._worker is not None else self.config.warnings:
            self.log.warn("{sentence}", sentence=warning)
        try:
            if self._cluster is not None:
                self._cluster.startService()
            self.listeners.open(open_files.limit)
        except TakoError as bad:
            raise SystemExit(f"takotwist: {bad}") from None
        self._threads.start()
        MultiService.startService(self)
        ensureDeferred(self._become_ready()).addErrback(self._not_started)

    async def _become_ready(self) -> None:
        # A log that cannot be opened has said so itself, and tries again.
        with suppress(StoreUnavailable):
            await self.parts.log.start(self.parts.follower)
        self.live.feed.start()
        if self._ids_ahead():
            self.log.warn(
                "The newest id of the replay log is {seconds} seconds ahead of the clock, which was"
                " wrong once, or is now. Ids go on from there. Messages are kept for their windows"
                " from here on, and no cursor is lost; if the clock is wrong, set it right.",
                seconds=self._ids_ahead(),
            )
        await self.definitions.read_elsewhere()
        if self._stopping:
            # Told to stop while it waited: its listeners are closed.
            return
        self.parts.kicks.start()
        self.parts.presence.start().addErrback(
            lambda failure: self.log.failure("reading who was here failed", failure)
        )
        for facade in self.parts.public.facades:
            facade.start()
        self.parts.streamed.messages.start()
        if self.parts.webhooks is not None:
            self.parts.webhooks.start()
        self.ready = True
        for address in self.listeners.read():
            if self._worker is None:
                self.log.info("serving {address}", address=address)
        names = sorted(one.definition.name for one in self.definitions.registry)
        self.log.info("ready, channels: {channels}", channels=", ".join(names) if names else "none")
        if self._worker is not None:
            self._worker.ready()
        if self._notify is not None:
            self._notify.ready("serving")

    def _not_started(self, failure: Failure) -> None:
        """End: what does not serve and does not say so helps nobody."""
        self.log.failure("starting failed", failure)
        if not self._stopping:
            self.exit_code = 1
            self._reactor.stop()

    def _look_after_sockets(self) -> Deferred[None] | None:
        if not self.ready:
            return None
        return ensureDeferred(self._look()).addErrback(
            lambda failure: self.log.failure("looking after the Unix sockets failed", failure)
        )

    async def _look(self) -> None:
        await self.listeners.look_after_sockets()
        if self._cluster is not None:
            await self._cluster.look_after_socket()

    def _end_revoked(self) -> None:
        """End what was let in by tokens that are void now."""
        try:
            subjects = self.definitions.look_for_revoked()
        except Exception:
            # A timer that fails stops.
            self.log.failure("looking for revoked tokens failed")
            return
        if subjects:
            ended = self.parts.sessions.end_subjects(subjects, self.definitions.is_by_token)
            decides_call = self.definitions.config.tokens.decides_call
            pages = self.live.sessions.end_subjects(subjects, decides_call)
            self.log.info(
                "tokens of {subjects} were revoked; that ended {subscriptions}, and the live"
                " objects of {pages}",
                subjects=counted(len(subjects), "subject"),
                subscriptions=counted(ended, "subscription"),
                pages=counted(pages, "page"),
            )

    def _message_bytes(self) -> int:
        return self.parts.reloadable.limits.max_message_bytes

    def _health(self) -> Health:
        parts = self.parts
        return Health.of(
            self.ready, parts.log.available, parts.publishing.storing, self._ids_ahead()
        )

    def _ids_ahead(self) -> int:
        seconds = int(self.parts.log.head / 1_000_000 - self._wall())
        return seconds if seconds > AHEAD_SECONDS else 0

    # changing

    def reload(self, config: Config) -> None:
        """Take up what can change without dropping a connection (SIGHUP).

        :raises TakoError: it cannot be used; then nothing has changed but certificates.
        """
        for key in () if self._worker is not None else needs_restart(self.config, config):
            self.log.warn("{key} has changed; that needs a restart", key=key)
        if self._certificate is not None:
            self._certificate.reload()
        self._serve_functions(self.definitions.load(config, again=True))
        self.config = config
        self.parts.change(config)
        ensureDeferred(self.definitions.read_elsewhere()).addErrback(
            lambda failure: self.log.failure("reading the registry failed", failure)
        )
        self.log.info("the configuration was read again")
        if self._notify is not None:
            # At once: what was asked for has been done when the signal's handler ends.
            self._notify.reloading()
            if self.ready:
                self._notify.ready("serving")

    def _serve_functions(self, functions: Mapping[str, Function[..., object]]) -> None:
        self.functions = functions
        self.live.replace(functions)

    # stopping

    def stopService(self) -> Deferred[None]:
        """Accept nobody, tell the connections, store what was taken, close."""
        return ensureDeferred(self._stop())

    async def _stop(self) -> None:
        self._stopping, self.ready = True, False
        if self._notify is not None:
            self._notify.stopping()
        parts, drain_seconds = self.parts, self.config.limits.drain_seconds

        async def step(stop: Callable[[], object], seconds: float = FLUSH_SECONDS) -> None:
            # Whatever goes wrong in one, those that store and close come after it.
            await within(self._reactor, seconds, maybeDeferred(stop))

        await step(parts.stop_admitting)
        # Who is cut off from here on comes back: nobody leaves by it.
        for quiet in (parts.presence, parts.kicks, parts.streamed.messages):
            await step(quiet.stop)
        leaving: Deferred[object] = succeed(None)
        try:
            # HTTP/3 begins to leave before the drain, which ends what it waits for.
            leaving = await self.listeners.close()
        except Exception:
            self.log.failure("closing the listeners failed")
        # Their functions hear of the end while everything still works.
        await step(self.live.sessions.close)
        if self._cluster is not None:
            await step(self._cluster.stopService)
        draining = partial(drain, parts.sessions, self._reactor)
        await step(partial(draining, drain_seconds), drain_seconds + FLUSH_SECONDS)
        # Not before: clients that drop all streams at a GOAWAY would come back in one moment.
        await step(self.listeners.leave)
        await within(self._reactor, FLUSH_SECONDS, leaving)
        seconds = max(ANSWER_SECONDS, min(FLUSH_SECONDS, drain_seconds))
        asked = partial(until_answered, self.listeners.is_answering, self._reactor, seconds)
        await step(asked, 2 * seconds)
        await step(partial(draining, ANSWER_SECONDS))  # who was let in by an answer
        last: list[Callable[[], object]] = [one.stop for one in parts.public.facades]
        last += [] if parts.webhooks is None else [parts.webhooks.stop]
        last += [parts.publishing.stop, partial(MultiService.stopService, self), parts.log.stop]
        for stop in (*last, self.definitions.close):
            await step(stop)
        await self._threads.end(self._reactor, FLUSH_SECONDS)
        self.log.info("stopped")


class _Names(TypedDict):
    node: str
    nodes: Collection[str] | None


def _names(config: Config, worker: WorkerContext | None) -> _Names:
    """The names of this process among those that share its log, the same in each of its runs."""
    if config.replay.url is not None:
        # Which other servers there are the store knows alone (`Cluster.places`).
        here = f"{socket.gethostname()}:{config.state_dir.resolve()}".encode()
        number = 1 if worker is None else worker.number
        return {"node": f"{crc32(here):08x}.{number}", "nodes": None}
    if worker is None:
        return {"node": "", "nodes": ("",)}
    all_of_them = [f"w{number}" for number in range(1, worker.count + 1)]
    first = worker.number == 1
    return {"node": f"w{worker.number}", "nodes": all_of_them if first else None}
