"""Two nodes of one server, of each engine: workers on SQLite, and servers on a PostgreSQL."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping

from tests.adapters.postgres.engine import Engine
from tests.sockets.server_process import FAST, ServerProcess


class Nodes:
    """Two of them.

    :cvar name: for who reads the output of a test.
    """

    name: str

    @property
    def servers(self) -> list[ServerProcess]:
        """What was started."""
        raise NotImplementedError

    def port(self, number: int) -> int:
        """Of a node; which one it is may be by chance."""
        servers = self.servers
        return servers[number % len(servers)].port

    def start(self) -> None:
        """Start both."""
        for server in self.servers:
            server.start(ready=False)
        for server in self.servers:
            server.wait_ready(60)

    def kill(self, pid: int) -> None:
        """``kill -9`` of a node."""
        os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        """End and remove all."""
        for server in self.servers:
            server.close()


class Workers(Nodes):
    """Two workers; which of them one gets is chance."""

    name = "workers"

    def __init__(self, config: str, channels: Mapping[str, str]) -> None:
        self._server = ServerProcess(FAST + config, channels, arguments=("--workers", "2"))

    @property
    def servers(self) -> list[ServerProcess]:
        return [self._server]


class Postgres(Nodes):
    """Two servers."""

    name = "servers on PostgreSQL"

    def __init__(self, config: str, channels: Mapping[str, str]) -> None:
        self._engine = Engine()
        config = f'{FAST}{config}\n[replay]\nurl = "{self._engine.url()}"\n'
        self._servers = [ServerProcess(config, channels) for _ in range(2)]

    @property
    def servers(self) -> list[ServerProcess]:
        return self._servers

    def close(self) -> None:
        super().close()
        self._engine.close()
