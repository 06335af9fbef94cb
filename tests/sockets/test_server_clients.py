"""Clients that other people wrote read what the server writes."""

from __future__ import annotations

import asyncio
import json
import subprocess
from typing import Any

import aiohttp
import httpx
import sseclient
import websockets
from httpx_sse import connect_sse
from twisted.trial.unittest import SynchronousTestCase

from tests.sockets.server_process import FAST, ServerProcess, wait_until
from tests.sockets.test_stock_clients import FOLDER, INSTALL

COUNT = 20

#: Node's program: prints each message, and ends after so many.
PROGRAM = """
import { EventSource } from "eventsource";
const source = new EventSource(process.argv[2]);
let left = Number(process.argv[3]);
source.onmessage = (event) => {
  console.log(JSON.stringify({ id: event.lastEventId, data: JSON.parse(event.data) }));
  if (--left === 0) { source.close(); process.exit(0); }
};
source.onerror = (event) => console.error("again:", event.code, event.message);
console.error("started");
"""


class ClientTests(SynchronousTestCase):
    """Each reads twenty messages, some from the replay, the rest live."""

    def setUp(self) -> None:
        self.server = ServerProcess(FAST, tls=True)
        self.addCleanup(self.server.close)
        self.server.start()
        self.publish(0, COUNT // 2)

    def publish(self, first: int, count: int) -> None:
        body = [{"type": "msg", "data": n} for n in range(first, first + count)]
        with self.server.private() as private:
            answer = private.post("/channels/chat?roomId=a", content=json.dumps(body))
        self.assertEqual(answer.status_code, 200)

    def publish_rest(self) -> None:
        self.publish(COUNT // 2, COUNT // 2)

    def assert_all(self, messages: list[dict[str, Any]]) -> None:
        self.assertEqual([message["data"] for message in messages], list(range(COUNT)))
        for message in messages:
            self.assertEqual(list(message), ["id", "channel", "type", "data"])
        self.server.assert_clean()

    def url(self, scheme: str = "http") -> str:
        cursor = "last_event_id" if scheme.startswith("http") else "last_message_id"
        return f"{scheme}://127.0.0.1:{self.server.port}/channels/chat?roomId=a&{cursor}=0"

    def process(self, *command: str, **options: Any) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, **options)
        assert process.stdout is not None
        self.addCleanup(process.wait)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.kill)
        return process

    def test_curl_http2(self) -> None:
        """``curl --http2 -N`` over TLS shows each event as it comes."""
        url = f"{self.server.tls_url}/channels/chat?roomId=a"
        head = self.server.folder / "head"
        curl = self.process(
            *("curl", "--http2", "-N", "-s", "--cacert", str(self.server.authority)),
            *("-D", str(head), "-H", "Last-Event-ID: 0", url),
        )
        assert curl.stdout is not None
        messages: list[dict[str, Any]] = []
        for line in curl.stdout:
            if line.startswith(b"data:"):
                messages.append(json.loads(line[5:]))
                if len(messages) == COUNT // 2:
                    self.publish_rest()
                if len(messages) == COUNT:
                    break
        self.assert_all(messages)
        lines = head.read_text().lower().splitlines()
        self.assertEqual(lines[0].strip(), "http/2 200")
        self.assertIn("content-type: text/event-stream; charset=utf-8", lines)
        self.assertIn("cache-control: no-store, no-transform", lines)
        self.assertIn("x-accel-buffering: no", lines)
        self.assertFalse([line for line in lines if line.startswith("connection:")])

    def read(self, events: Any) -> None:
        messages = []
        for event in events:
            if event.data:
                messages.append(json.loads(event.data))
                self.assertEqual(event.id, messages[-1]["id"])
                if len(messages) == COUNT // 2:
                    self.publish_rest()
                if len(messages) == COUNT:
                    break
        self.assert_all(messages)

    def test_httpx_sse(self) -> None:
        """httpx-sse, over HTTP/1.1."""
        with httpx.Client(timeout=60) as client, connect_sse(client, "GET", self.url()) as source:
            self.read(source.iter_sse())

    def test_httpx_sse_http2(self) -> None:
        """httpx-sse, over HTTP/2 and TLS."""
        url = f"{self.server.tls_url}/channels/chat?roomId=a&last_event_id=0"
        with (
            httpx.Client(http2=True, verify=self.server.trust, timeout=60) as client,
            connect_sse(client, "GET", url) as source,
        ):
            self.assertEqual(source.response.http_version, "HTTP/2")
            self.read(source.iter_sse())

    def test_sseclient(self) -> None:
        """sseclient-py, on the bytes of a plain response."""
        with httpx.Client(timeout=60) as client, client.stream("GET", self.url()) as response:
            self.read(sseclient.SSEClient(response.iter_bytes()).events())

    def test_eventsource(self) -> None:
        """npm's ``eventsource`` in Node, which also comes back by itself after a restart."""
        subprocess.run(["sh", str(INSTALL), str(FOLDER)], check=True, timeout=300)
        program = self.server.folder / "program.mjs"
        program.write_text(PROGRAM)
        (self.server.folder / "node_modules").symlink_to(FOLDER / "node_modules")
        node = self.process("node", str(program), self.url(), str(COUNT), stderr=subprocess.DEVNULL)
        assert node.stdout is not None
        messages = [json.loads(node.stdout.readline()) for _ in range(COUNT // 2)]
        self.server.restart()
        self.publish_rest()
        messages += [json.loads(line) for line in node.stdout]
        self.assertEqual(node.wait(60), 0)
        for message in messages:
            self.assertEqual(message["id"], message["data"]["id"])
        self.assert_all([message["data"] for message in messages])

    def test_aiohttp(self) -> None:
        """aiohttp's WebSocket, which also sends."""

        async def read() -> list[dict[str, Any]]:
            messages = []
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(self.url("http").replace("event", "message")) as socket,
            ):
                for _ in range(COUNT // 2):
                    messages.append(await socket.receive_json(timeout=60))
                for n in range(COUNT // 2, COUNT):
                    await socket.send_json({"type": "msg", "data": n})
                    messages.append(await socket.receive_json(timeout=60))
            return messages

        self.assert_all(asyncio.run(read()))

    def test_websockets(self) -> None:
        """websockets, plain and with tako.v1, with compression as it offers it."""

        async def read(subprotocol: str | None) -> list[dict[str, Any]]:
            names: Any = [subprotocol] if subprotocol else None
            async with websockets.connect(
                self.url("ws"), subprotocols=names, open_timeout=60
            ) as socket:
                self.assertEqual(socket.subprotocol, subprotocol)
                messages: list[dict[str, Any]] = []
                while len(messages) < COUNT:
                    message = json.loads(await asyncio.wait_for(socket.recv(), 60))
                    if "op" not in message:
                        messages.append(message)
                    if len(messages) == COUNT // 2 and subprotocol is None:
                        await asyncio.to_thread(self.publish_rest)
                return messages

        self.assert_all(asyncio.run(read(None)))
        self.assert_all(asyncio.run(read("tako.v1")))

    def test_websocket_over_tls(self) -> None:
        """websockets over TLS; everybody that left is counted out."""

        async def read() -> str:
            url = f"wss://localhost:{self.server.tls_port}/channels/chat?roomId=a"
            async with websockets.connect(url, ssl=self.server.trust, open_timeout=60) as socket:
                await socket.send(json.dumps({"type": "msg", "data": "over TLS"}))
                return str(json.loads(await asyncio.wait_for(socket.recv(), 60))["data"])

        self.assertEqual(asyncio.run(read()), "over TLS")
        wait_until(lambda: self.server.connected == 0, "nobody is left")
        self.server.assert_clean()
