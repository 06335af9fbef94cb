"""The servers beside which ours is measured."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks import requests
from benchmarks.build import compiled
from benchmarks.peers.peer import Peer, Publish

_HERE = Path(__file__).parent

_NGINX = """
load_module /usr/lib/nginx/modules/ngx_nchan_module.so;
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
worker_rlimit_nofile 60000;
events {{ worker_connections 50000; multi_accept on; }}
http {{
    access_log off;
    tcp_nodelay on;
    keepalive_requests 100000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    nchan_shared_memory_size 512M;
    server {{
        listen 127.0.0.1:{port} {ssl} backlog=4096;
        {certificate}
        location = /sub {{
            nchan_subscriber websocket eventsource;
            nchan_channel_id $arg_n;
            nchan_subscriber_first_message newest;
            nchan_websocket_ping_interval 0;
        }}
        location = /pub {{
            nchan_publisher http;
            nchan_channel_id $arg_n;
            nchan_message_buffer_length 20000;
            nchan_message_timeout 60s;
        }}
    }}
}}
"""


class Nchan(Peer):
    """nginx with its pub/sub module, written in C; messages are kept in memory."""

    name = "nchan"

    def command(self) -> list[str]:
        files = (
            f"ssl_certificate {self.certificate}; ssl_certificate_key {self.certificate}; "
            # Not among nginx 1.22's own; the generator speaks no other.
            "ssl_protocols TLSv1.3;"
            if self.certificate
            else ""
        )
        configuration = self.folder / "nginx.conf"
        configuration.write_text(
            _NGINX.format(
                folder=self.folder,
                port=self.port,
                ssl="ssl" if self.certificate else "",
                certificate=files,
            )
        )
        return ["nginx", "-e", "stderr", "-c", str(configuration)]

    def target(self) -> str:
        return f"/sub?n={requests.TOPIC}"

    def publish(self, kind: str = "single") -> Publish:
        if kind != "single":
            return super().publish(kind)
        body = '{"id":"1763700000123456","channel":"bench","type":"m","data":'
        body += requests.data() + "}"
        return Publish(requests.post(f"/pub?n={requests.TOPIC}", {}, body))


class Node(Peer):
    """node with `ws`: `send` for each subscriber."""

    name = "node"

    def command(self) -> list[str]:
        files = [str(self.certificate)] * 2 if self.certificate else []
        return ["node", str(_HERE / "node_server.js"), str(self.port), *files]

    def environment(self) -> Mapping[str, str]:
        return {"NODE_PATH": str(_ws() / "node_modules")}


class NodeShared(Node):
    """The same, with one frame written to all sockets."""

    name = "node-shared"
    subscribes = ("websocket",)

    def environment(self) -> Mapping[str, str]:
        return {**super().environment(), "SHARED": "1"}


class Autobahn(Peer):
    """Autobahn on Twisted: `sendMessage` for each subscriber."""

    name = "autobahn"
    subscribes = ("websocket",)
    tls = False

    def command(self) -> list[str]:
        return [sys.executable, str(_HERE / "autobahn_server.py"), str(self.port)]


class Limit(Peer):
    """A loop of `send` in C: what the kernel itself costs."""

    name = "limit"
    tls = False

    def command(self) -> list[str]:
        return [str(compiled(_HERE / "limit.c")), str(self.port)]


def _ws() -> Path:
    """The folder with the package `ws`, installed when it is first needed."""
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "takotwist-benchmarks"
    if not (folder / "node_modules" / "ws").exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder, "ws@8"],
            check=True,
        )
    return folder
