"""What runs: the parts of `compose`, started and stopped in order.

Start: definitions, log, listeners, and only then "ready".  Stop: accept nobody,
tell those who are here, store what was taken, close the log.  Rule: every step
of the stop has a deadline, so the process always ends.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, ensureDeferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool

from takotwist.adapters.publish_local import LocalPublishing
from takotwist.adapters.sqlite.log import SqliteReplayLog
from takotwist.admin.health import Health
from takotwist.errors import ConfigError, StoreUnavailable, TakoError
from takotwist.server.accepting import Accepting
from takotwist.server.compose import Parts, compose
from takotwist.server.config import Config, needs_restart
from takotwist.server.definitions import Definitions
from takotwist.server.drain import drain, within
from takotwist.server.garbage import settle_garbage
from takotwist.server.listen import Listen, Listening, open_listeners
from takotwist.server.live import compose_live
from takotwist.server.monotonic import use_monotonic_time
from takotwist.server.open_files import raise_open_files
from takotwist.server.options import Options
from takotwist.server.pages import load_pages
from takotwist.server.signals import reload_on_hangup, stop_once
from takotwist.server.sites import add_pages, announce, site
from takotwist.server.state_lock import lock_log, sign_lock
from takotwist.server.sweeper import Sweeper
from takotwist.server.ticker import Ticker
from takotwist.transports.certificate import utc
from takotwist.transports.certificate_watch import CertificateWatch
from takotwist.transports.development_ca import ensure_development_certificate
from takotwist.transports.tls import ServerTls

if TYPE_CHECKING:
    from takotwist.server.http3 import Http3Listeners

__all__ = ["Options", "TakoService", "makeService"]

#: Seconds for storing what was taken and closing the log, after the drain.
FLUSH_SECONDS = 5.0

#: Threads for plain functions of the app.
APP_THREADS = 16


class TakoService(MultiService):
    """The server as a Twisted service.

    :param reactor: of the process.
    :param wall: unix time in seconds.
    :ivar listening: the open listeners, once started.
    :ivar ready: whether requests are answered.
    """

    log = Logger()

    def __init__(self, config: Config, reactor: Any, wall: Callable[[], float] = time.time) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        for folder in (config.state_dir, config.replay.path.parent):
            make_folder(folder)
        self._lock = lock_log(config.replay.path)
        self.config = config
        self.ready = False
        self.listening: Sequence[Listening] = ()
        self._watch: CertificateWatch | None = None
        self._reactor = reactor
        self._wall = wall
        self._threads = ThreadPool(0, APP_THREADS, name="takotwist-app")
        self.definitions = Definitions.of(config, reactor, self._threads, random.random)
        self.parts: Parts = compose(
            config,
            reactor=reactor,
            wall=wall,
            random=random.random,
            new_id=lambda: secrets.token_urlsafe(9),
            log=SqliteReplayLog(
                config.replay.path,
                reactor=reactor,
                wall=wall,
                durability=config.replay.durability,
            ),
            registry=self.definitions.registry,
            authorizer=self.definitions.authorizer,
            refresh=self.definitions.refresh,
            elsewhere=load_pages(config.app.pages, config.folder),
        )
        self.live = compose_live(self.parts, reactor=reactor, pool=self._threads)
        self.definitions.on_functions = self.live.replace
        self.definitions.bind(LocalPublishing(reactor, self.parts.store))
        self.definitions.load()
        add_pages(self.parts, self._health, reactor)
        self._tls = self._server_tls()
        self._public = site(self.parts.public, config, reactor)
        # Another one, because only its answers announce HTTP/3.
        self._secure = site(self.parts.public, config, reactor)
        self._http3 = self._http3_listeners()
        parts = self.parts
        ticker = Ticker(parts.deadlines, parts.turn, parts.tally, reactor)
        ticker.setServiceParent(self)  # type: ignore[no-untyped-call]
        self._sweeper = Sweeper(
            self.parts.log,
            self.parts.fanout.keys,
            wall,
            reactor,
            config.replay.sweep_interval_seconds,
        )
        self._sweeper.setServiceParent(self)  # type: ignore[no-untyped-call]

    # starting

    def startService(self) -> None:
        """Open everything.

        :raises SystemExit: a listener cannot be opened; says which and what to do.
        """
        open_files = raise_open_files()
        self._accepting = Accepting(self._reactor, open_files.limit)
        sign_lock(self._lock)
        shortage = open_files.shortage(self.config.limits.max_connections)
        if shortage is not None:
            self.log.warn("{shortage}", shortage=shortage)
        for warning in self.config.warnings:
            self.log.warn("{sentence}", sentence=warning)
        opening = ensureDeferred(open_listeners(self._reactor, self._wanted()))
        failures: list[Any] = []
        opening.addCallbacks(self._opened, failures.append)
        if failures:
            raise SystemExit(f"takotwist: {failures[0].value}")
        if self._http3 is not None:
            self._open_http3(self._http3)
        self._threads.start()
        super().startService()  # type: ignore[no-untyped-call]
        ensureDeferred(self._become_ready()).addErrback(
            lambda failure: self.log.failure("starting failed", failure)
        )

    def _opened(self, listening: Sequence[Listening]) -> None:
        self.listening = listening
        for one in listening:
            # Until we are ready whoever connects waits in the kernel's queue.
            one.port.stopReading()  # type: ignore[attr-defined]
            self._accepting.guard(one.port, last=one.listen.key == "private.listen")

    def _open_http3(self, http3: Http3Listeners) -> None:
        try:
            http3.open()
        except ConfigError as bad:
            for one in self.listening:
                maybeDeferred(one.port.stopListening)
            raise SystemExit(f"takotwist: {bad}") from None
        announce(self._secure, http3.alt_svc)

    async def _become_ready(self) -> None:
        # A log that cannot be opened has said so itself, and tries again.
        with suppress(StoreUnavailable):
            await self.parts.log.start()
        await self.definitions.read_registry()
        self.ready = True
        for one in self.listening:
            one.port.startReading()  # type: ignore[attr-defined]
            self.log.info("serving {address}", address=one.address)
        for address in [] if self._http3 is None else self._http3.serve():
            self.log.info("serving {address}", address=address)
        names = sorted(one.definition.name for one in self.definitions.registry)
        self.log.info("ready, channels: {channels}", channels=", ".join(names) if names else "none")

    def _wanted(self) -> list[Listen]:
        config = self.config
        private = site(self.parts.private, config, self._reactor)
        wanted = [Listen(endpoint=one, factory=self._public) for one in config.http.listen]
        wanted += [
            Listen(endpoint=one, factory=self._secure, tls=self._tls, key="tls.listen")
            for one in config.tls.listen
        ]
        wanted += [
            Listen(endpoint=one, factory=private, key="private.listen")
            for one in config.private.listen
        ]
        return wanted

    def _server_tls(self) -> ServerTls | None:
        tls = self.config.tls
        if not tls.listen:
            return None
        renew: Callable[[datetime], object] | None = None
        if tls.certificate is not None and tls.key is not None:
            server_tls = ServerTls(tls.certificate, tls.key, tls.profile)
        else:
            folder = self.config.state_dir / "tls"

            def renew(now: datetime) -> object:
                return ensure_development_certificate(folder, tls.hosts, now)

            files = ensure_development_certificate(folder, tls.hosts, utc(self._wall()))
            server_tls = ServerTls(files.certificate, files.key, tls.profile)
            self.log.info(
                "TLS by the development CA in {authority}; `tako trust` says how to trust it",
                authority=str(files.authority),
            )
        self._watch = CertificateWatch(server_tls, self._reactor, renew, wall=self._wall)
        self._watch.setServiceParent(self)  # type: ignore[no-untyped-call]
        return server_tls

    def _http3_listeners(self) -> Http3Listeners | None:
        if self._tls is None or not self.config.http3.listen:
            return None
        # Here, because what it imports is an extra, and takes a tenth of a second.
        from takotwist.server.http3 import Http3Listeners

        return Http3Listeners(self._reactor, self.config, self.parts, self._public, self._tls)

    def _health(self) -> Health:
        return Health(self.ready, store=self.parts.publishing.storing)

    # changing

    def reload(self, config: Config) -> None:
        """Take up what can change without dropping a connection (SIGHUP).

        :raises TakoError: it cannot be used; then nothing has changed but certificates.
        """
        for key in needs_restart(self.config, config):
            self.log.warn("{key} has changed; that needs a restart", key=key)
        if self._watch is not None:
            self._watch.reload()
        self.definitions.load(config, again=True)
        self.config = config
        self.parts.change(config)
        self.live.change(config.live)
        ensureDeferred(self.definitions.read_registry()).addErrback(
            lambda failure: self.log.failure("reading the registry failed", failure)
        )
        self.log.info("the configuration was read again")

    # stopping

    def stopService(self) -> Deferred[None]:
        """Accept nobody, tell those who are here, store what was taken, close."""
        return ensureDeferred(self._stop())

    async def _stop(self) -> None:
        self.ready = False
        self.parts.close_doors()
        self._accepting.stop()
        for one in self.listening:
            # What waits in a socket of systemd's stays there for our successor.
            one.port.stopReading()  # type: ignore[attr-defined]
            await maybeDeferred(one.port.stopListening)
        # Begun before the drain, which ends what it waits for.
        leaving = maybeDeferred(lambda: None if self._http3 is None else self._http3.stop())
        try:
            # Their functions hear of the end while everything still works.
            self.live.sessions.close()
            await drain(self.parts.sessions, self._reactor, self.config.limits.drain_seconds)
            # Not before the drain: clients there are that drop all their streams at a GOAWAY,
            # and would come back in one moment.
            self._secure.leave()
            await within(self._reactor, FLUSH_SECONDS, leaving)
            await within(self._reactor, FLUSH_SECONDS, self.parts.publishing.stop())
            await within(self._reactor, FLUSH_SECONDS, super().stopService())  # type: ignore[no-untyped-call]
            await within(self._reactor, FLUSH_SECONDS, self.parts.log.stop())
            await within(self._reactor, FLUSH_SECONDS, maybeDeferred(self.definitions.close))
        finally:
            self._threads.stop()
        self.log.info("stopped")


def make_folder(folder: Path) -> None:
    """Make a folder for the server's own files, where it is missing.

    :raises ConfigError: it cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as failure:
        raise ConfigError(
            f"cannot be made: {failure.strerror}", key="state_dir", source=str(folder)
        ) from None


def makeService(options: Options) -> TakoService:
    """The service of ``twistd tako``.

    :raises SystemExit: it cannot start; says why and what to do.
    """
    from twisted.internet import reactor

    return make_service(options, reactor)


def make_service(options: Options, reactor: Any) -> TakoService:
    """The service of these options, which also minds the signals of the process.

    :raises SystemExit: it cannot start; says why and what to do.
    """
    use_monotonic_time(reactor)
    try:
        service = TakoService(options.config(), reactor)
    except TakoError as wrong:
        raise SystemExit(f"takotwist: {wrong}") from None

    def reload() -> None:
        try:
            config = options.config_again()
            service.reload(config)
        except TakoError as wrong:
            service.log.error("not reloaded: {wrong}", wrong=str(wrong))
        except Exception:
            service.log.failure("reloading failed")

    reload_on_hangup(reactor, reload)
    stop_once(reactor)
    settle_garbage()
    return service
