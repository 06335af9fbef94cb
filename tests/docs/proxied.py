"""What goes through the proxies of the how-tos, with the real programs in front of a real server.

A case names its proxy; the words are the same for all.  Rule: the configuration is the page's, and
only names, ports, files and times are exchanged.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import websockets
from twisted.trial.unittest import SynchronousTestCase

from takotwist.client.asyncio import connect
from takotwist.client.events import Message
from tests.docs.running import Running, eventually
from tests.sockets.server_process import free_port

CHANNELS = """
from takotwist import define_channel

chat = define_channel("chat", forward_unhandled=True)
news = define_channel("news")
"""

KEY = "a-publish-key-of-a-test-which-is-long-enough"


class Proxied(SynchronousTestCase):
    """A server, and a proxy in front.

    :cvar full_duplex: over which answers come while the request is sent.
    :cvar quiet_seconds: how long a stream says nothing; longer than the proxy would wait, were
        it not for keepalives.
    """

    timeout = 120
    quiet_seconds = 4.0
    full_duplex: Sequence[str] = ("--http1.1", "--http2")

    def setUp(self) -> None:
        self.running = running = Running()
        self.addCleanup(running.close)
        self.folder = running.folder
        (self.folder / "channels").mkdir()
        (self.folder / "channels" / "chat.py").write_text(CHANNELS)
        running.environment["TAKO_HTTP_TRUSTED_PROXIES"] = "127.0.0.1"
        running.environment["TAKO_PUBLISH_KEYS"] = KEY
        running.environment["TAKO_LIFECYCLE_KEEPALIVE_INTERVAL_SECONDS"] = "1"
        running.environment["TAKO_LIMITS_DRAIN_SECONDS"] = "0.5"
        running.environment["TAKO_LIMITS_MAX_BODY_BYTES"] = str(2 * 2**20)
        # Nobody listens there, so that no server of this machine is taken for ours.
        running.run("TAKO_TLS_LISTEN=tcp:1:interface=127.0.0.1 tako trust")
        self.server = running.serve()
        self.port = free_port()
        self.certificate = self.folder / "data" / "takotwist" / "development-ca.pem"
        self.tls = self.folder / "state" / "tls"
        running.start(self.proxy(), "proxy", errors_too=True)
        eventually(lambda: self.curl("/_tako/health"), "the proxy answers")

    def proxy(self, second: int | None = None) -> str:
        """The command that starts it, its configuration written.

        :param second: port of another server, where there are two behind one name.
        """
        raise NotImplementedError

    @property
    def origin(self) -> str:
        return f"https://localhost:{self.port}"

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.certificate))

    def curl(self, path: str, *options: str) -> str:
        words = " ".join(f"'{one}'" for one in options)
        command = f"curl -s --cacert {self.certificate} {words} '{self.origin}{path}'"
        return self.running.run(command, check=False)

    def listen(self, name: str, *options: str) -> subprocess.Popen[bytes]:
        """An event stream of the chat, into a file; it has begun."""
        words = " ".join(f"'{one}'" for one in options)
        listening = self.running.start(
            f"exec curl -sN {words} --cacert {self.certificate} {self.origin}/channels/chat", name
        )
        eventually(lambda: "id: " in self.running.said(name), "the first block")
        return listening

    def say(self, text: str) -> None:
        self.running.run(f"tako publish chat msg '\"{text}\"'")

    def heard(self, name: str, text: str) -> None:
        eventually(lambda: f'"{text}"' in self.running.said(name), f"{text} in {name}")

    def test_streams(self) -> None:
        """A message goes through without waiting for a buffer, over HTTP/2 and HTTP/1.1; a page
        of the proxy's own origin is served, and another is not."""
        for version in ("--http2", "--http1.1"):
            self.listen(f"heard{version}", version)
            self.say(version)
            self.heard(f"heard{version}", version)
        same = self.curl("/channels/chat/history", "-H", f"Origin: {self.origin}")
        self.assertIn("messages", json.loads(same))
        other = self.curl("/channels/chat/history", "-H", "Origin: https://elsewhere.example")
        self.assertEqual(json.loads(other)["code"], "origin-rejected")

    def test_sockets_and_publishing(self) -> None:
        """A WebSocket, and one of many topics; a publish in each of its forms, the lines of one
        answered while the request is open; all known by the client's own address."""
        asyncio.run(self._talk())
        eventually(lambda: "websocket" in self.running.said("log"), "the connection's line")
        self.assertIn("from 127.0.0.1", self.running.said("log"))
        for version in self.full_duplex:
            self._publish_lines(version)
        # More than the proxy's own limit on bodies, where it has one.
        batch = json.dumps([{"type": "msg", "data": "x" * 15_000}] * 80)
        (self.folder / "batch.json").write_text(batch)
        self.assertGreater(len(batch), 2**20)
        stored = self.curl(
            "/channels/news",
            *("-H", f"Authorization: Bearer {KEY}", "-H", "Content-Type: application/json"),
            *("--data-binary", "@batch.json"),
        )
        self.assertEqual(len(json.loads(stored)), 80)

    async def _talk(self) -> None:
        url = f"wss://localhost:{self.port}/channels/chat"
        origin: Any = self.origin
        async with (
            asyncio.timeout(90),
            connect(self.origin, ca_file=str(self.certificate)) as client,
            websockets.connect(url, ssl=self.trust, origin=origin) as connection,
        ):
            topics = [client.subscribe(name, cursor="0") for name in ("chat", "news")]
            await connection.send('{"type":"msg","data":"hi"}')
            self.assertEqual(json.loads(await connection.recv())["data"], "hi")
            await asyncio.to_thread(self.running.run, "tako publish news msg '\"too\"'")
            for topic, text in zip(topics, ("hi", "too"), strict=True):
                async for event in topic:
                    if isinstance(event, Message):
                        self.assertEqual(event.data, text)
                        break
            for topic in topics:
                await topic.close()

    def _publish_lines(self, version: str) -> None:
        """One line, its answer, another line, its answer: nothing on the way waits for the end."""
        name = f"lines{version}"
        pipe = self.folder / "pipe"
        os.mkfifo(pipe)
        publishing = self.running.start(
            f"curl -sN {version} -X POST -T . --cacert {self.certificate}"
            f" -H 'Authorization: Bearer {KEY}' -H 'Content-Type: application/x-ndjson' -H Expect:"
            f" {self.origin}/channels/news <pipe && rm pipe",
            name,
        )
        with pipe.open("w") as lines:
            for number in range(3):
                lines.write(f'{{"type":"msg","data":"line {number}"}}\n')
                lines.flush()
                self.heard(name, f"line {number}")
        self.assertEqual(publishing.wait(60), 0)

    def test_quiet_and_a_restart(self) -> None:
        """A stream that says nothing for longer than the proxy waits is kept by its keepalives; in
        a restart it ends in order, and its client goes on where it was."""
        quiet = self.listen("quiet")
        asyncio.run(self._quiet())
        self.assertIsNone(quiet.poll(), "cut")
        self.say("still here")
        self.heard("quiet", "still here")
        self.running.stop(self.server)
        # Curl would say so, were it cut in the middle of a chunk.
        self.assertEqual(quiet.wait(60), 0)
        last = self.running.said("quiet").rpartition("id: ")[2].split("\n")[0]
        self.assertIn(self.curl("/_tako/health", "-w", "%{http_code}")[-3:], ("502", "503"))
        self.running.serve()
        self.say("after")
        self.listen("again", "-H", f"Last-Event-ID: {last}")
        self.heard("again", "after")
        self.assertNotIn("still here", self.running.said("again"))

    def test_two_servers(self) -> None:
        """One of two is stopped: who comes is served by the other one from the first moment on."""
        self.running.environment["TAKO_STATE_DIR"] = str(self.folder / "second")
        first, second = self.running.port, free_port()
        self.running.environment["TAKO_HTTP_LISTEN"] = f"tcp:{second}:interface=127.0.0.1"
        self.running.port = second
        self.running.serve()
        self.running.port = first
        self.port = free_port()
        self.running.start(self.proxy(second), "both", errors_too=True)
        eventually(lambda: self.curl("/_tako/health"), "the proxy answers")
        self.assertEqual({self._comes() for _ in range(10)}, {"200"})
        seen: list[str] = []
        over = threading.Event()

        def come() -> None:
            while not over.is_set():
                seen.append(self._comes())

        self.addCleanup(over.set)
        coming = threading.Thread(target=come)
        coming.start()
        self.running.stop(self.server)
        before = len(seen)
        eventually(lambda: len(seen) > before + 5, "more who come")
        over.set()
        coming.join()
        self.assertEqual(set(seen), {"200"}, seen)

    def _comes(self) -> str:
        """The status of the answer to somebody new."""
        return self.curl("/channels/chat/history", "-o", "/dev/null", "-w", "%{http_code}")

    async def _quiet(self) -> None:
        url = f"wss://localhost:{self.port}/channels/chat"
        origin: Any = self.origin
        async with websockets.connect(
            url, ssl=self.trust, origin=origin, ping_interval=None
        ) as connection:
            until = time.monotonic() + self.quiet_seconds
            while time.monotonic() < until:
                await asyncio.sleep(0.2)
            await connection.send('{"type":"msg","data":"quiet"}')
            while json.loads(await connection.recv()).get("data") != "quiet":
                pass

    def replaced(self, text: str, *pairs: tuple[str, str]) -> str:
        """The page's configuration with a test's names.

        :raises AssertionError: the page has changed.
        """
        for before, after in pairs:
            self.assertIn(before, text)
            text = text.replace(before, after)
        return text

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path
