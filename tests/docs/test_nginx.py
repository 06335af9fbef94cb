"""The nginx how-to, with Debian's nginx in front of a real server."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
from pathlib import Path
from shutil import which

import websockets
from twisted.trial.unittest import SynchronousTestCase

from tests.docs.page import DOCS, project
from tests.docs.running import Running, eventually, free_port

NGINX = which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin")

CHANNELS = """
from takotwist import define_channel

chat = define_channel("chat", forward_unhandled=True)
"""

#: Around the page's configuration, which stands in the http block.
AROUND = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/a; proxy_temp_path {folder}/b;
    fastcgi_temp_path {folder}/c; uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
    {inside}
}}
"""


class TestNginx(SynchronousTestCase):
    timeout = 120

    def setUp(self) -> None:
        assert NGINX, "nginx is missing: apt-get install nginx-light"
        self.running = running = Running()
        self.addCleanup(running.close)
        self.folder = running.folder
        (self.folder / "channels").mkdir()
        (self.folder / "channels" / "chat.py").write_text(CHANNELS)
        running.environment["TAKO_HTTP_TRUSTED_PROXIES"] = "127.0.0.1"
        running.run("tako trust")
        running.serve()
        self.port = free_port()
        self.certificate = self.folder / "data" / "takotwist" / "development-ca.pem"
        running.start(f"{NGINX} -c {self.write_configuration()}", "nginx", errors_too=True)
        eventually(lambda: self.curl("/_tako/health"), "nginx answers")

    def write_configuration(self) -> Path:
        text = project(DOCS / "howto" / "nginx.md")["takotwist.conf"]
        version = subprocess.run([str(NGINX), "-v"], capture_output=True, text=True, check=True)
        listen = f"listen 127.0.0.1:{self.port} ssl"
        if tuple(map(int, version.stderr.split("/")[1].split()[0].split("."))) < (1, 25, 1):
            text = text.replace("    http2 on;\n", "")
            listen += " http2"
        tls = self.folder / "state" / "tls"
        for before, after in (
            ("listen 443 ssl", listen),
            ("127.0.0.1:8080", f"127.0.0.1:{self.running.port}"),
            ("chat.example.com;", "localhost;"),
            ("/etc/letsencrypt/live/chat.example.com/fullchain.pem", f"{tls}/localhost.pem"),
            ("/etc/letsencrypt/live/chat.example.com/privkey.pem", f"{tls}/localhost-key.pem"),
        ):
            assert before in text, before
            text = text.replace(before, after)
        path = self.folder / "nginx.conf"
        path.write_text(AROUND.format(folder=self.folder, inside=text))
        return path

    @property
    def origin(self) -> str:
        return f"https://localhost:{self.port}"

    def curl(self, path: str, *options: str) -> str:
        words = " ".join(f"'{one}'" for one in options)
        command = f"curl -s --cacert {self.certificate} {words} '{self.origin}{path}'"
        return self.running.run(command, check=False)

    def test_events_come_at_once(self) -> None:
        """A message goes through without waiting for a buffer, over HTTP/2 and HTTP/1.1."""
        for version in ("--http2", "--http1.1"):
            name = f"heard{version}"
            self.running.start(
                f"curl -sN {version} --cacert {self.certificate} {self.origin}/channels/chat", name
            )
            eventually(lambda name=name: "id: " in self.running.said(name), "the first block")
            self.running.run("tako publish chat msg '\"now\"'")
            eventually(lambda name=name: '"now"' in self.running.said(name), "the message")

    def test_origin(self) -> None:
        """A page of nginx's own origin is served; another is not."""
        same = self.curl("/channels/chat/history", "-H", f"Origin: {self.origin}")
        self.assertIn("messages", json.loads(same))
        other = self.curl("/channels/chat/history", "-H", "Origin: https://elsewhere.example")
        self.assertEqual(json.loads(other)["code"], "origin-rejected")

    def test_websocket(self) -> None:
        """A WebSocket goes through, and is known by the client's own address."""
        context = ssl.create_default_context(cafile=str(self.certificate))

        async def talk() -> str:
            url = f"wss://localhost:{self.port}/channels/chat"
            async with websockets.connect(url, ssl=context, origin=self.origin) as connection:  # type: ignore[arg-type]
                await connection.send('{"type":"msg","data":"hi"}')
                return str(await connection.recv())

        self.assertEqual(json.loads(asyncio.run(talk()))["data"], "hi")
        eventually(lambda: "websocket" in self.running.said("log"), "the connection's line")
        self.assertIn("from 127.0.0.1", self.running.said("log"))
