"""The echo of `examples/streams` to other people's clients: aiohttp, websockets and curl."""

from __future__ import annotations

import asyncio
import importlib.util
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import websockets
from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from websockets.exceptions import ConnectionClosed

from tests.sockets.streams_site import PATIENCE, Curl, listen

EXAMPLE = Path(__file__).parents[2] / "examples" / "streams" / "echo.py"


def _example() -> Any:
    spec = importlib.util.spec_from_file_location("streams_echo_example", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class EchoTests(TestCase):
    """W1, W7, W9 on real ports."""

    timeout = PATIENCE

    def setUp(self) -> None:
        resource = _example().make_app(reactor).resource()
        self.plain = listen(self, resource)
        self.tls = listen(self, resource, tls=True)

    async def _asyncio(self, client: Callable[[], Awaitable[None]]) -> None:
        """Run `client` in a loop of its own: the clients are asyncio's, the server is not."""
        await deferToThread(lambda: asyncio.run(client()))  # type: ignore[arg-type]

    async def test_aiohttp(self) -> None:
        """aiohttp: text, bytes, a ping, and a close that is echoed."""

        async def client() -> None:
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(f"ws://127.0.0.1:{self.plain}/", compress=15) as ws,
            ):
                await ws.send_str("grüße" * 1000)
                self.assertEqual(await ws.receive_str(), "grüße" * 1000)
                await ws.send_bytes(bytes(range(256)) * 300)
                self.assertEqual(await ws.receive_bytes(), bytes(range(256)) * 300)
                await ws.ping(b"x")
                await ws.send_str("after the ping")
                self.assertEqual(await ws.receive_str(), "after the ping")
                self.assertTrue(await ws.close(code=3456, message=b"bye"))
                self.assertEqual(ws.close_code, 3456)

        await self._asyncio(client)

    async def test_websockets(self) -> None:
        """websockets: with and without compression, plain and over TLS."""

        async def client() -> None:
            for compression in (None, "deflate"):
                for url, tls in (
                    (f"ws://127.0.0.1:{self.plain}/", None),
                    (f"wss://127.0.0.1:{self.tls}/", _trusting()),
                ):
                    async with websockets.connect(
                        url, compression=compression, ssl=tls, max_size=None
                    ) as ws:
                        agreed = ws.response.headers.get("Sec-WebSocket-Extensions")
                        self.assertEqual(agreed is not None, compression is not None)
                        for message in ("", "short", "x" * 3_000_000, b"\x00" * 70_000):
                            await ws.send(message)
                            self.assertEqual(await ws.recv(), message)
                        await (await ws.ping())
                        await ws.close(4321, "done")
                        self.assertEqual((ws.close_code, ws.close_reason), (4321, "done"))

        await self._asyncio(client)

    async def test_text_that_is_none(self) -> None:
        """A client that sends invalid text is told 1007."""

        async def client() -> None:
            async with websockets.connect(f"ws://127.0.0.1:{self.plain}/") as ws:
                await ws.send(b"\xff", text=True)
                with self.assertRaises(ConnectionClosed) as raised:
                    await ws.recv()
                assert raised.exception.rcvd is not None
                self.assertEqual(raised.exception.rcvd.code, 1007)

        await self._asyncio(client)

    async def test_one_port_for_both(self) -> None:
        """W9: on one TLS port, WebSocket is spoken to who asks, and HTTP/2 answered 426."""
        for version, status in (("--http2", b"HTTP/2 426"), ("--http1.1", b"HTTP/1.1 426")):
            curl = Curl(self, version, f"https://127.0.0.1:{self.tls}/")
            await curl.ended
            self.assertTrue(curl.heard.startswith(status), curl.heard)
            self.assertEqual(b"upgrade: websocket" in curl.heard.lower(), version == "--http1.1")

        async def client() -> None:
            async with websockets.connect(f"wss://127.0.0.1:{self.tls}/", ssl=_trusting()) as ws:
                await ws.send("x")
                self.assertEqual(await ws.recv(), "x")

        await self._asyncio(client)

    async def test_ticks(self) -> None:
        """The example's events go on where a returning client left."""
        curl = Curl(
            self, "--http2", "-H", "Last-Event-ID: 41", f"https://127.0.0.1:{self.tls}/ticks"
        )
        await curl.hear(b"id: 42\ndata: tick 42\n\n")
        await curl.stop()
