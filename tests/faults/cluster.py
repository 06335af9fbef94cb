"""Several nodes that share one log, behind proxies that cut what goes through them.

One class for each engine, with the same words for what can happen to it.  Everything between
processes goes through a `CuttingProxy`: clients to nodes, which any node may get, and nodes to
the engine.  Rule: the reactor of the test runs the proxies, so what blocks here is called in a
thread.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, UNIXClientEndpoint
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.task import LoopingCall
from zope.interface import implementer

from tests.adapters.postgres.engine import FAST as FAST_ENGINE
from tests.adapters.postgres.engine import Engine
from tests.faults.cutting_proxy import CuttingProxy
from tests.sockets.server_process import FAST, KEYS, ServerProcess, wait_until

NODES = 3

#: Seconds that a connection of a client lives, and one of a node to the engine.
CLIENT_LIFE, ENGINE_LIFE = (0.1, 1.5), (0.3, 4.0)


@implementer(IStreamClientEndpoint)
class AnyNode:
    """Leads to any of the nodes, as a load balancer without health checks does."""

    def __init__(self, endpoints: list[IStreamClientEndpoint], random: Random) -> None:
        self._endpoints, self._random = endpoints, random

    def connect(self, factory: IProtocolFactory) -> Deferred[Any]:
        """See `IStreamClientEndpoint`."""
        return self._random.choice(self._endpoints).connect(factory)


#: Seconds in which nodes that start at once, on a busy machine, have to be ready.
READY = 90.0


class Cluster:
    """See the module.

    :param cuts: whether the proxies cut; else they are not there.
    :ivar port: that clients connect to.
    """

    #: For who reads the output of a test.
    name: str

    def __init__(self, reactor: Any, random: Random, config: str, *, cuts: bool) -> None:
        self.config = FAST + KEYS + config
        self.port = 0
        self._reactor, self._random = reactor, random
        self._cutting = cuts
        self._proxies: list[CuttingProxy] = []

    @property
    def cuts(self) -> int:
        """So far, of all connections."""
        return sum(one.cuts for one in self._proxies)

    @property
    def servers(self) -> list[ServerProcess]:
        """What was started."""
        raise NotImplementedError

    async def open(self) -> None:
        """The proxies; then `start` may be called in a thread."""
        ends: list[IStreamClientEndpoint] = [
            TCP4ClientEndpoint(self._reactor, "127.0.0.1", one.port) for one in self.servers
        ]
        # Nobody else is to learn of a node that is away: it is only cut where it shall be.
        life = CLIENT_LIFE if self._cutting else (3600.0, 3600.0)
        proxy = self._proxy(AnyNode(ends, self._random), *life)
        self.port = await proxy.listen()
        if self._cutting:
            await self._open_engine()

    async def close(self) -> None:
        """Kill and remove everything."""
        for proxy in self._proxies:
            await proxy.stop()
        for server in self.servers:
            server.close()

    def _proxy(self, to: IStreamClientEndpoint, shortest: float, longest: float) -> CuttingProxy:
        proxy = CuttingProxy(
            self._reactor,
            to,
            self._random,
            shortest=shortest,
            longest=longest,
            paces=("straight", "straight", "late", "drops") if self._cutting else ("straight",),
        )
        self._proxies.append(proxy)
        return proxy

    async def _open_engine(self) -> None:
        raise NotImplementedError

    def start(self) -> None:
        """Start all, and wait until they serve."""
        raise NotImplementedError

    def kill_node(self, number: int) -> None:
        """``kill -9``; it comes again by itself."""
        raise NotImplementedError

    def kill_engine(self) -> None:
        """``kill -9``; it comes again by itself."""
        raise NotImplementedError

    def pause_engine(self, seconds: float) -> None:
        """Stop it for so long, in the middle of what it does."""
        raise NotImplementedError

    def assert_clean(self) -> None:
        """No log has anything in it that nobody thought of.

        :raises AssertionError: shows what is there.
        """
        for server in self.servers:
            server.assert_clean()


class Workers(Cluster):
    """Workers on one box: the engine is the log's writer."""

    name = "workers on SQLite"

    def __init__(self, reactor: Any, random: Random, config: str = "", *, cuts: bool) -> None:
        super().__init__(reactor, random, config, cuts=cuts)
        self.server = ServerProcess(self.config, arguments=("--workers", str(NODES)))
        self._looking = LoopingCall(self._step_between)
        self._looking.clock = reactor

    @property
    def servers(self) -> list[ServerProcess]:
        return [self.server]

    async def _open_engine(self) -> None:
        # A writer makes its socket anew; ours is put in its place, and leads to it.
        self._socket = self.server.folder / "state" / "writer.sock"
        self._behind = self.server.folder / "behind.sock"
        self._ours = self.server.folder / "ours.sock"
        proxy = self._proxy(UNIXClientEndpoint(self._reactor, str(self._behind)), *ENGINE_LIFE)
        await proxy.listen_unix(str(self._ours))
        ensureDeferred(self._looking.start(0.01))

    def _step_between(self) -> None:
        with suppress(FileNotFoundError):
            if not self._socket.samefile(self._ours):
                self._socket.rename(self._behind)
                self._socket.hardlink_to(self._ours)

    async def close(self) -> None:
        if self._looking.running:
            self._looking.stop()
        await super().close()

    def start(self) -> None:
        self.server.start(ready=False)
        self.server.wait_ready(READY)

    def pid_of(self, name: str) -> int | None:
        """Of the process that serves in this place, if one does."""
        found = re.findall(rf"{name} is ready \(process (\d+)\)", self.server.log)
        pid = int(found[-1]) if found else 0
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if state == "Z" else pid

    def kill_node(self, number: int) -> None:
        pid = self.pid_of(f"worker-{number + 1}")
        if pid is not None:
            os.kill(pid, signal.SIGKILL)

    def kill_engine(self) -> None:
        # Not as soon as it has come up: that is another fault, which longer pauses answer, and
        # nobody would be served in between.
        pid = self._writer()
        time.sleep(3.0)
        os.kill(pid, signal.SIGKILL)
        # Nobody answers on the socket of a writer that is dead, and ours would: the next
        # one would take it for another server's.
        self._socket.unlink(missing_ok=True)

    def pause_engine(self, seconds: float) -> None:
        pid = self._writer()
        os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(pid, signal.SIGCONT)

    def _writer(self) -> int:
        pid: int = wait_until(lambda: self.pid_of("writer"), "a writer", 60)
        return pid


class Postgres(Cluster):
    """Servers that share a PostgreSQL."""

    name = "nodes on PostgreSQL"

    def __init__(self, reactor: Any, random: Random, config: str = "", *, cuts: bool) -> None:
        super().__init__(reactor, random, config, cuts=cuts)
        # What is committed outlives `kill -9`, though not the machine.
        self.engine = Engine({**FAST_ENGINE, "synchronous_commit": "on"})
        self.replica: Engine | None = None
        self._ways: list[Path] = []
        self._servers = [ServerProcess("") for _ in range(NODES)]

    @property
    def servers(self) -> list[ServerProcess]:
        return self._servers

    def add_replica(self) -> Engine:
        """One that nodes go to when they find that it takes writes."""
        self.replica = Engine(FAST_ENGINE, copy_of=self.engine)
        return self.replica

    async def _open_engine(self) -> None:
        for _ in self._servers:
            way = Path(tempfile.mkdtemp(prefix="tako-way-"))
            self._ways.append(way)
            name = ".s.PGSQL.5432"
            to = UNIXClientEndpoint(self._reactor, str(self.engine.folder / name))
            await self._proxy(to, *ENGINE_LIFE).listen_unix(str(way / name))

    async def close(self) -> None:
        await super().close()
        for one in (self.engine, self.replica):
            if one is not None:
                one.close()
        for way in self._ways:
            shutil.rmtree(way, ignore_errors=True)

    def start(self) -> None:
        for number, server in enumerate(self._servers):
            if self._ways:
                url = self.engine.url(host=str(self._ways[number]))
            elif self.replica is not None:
                url = self.engine.url(host=f"{self.engine.folder},{self.replica.folder}")
            else:
                url = self.engine.url()
            server.write_config(f'{self.config}\n[replay]\nurl = "{url}"\n')
            server.start(ready=False)
        for server in self._servers:
            server.wait_ready(READY)

    def kill_node(self, number: int) -> None:
        server = self._servers[number]
        # It may not have come up again since it was killed the last time; nor the one whose turn is
        # next, and on a busy machine nobody would serve in between.
        server.wait_ready(READY)
        self._servers[(number + 1) % NODES].wait_ready(READY)
        server.kill()
        server.start(ready=False)

    def kill_engine(self) -> None:
        self.engine.kill()
        time.sleep(0.5)
        self.engine.start()

    def pause_engine(self, seconds: float) -> None:
        self.engine.signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.engine.signal(signal.SIGCONT)
