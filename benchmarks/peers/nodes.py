"""Our server as several nodes: workers of one machine, and servers on one PostgreSQL."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.peers.peer import Peer, Publish
from benchmarks.peers.tako import Tako
from tests.adapters.postgres.engine import Engine


class TakoWorkers(Tako):
    """Workers on one log in a file."""

    @property
    def nodes(self) -> Sequence[int]:
        """See `Peer`."""
        return [pid for pid in self.pids if b"worker-" in Path(f"/proc/{pid}/cmdline").read_bytes()]


class TakoPair(Peer):
    """Two servers, and the PostgreSQL that they share, whose CPU counts too."""

    name = "takotwist postgresql"
    core = ""
    subscribes = Tako.subscribes
    ready = Tako.ready

    def __init__(self, folder: Path, certificate: Path | None = None) -> None:
        super().__init__(folder, certificate)
        # As Debian configures it, but for the size.
        self._engine = Engine({})
        self._servers = []
        for name in ("first", "second"):
            (folder / name).mkdir()
            url = self._engine.url()
            self._servers.append(Tako(folder / name, certificate, replay_url=url))
        self.port = self._servers[0].port

    @property
    def other_port(self) -> int:
        """See `Peer`."""
        return self._servers[1].port

    @property
    def pids(self) -> list[int]:
        """See `Peer`."""
        return [*self.nodes, *self._engine.pids]

    @property
    def nodes(self) -> Sequence[int]:
        """See `Peer`."""
        return [pid for server in self._servers for pid in server.pids]

    def start(self) -> None:
        """See `Peer`."""
        for server in self._servers:
            server.start()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """See `Peer`."""
        for server in self._servers:
            server.stop(number)
        self._engine.close()

    def environment(self) -> Mapping[str, str]:
        """See `Peer`."""
        return self._servers[0].environment()

    def subscribe(self, kind: str) -> bytes:
        """See `Peer`."""
        return self._servers[0].subscribe(kind)

    def publish(self, kind: str = "single") -> Publish:
        """See `Peer`."""
        return self._servers[0].publish(kind)
