"""The supervisor: one process that listens, and has worker processes serve.

It is the one that the service manager knows: its process id, its signals, its exit code.
SIGTERM stops all calmly, SIGHUP has all read the configuration again, SIGUSR2 replaces one after
the other.  Rule: it reads nothing that a client sends, so nothing that a client does ends it.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import attrs
from twisted.application.internet import TimerService
from twisted.application.service import MultiService
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from takotwist.core.counted import counted
from takotwist.errors import ConfigError, TakoError
from takotwist.interfaces import IReactor
from takotwist.server.config import Config, needs_restart
from takotwist.server.config.endpoint_text import EndpointText, UdpAddress
from takotwist.server.listen import Listen, Listening, shown
from takotwist.server.notify import Notify
from takotwist.server.open_sockets import OpenSockets
from takotwist.server.options import Options
from takotwist.server.replay_log import lock_for
from takotwist.server.state_folder import make_folder
from takotwist.server.state_lock import sign_lock
from takotwist.server.supervisor.crew import Crew
from takotwist.server.supervisor.handing import Handing, SharedCounts, Taker
from takotwist.server.supervisor.kinds import HELD, Kind, Start, count_of, held, log_writer, workers
from takotwist.server.supervisor.log_pipe import LogPipe
from takotwist.server.supervisor.message_channel import MessageChannel, encoded
from takotwist.server.supervisor.process import Process
from takotwist.server.tuning import raise_open_files

if TYPE_CHECKING:
    from takotwist.server.supervisor.quic import QuicPorts

#: How often it is looked whether a Unix socket is still there.
SOCKET_SECONDS = 2.0

#: Kinds of endpoints whose connections can be handed on.
HANDED = ("tcp", "tcp6", "unix", "systemd")

#: What a process may need for its end beside the drain: four steps of five seconds.
FLUSH_SECONDS = 22.0


def supervise(config: Config, options: Options, reactor: IReactor) -> Supervisor:
    """The supervisor of the workers that `config` wants, and of the log's writer."""
    serving = workers(count_of(config))
    # PostgreSQL takes the appends of all; a file has one writer.
    kinds = [serving] if config.replay.url is not None else [log_writer(), serving]
    return Supervisor(config, options, reactor, kinds)


def listens(config: Config) -> list[Listen]:
    """Listeners of the supervisor, in the order of a server's listeners.

    :raises ConfigError: one is of a kind whose connections cannot be handed on.
    """
    nobody = Factory()
    wanted = []
    for key, endpoints in (
        ("http.listen", config.http.listen),
        ("tls.listen", config.tls.listen),
        ("private.listen", config.private.listen),
    ):
        for endpoint in endpoints:
            if EndpointText.parse(endpoint).kind not in HANDED:
                raise ConfigError(
                    f"has {endpoint}: with several workers, it must be of {', '.join(HANDED)}",
                    key=key,
                    source=config.sources.get(key),
                )
            # The PROXY protocol is the worker's to read.
            plain = endpoint.removeprefix("haproxy:")
            wanted.append(Listen(endpoint=plain, factory=nobody, key=key))
    return wanted


@attrs.define(slots=True, eq=False)
class Launched:
    """One process, with what the supervisor has of it."""

    _process: Process
    _channel: MessageChannel
    taker: Taker | None

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def send(self, **message: object) -> bool:
        """Send it a message."""
        return self._channel.send(**message)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.signal(number)


class Supervisor(MultiService):
    """The supervisor as a Twisted service.

    :param kinds: of processes.
    :ivar exit_code: of this process at its end.
    """

    log = Logger()

    def __init__(
        self,
        config: Config,
        options: Options,
        reactor: IReactor,
        kinds: Sequence[Kind],
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        MultiService.__init__(self)
        for folder in (config.state_dir, config.replay.path.parent):
            make_folder(folder)
        self._lock = lock_for(config)
        self._config, self._options, self._reactor = config, options, reactor
        self._environ = dict(environ)
        self._notify = Notify.of(environ)
        self.exit_code = 0
        self._serving = False
        self._slots = 2 * max(kind.count for kind in kinds)
        self._counts = SharedCounts(self._slots)
        self._handing = Handing(reactor, self._takers_changed)
        self._quic = self._quic_ports(max(kind.count for kind in kinds))
        self._sockets = OpenSockets(reactor, listens(config), self._handing.serve)
        self.crew = Crew(
            reactor,
            kinds,
            self._launch,
            self._handing,
            config.limits.drain_seconds + FLUSH_SECONDS,
            self._ready,
            self._give_up,
        )
        looking = TimerService(SOCKET_SECONDS, self._look_after_sockets)
        looking.clock = reactor
        looking.setServiceParent(self)

    def _quic_ports(self, workers: int) -> QuicPorts | None:
        config = self._config
        if not (config.tls.listen and config.http3.listen):
            return None
        # Here, because what it imports is an extra.
        from takotwist.server.reset_key import reset_key
        from takotwist.server.supervisor.quic import QuicPorts

        return QuicPorts(
            self._reactor,
            [UdpAddress.parse(text) for text in config.http3.listen],
            workers,
            self._slots,
            self._counts,
            lambda: self._handing.takers,
            reset_key(config.state_dir),
        )

    def _takers_changed(self) -> None:
        if self._quic is not None:
            self._quic.changed()

    # starting

    def startService(self) -> None:
        """Listen, and start the processes.

        :raises SystemExit: a listener cannot be opened; says which and what to do.
        """
        if self._lock is not None:
            sign_lock(self._lock)
        raise_open_files()
        for warning in self._config.warnings:
            self.log.warn("{sentence}", sentence=warning)
        try:
            self._sockets.open()
            if self._quic is not None:
                self._quic.open()
        except TakoError as bad:
            self._sockets.abandon()
            raise SystemExit(f"takotwist: {bad}") from None
        signal.signal(
            signal.SIGUSR2, lambda number, frame: self._reactor.callFromThread(self.crew.replace)
        )
        MultiService.startService(self)
        # Not before the reactor runs: it may still be another process that will run it.
        self._reactor.callWhenRunning(self.crew.start)

    def _ready(self) -> None:
        """All serve, for the first time, or have read their configuration."""
        if not self.running:
            return
        first = not self._serving
        if first:
            self._serving = True
            self._sockets.read()
            for one in self._sockets.opened:
                self.log.info("serving {address}", address=self._shown(one))
            for sockets in self._quic.sockets if self._quic is not None else ():
                host, port = sockets[0].getsockname()[:2]
                address = (IPv6Address if ":" in host else IPv4Address)("UDP", host, port)
                at = shown(address, secure=True)
                self.log.info("serving {address} (HTTP/3)", address=at)
            self.log.info("ready, with {workers}", workers=counted(self.crew.serving, "worker"))
        self._notify.ready(f"serving, with {counted(self.crew.serving, 'worker')}")

    def _shown(self, one: Listening) -> str:
        secure = one.listen.key == "tls.listen"
        return shown(one.port.getHost(), secure=secure)

    def _look_after_sockets(self) -> Deferred[None] | None:
        if not self._serving:
            return None
        return ensureDeferred(self._sockets.look_after()).addErrback(
            lambda failure: self.log.failure("looking after the Unix sockets failed", failure)
        )

    def _launch(
        self,
        kind: Kind,
        number: int,
        slot: int,
        received: Callable[[Mapping[str, object]], object],
        ended: Callable[[int], object],
    ) -> Launched:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        opened = self._sockets.opened if kind.serves else ()
        taker = Taker.of(slot, self._counts, len(opened)) if kind.serves else None
        channels = taker.theirs if taker is not None else []
        quic = self._quic.told(number, slot) if kind.serves and self._quic is not None else None
        start = Start(
            entry=kind.entry,
            name=kind.label(number),
            number=number,
            count=kind.count,
            slot=slot,
            serves=kind.serves,
            reactor=type(self._reactor).__module__,
            flags=dict(self._options),
            held=held(self._config),
            modules=sys.path,
            slots=self._slots,
            counts=self._counts.descriptor,
            listeners=[_described(one, at) for one, at in zip(opened, channels, strict=True)],
            quic=quic,
        )
        passed = [self._counts.descriptor, *(one.fileno() for one in channels)]
        if quic is not None:
            passed += [quic["own"], *quic["others"], *(one for one, _ in quic["sockets"])]
        ours.send(encoded(attrs.asdict(start)))
        output, pipe = self._output()
        channel = MessageChannel(self._reactor, ours, received, lambda: None)

        def over(code: int) -> None:
            channel.stop()
            ended(code)

        try:
            process = Process.start(
                self._reactor,
                start.name,
                theirs.fileno(),
                passed,
                self._environ,
                over,
                output,
            )
        except OSError:
            ours.close()
            if taker is not None:
                taker.left()
            raise
        finally:
            theirs.close()
            if pipe is not None:
                os.close(pipe.writing)
        channel.start()
        return Launched(process, channel, taker)

    def _output(self) -> tuple[int | None, LogPipe | None]:
        """The descriptor that a process writes to, and the pipe that it belongs to."""
        out = self._options.log().out
        try:
            descriptor = out.fileno() if out is not None else -1
        except (OSError, ValueError, AttributeError):
            descriptor = -1
        if descriptor in (1, 2):
            return descriptor, None
        pipe = LogPipe.open(self._reactor, self._options.log().write)
        return pipe.writing, pipe

    # changing

    def reload(self, config: Config) -> None:
        """Have all processes read their configuration again (SIGHUP); this one is right."""
        self._notify.reloading()
        for key in needs_restart(self._config, config):
            how = "a restart" if key in HELD else "a restart (a rolling one: SIGUSR2)"
            self.log.warn("{key} has changed; that needs {how}", key=key, how=how)
        self.crew.reload()

    def _give_up(self, why: str) -> None:
        if self.exit_code:
            return
        self.exit_code = 1
        self.log.critical("{why}. The server ends.", why=why)
        # As if told from outside: it is minded once, whoever was first.
        signal.raise_signal(signal.SIGTERM)

    # stopping

    def stopService(self) -> Deferred[None]:
        """Accept nobody, have all processes end calmly, and wait for it."""
        return ensureDeferred(self._stop())

    async def _stop(self) -> None:
        self._notify.stopping()
        await MultiService.stopService(self)
        await self._sockets.close()
        await self.crew.stop()
        self._handing.stop()
        if self._quic is not None:
            self._quic.close()
        self.log.info("stopped")


def _described(one: Listening, channel: socket.socket) -> tuple[int, int, object]:
    opened: socket.socket = one.port.socket
    address = opened.getsockname()
    if isinstance(address, bytes):
        # An abstract name of a Unix socket.
        address = os.fsdecode(address)
    return channel.fileno(), int(opened.family), address
