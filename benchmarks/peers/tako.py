"""Our server with everything switched on: credentials, the log on disk, limits, metrics."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks import requests
from benchmarks.peers.peer import Peer, Publish

KEY = "benchmark-publish-key-0123456789"

CHANNELS = """
from takotwist import Grant, define_channel

topic = {"type": "object", "properties": {"n": {"type": "string"}}, "required": ["n"]}
bench = define_channel("bench", params=topic)

@bench.verify(header="authorization")
async def verify(request):
    return Grant(subject="somebody") if request.header.value == "member" else False

@bench.on("m")
async def m(data, context):
    return data
"""

CONFIG = """
[http]
listen = {plain}
[tls]
listen = {tls}
{certificate}
[publish]
keys = ["{key}"]
rate = 1e6
burst = 1000000
[replay]
durability = "{durability}"
{url}
[limits]
max_connections = 50000
max_connections_per_address = 50000
max_connections_per_subject = 50000
connect_rate = 1e6
connect_burst = 1000000
publish_rate = 1e6
publish_burst = 1000000
"""


class Tako(Peer):
    """See `Peer`.

    :param durability: of the log.
    :param reactor: of Twisted.
    :param workers: processes that serve; 0 for one, bound to its core.
    :param replay_url: a PostgreSQL in place of the file.
    """

    name = "takotwist"
    subscribes = ("sse", "websocket", "mux")
    ready = {"sse": "\r\n\r\n", "websocket": "\r\n\r\n", "mux": '"cursor"'}

    def __init__(
        self,
        folder: Path,
        certificate: Path | None = None,
        durability: str = "commit",
        reactor: str = "epoll",
        workers: int = 0,
        replay_url: str = "",
    ) -> None:
        super().__init__(folder, certificate)
        self._reactor = reactor
        self._workers = workers
        if workers or replay_url:
            self.core = ""
        (folder / "channels").mkdir(exist_ok=True)
        (folder / "channels" / "bench.py").write_text(CHANNELS)
        listen = f'["tcp:{self.port}:interface=127.0.0.1:backlog=4096"]'
        (folder / "tako.toml").write_text(
            CONFIG.format(
                plain="[]" if certificate else listen,
                tls=listen if certificate else "[]",
                certificate=(
                    f'certificate = "{certificate}"\nkey = "{certificate}"' if certificate else ""
                ),
                key=KEY,
                durability=durability,
                url=f'url = "{replay_url}"' if replay_url else "",
            )
        )

    def command(self) -> list[str]:
        twistd = Path(sys.executable).parent / "twistd"
        options = ["--reactor", self._reactor, "--pidfile", "", "--logfile", "server.log"]
        workers = ["--workers", str(self._workers)] if self._workers else []
        return [
            sys.executable, str(twistd), "-n", *options, "tako", "--config", "tako.toml", *workers,
        ]  # fmt: skip

    def environment(self) -> Mapping[str, str]:
        return {name: "" for name in os.environ if name.startswith("TAKO_")}

    def target(self) -> str:
        return f"/channels/bench?n={requests.TOPIC}"

    def subscribe(self, kind: str) -> bytes:
        member = {"Authorization": "Bearer member"}
        if kind == "sse":
            return requests.get(self.target(), member)
        if kind == "websocket":
            return requests.upgrade(self.target(), member)
        explicit = {"Sec-WebSocket-Protocol": "tako.v1"}
        return requests.upgrade("/_tako/connect", explicit) + requests.frame(
            f'{{"op":"subscribe","ref":1,"channel":"bench","params":{{"n":"{requests.TOPIC}"}},'
            '"auth":"Bearer member"}'
        )

    def publish(self, kind: str = "single") -> Publish:
        may = {"Authorization": f"Bearer {KEY}"}
        draft = '{"type":"m","data":' + requests.data() + "}"
        if kind == "single":
            return Publish(requests.post(self.target(), may, draft))
        if kind == "batch":
            body = "[" + ",".join([draft] * 100) + "]"
            return Publish(
                requests.post(self.target(), may, body), batch=100, per_ack=100, window=100
            )
        if kind == "ndjson":
            chunked = {"Content-Type": "application/x-ndjson", "Transfer-Encoding": "chunked"}
            lines = (draft + "\n").encode() * 100
            return Publish(
                requests.chunk(lines),
                ack='{"id"',
                batch=100,
                window=400,
                open=requests.head("POST", self.target(), {**may, **chunked}),
            )
        frame = requests.frame(
            f'{{"op":"publish","ref":1,"channel":"bench","params":{{"n":"{requests.TOPIC}"}},'
            f'"type":"m","data":{requests.data()},"auth":"Bearer member"}}'
        )
        explicit = {"Sec-WebSocket-Protocol": "tako.v1"}
        return Publish(
            frame * 10,
            ack='"op":"ack"',
            batch=10,
            window=20,
            open=requests.upgrade("/_tako/connect", explicit),
            opened='"op":"open"',
        )
