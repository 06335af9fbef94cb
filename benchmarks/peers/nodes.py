"""Our server as several nodes: workers of one machine, and servers on one PostgreSQL."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from benchmarks import requests
from benchmarks.peers.peer import PATIENCE, Peer, Publish, free_port
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


class Centrifugo(Peer):
    """Centrifugo 6 with its stream broker on a PostgreSQL, whose CPU counts too.

    It is taken from the path: ``go install github.com/centrifugal/centrifugo/v6@v6.9.1``.
    """

    name = "centrifugo postgresql"
    core = ""
    subscribes = ("sse",)
    ready = {"sse": "\r\n\r\n"}

    def __init__(self, folder: Path, certificate: Path | None = None) -> None:
        super().__init__(folder, certificate)
        self._engine = Engine({})
        self._other_port = free_port()
        self._others: list[subprocess.Popen[bytes]] = []
        configuration = {
            "broker": {
                "enabled": True,
                "type": "postgres",
                # The lower latency of the two ways to learn of what is new.
                "postgres": {"dsn": self._engine.url(), "use_notify": True},
            },
            # History as ours: ten minutes, recoverable.
            "channel": {
                "without_namespace": {
                    "history_size": 10_000,
                    "history_ttl": "600s",
                    "allow_subscribe_for_anonymous": True,
                    "allow_subscribe_for_client": True,
                }
            },
            "client": {
                "insecure": True,
                "allowed_origins": ["*"],
                "allow_anonymous_connect_without_token": True,
            },
            "http_api": {"insecure": True},
            "uni_sse": {"enabled": True},
            "log": {"level": "error"},
        }
        (folder / "config.json").write_text(json.dumps(configuration))

    @property
    def pids(self) -> list[int]:
        """See `Peer`."""
        return [*self.nodes, *self._engine.pids]

    @property
    def nodes(self) -> Sequence[int]:
        """See `Peer`."""
        return [*super().pids, *(one.pid for one in self._others)]

    @property
    def other_port(self) -> int:
        """See `Peer`."""
        return self._other_port

    def command(self, port: int | None = None) -> list[str]:
        """See `Peer`."""
        address = ["--http_server.address", "127.0.0.1", "--http_server.port"]
        return ["centrifugo", "--config", "config.json", *address, str(port or self.port)]

    def start(self) -> None:
        """See `Peer`."""
        super().start()
        with (self.folder / "other.log").open("ab") as log:
            other = subprocess.Popen(
                self.command(self.other_port), cwd=self.folder, stdout=log, stderr=log
            )
        self._others.append(other)
        # What it logs is errors alone, so the other one is ready when it listens.
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.other_port)) == 0:
                    return
            time.sleep(0.05)
        raise RuntimeError("the second centrifugo does not listen")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """See `Peer`."""
        for other in self._others:
            other.kill()
            other.wait()
        self._others.clear()
        super().stop(number)
        self._engine.close()

    def subscribe(self, kind: str) -> bytes:
        """See `Peer`."""
        asked = quote(json.dumps({"subs": {requests.TOPIC: {}}}))
        return requests.get(f"/connection/uni_sse?cf_connect={asked}", {})

    def publish(self, kind: str = "single") -> Publish:
        """See `Peer`."""
        one = f'{{"channel":"{requests.TOPIC}","data":{requests.data()}}}'
        if kind == "batch":
            body = '{"commands":[' + ",".join([f'{{"publish":{one}}}'] * 100) + "]}"
            unit = requests.post("/api/batch", {}, body)
            return Publish(unit, batch=100, per_ack=100, window=100)
        return Publish(requests.post("/api/publish", {}, one))
