"""The log's writer: the one process that has the log on SQLite, where there are several workers.

It is started before the workers and stops after them, serves nobody but them, and runs no code
of the app.  Rule: whatever a worker does, it writes on for the others.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from twisted.application.internet import TimerService
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from takotwist.adapters.shared.host import LogHost
from takotwist.adapters.shared.worker_log import WorkerLog
from takotwist.adapters.sqlite.log import SqliteReplayLog
from takotwist.errors import StoreUnavailable, TakoError
from takotwist.interfaces import IReactor
from takotwist.server.config import Config, needs_restart
from takotwist.server.config.endpoint_text import LONGEST_SOCKET_PATH, EndpointText
from takotwist.server.listen import Listen
from takotwist.server.open_sockets import OpenSockets
from takotwist.server.state_folder import make_folder
from takotwist.server.supervisor.child import Child
from takotwist.server.timers import Sweeper, within
from takotwist.server.tuning import settle_garbage

#: The socket of the writer, in the state folder; nobody but this user may connect.
SOCKET = "writer.sock"

#: How often it is looked whether that is still there.
SOCKET_SECONDS = 2.0

#: Seconds for what is under way at the end.
FLUSH_SECONDS = 5.0


class LogWriter(MultiService):
    """The writer as a Twisted service.

    :param wall: unix time in seconds.
    :param ready: says that workers may connect.
    :ivar exit_code: of the process, at its end.
    """

    log = Logger()
    exit_code = 0

    def __init__(
        self,
        config: Config,
        reactor: IReactor,
        ready: Callable[[], None],
        wall: Callable[[], float] = time.time,
    ) -> None:
        MultiService.__init__(self)
        for folder in (config.state_dir, config.replay.path.parent):
            make_folder(folder)
        self._config = config
        self._reactor = reactor
        self._ready = ready
        self.replay_log = SqliteReplayLog(
            config.replay.path, reactor=reactor, wall=wall, durability=config.replay.durability
        )
        self.host = LogHost(self.replay_log, wall)
        self._socket = OpenSockets(
            reactor,
            [Listen(endpoint=_endpoint(_path(config)), factory=self.host, key="state_dir")],
            lambda at, one: one.port.startReading(),
        )
        looking = TimerService(SOCKET_SECONDS, self._look_after_socket)
        looking.clock = reactor
        looking.setServiceParent(self)
        interval = config.replay.sweep_interval_seconds
        sweeper = Sweeper(self.replay_log, self.host.in_use, wall, reactor, interval)
        sweeper.setServiceParent(self)

    def startService(self) -> None:
        """Open the log, and listen."""
        MultiService.startService(self)
        ensureDeferred(self._start()).addErrback(self._not_started)

    async def _start(self) -> None:
        # A log that cannot be opened has said so itself, and tries again.
        with suppress(StoreUnavailable):
            await self.host.start()
        self._socket.open()
        settle_garbage()
        self._ready()

    def _not_started(self, failure: Failure) -> None:
        """End; the supervisor tries again, or gives up."""
        if failure.check(TakoError):
            self.log.critical("{bad}", bad=failure.getErrorMessage())
        else:
            self.log.failure("starting failed", failure)
        self.exit_code = 1
        self._reactor.stop()

    def _look_after_socket(self) -> Deferred[None]:
        """A worker that starts finds no writer without it."""
        return ensureDeferred(self._socket.look_after()).addErrback(
            lambda failure: self.log.failure("looking after the writer's socket failed", failure)
        )

    def reload(self, config: Config) -> None:
        """Take up a configuration: what concerns the log needs a restart."""
        for key in needs_restart(self._config, config):
            if key.startswith("replay."):
                self.log.warn("{key} has changed; that needs a restart", key=key)

    def leave(self) -> None:
        """See `ChildService`: nothing is handed to it."""

    def stopService(self) -> Deferred[None]:
        """Store what was taken, and close the log."""
        return ensureDeferred(self._stop())

    async def _stop(self) -> None:
        await within(self._reactor, FLUSH_SECONDS, ensureDeferred(self._socket.close()))
        await within(self._reactor, FLUSH_SECONDS, MultiService.stopService(self))
        await within(self._reactor, FLUSH_SECONDS, self.replay_log.stop())


def make(child: Child, reactor: IReactor) -> LogWriter:
    """The service of the writer; see `ChildService`."""
    return LogWriter(child.config, reactor, child.ready)


def worker_log(
    config: Config,
    reactor: IReactor,
    name: str,
    random: Callable[[], float],
    outdated: Callable[[], object] = lambda: None,
) -> WorkerLog:
    """A worker's log, through the writer of this configuration.

    :param name: of this run of the worker.
    :param outdated: see `WorkerLog`.
    """
    endpoint = UNIXClientEndpoint(reactor, _path(config))
    return WorkerLog(endpoint, reactor, name, random, outdated)


def _path(config: Config) -> str:
    """The socket's path; by its folder's descriptor where it is longer than a socket's may be.

    The descriptor is kept for as long as the process runs.
    """
    folder = Path(config.state_dir)
    make_folder(folder)
    path = os.path.abspath(folder / SOCKET)
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        return path
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    return f"/proc/self/fd/{descriptor}/{SOCKET}"


def _endpoint(path: str) -> str:
    return str(EndpointText("unix", (path,), {"mode": "600"}))
