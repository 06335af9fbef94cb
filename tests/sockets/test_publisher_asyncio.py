"""The publisher in an asyncio program: its loop and its threads stay the app's."""

from __future__ import annotations

import asyncio
import json
import ssl
import tempfile
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist import Publisher, define_channel
from takotwist.app.awaited_exchange import MAX_IN_FLIGHT
from takotwist.errors import ChannelUnknown, Unreachable
from tests.sockets.trusted_certificate import write_certificates


class NoExecutor(ThreadPoolExecutor):
    """The app's threads, none of which may be taken."""

    def submit(self, *args: Any, **named: Any) -> Any:
        raise AssertionError("a thread of the app's was taken")


class Server:
    """Answers on the loop of the test; stores nothing and says that it did."""

    def __init__(self) -> None:
        self.connections = 0
        self.seen: list[Any] = []
        self.under_way = self.most_under_way = 0
        self.go = asyncio.Event()
        self.go.set()
        self.refusing = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split()[0])
                (draft,) = json.loads(await reader.readexactly(length))
                self.seen.append(draft["data"])
                self.under_way += 1
                self.most_under_way = max(self.most_under_way, self.under_way)
                await self.go.wait()
                self.under_way -= 1
                status, body = 200, json.dumps([{"id": "1", "channel": "chat", **draft}])
                if self.refusing:
                    status, body = 404, '{"error":"none","code":"channel-unknown"}'
                writer.write(
                    f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
                )
        except (asyncio.IncompleteReadError, ConnectionError):
            self.under_way = max(0, self.under_way - 1)
        finally:
            writer.close()


class TestPublisherOnAsyncio(SynchronousTestCase):
    def run_main(self, main: Callable[[], Awaitable[None]]) -> None:
        async def without_threads() -> None:
            asyncio.get_running_loop().set_default_executor(NoExecutor(1))
            async with asyncio.timeout(60):
                await main()

        asyncio.run(without_threads())

    def with_server(self, main: Callable[[Server, str], Awaitable[None]]) -> None:
        async def served() -> None:
            server = Server()
            async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
                port = listening.sockets[0].getsockname()[1]
                await main(server, f"http://127.0.0.1:{port}")

        self.run_main(served)

    def test_server_away(self) -> None:
        """Many publishes wait for a server that is away: none holds a thread of the app's, and
        each fails after its own patience, counted from its call and not from its turn."""
        count = 40 * MAX_IN_FLIGHT

        async def main() -> None:
            with tempfile.TemporaryDirectory() as folder:
                publisher = Publisher(f"unix:{folder}/none.sock", patience=1)
                begun = time.monotonic()
                ends = []

                async def publish(number: int) -> None:
                    try:
                        await publisher.publish_async("chat", None, "msg", number)
                    except Unreachable as failed:
                        self.assertIn("No such file", str(failed))
                        ends.append(time.monotonic() - begun)

                with self.assertLogs("takotwist.publisher") as logged:
                    await asyncio.gather(*map(publish, range(count)))
                self.assertEqual(len(ends), count)
                self.assertLess(max(ends), 20)
                self.assertEqual(len(logged.records), 1)

        self.run_main(main)

    def test_name(self) -> None:
        """The name of a server is looked up without a thread of the app's."""

        async def main(server: Server, url: str) -> None:
            port = url.rpartition(":")[2]
            publisher = Publisher(f"http://localhost:{port}")
            stored = await publisher.publish_async("chat", None, "msg", 1)
            self.assertEqual(stored.id, "1")
            await publisher.close_async()

        self.with_server(main)

    def test_kept(self) -> None:
        """Publishes in a row go over one connection; a refusal leaves it as it is."""

        async def main(server: Server, url: str) -> None:
            publisher = Publisher(url)
            chat = define_channel("chat")
            chat.bind(publisher)
            self.assertEqual((await chat().publish("msg", 1)).data, 1)
            server.refusing = True
            with self.assertRaises(ChannelUnknown):
                await publisher.publish_async("chat", None, "msg", 2)
            server.refusing = False
            many = await publisher.publish_many_async("chat", None, [("msg", 3)])
            self.assertEqual([one.data for one in many], [3])
            self.assertEqual(await publisher.publish_many_async("chat", None, []), [])
            self.assertEqual(server.connections, 1)
            await publisher.close_async()

        self.with_server(main)

    def test_turns(self) -> None:
        """So many are under way at once; the rest come in order."""

        async def main(server: Server, url: str) -> None:
            publisher = Publisher(url)
            server.go.clear()
            count = MAX_IN_FLIGHT * 3
            work = [
                asyncio.create_task(publisher.publish_async("chat", None, "msg", number))
                for number in range(count)
            ]
            while server.under_way < MAX_IN_FLIGHT:
                await asyncio.sleep(0.01)
            server.go.set()
            stored = await asyncio.gather(*work)
            self.assertEqual([one.data for one in stored], list(range(count)))
            self.assertEqual(server.most_under_way, MAX_IN_FLIGHT)
            self.assertEqual(sorted(server.seen[:MAX_IN_FLIGHT]), list(range(MAX_IN_FLIGHT)))
            self.assertLessEqual(server.connections, MAX_IN_FLIGHT)
            await publisher.close_async()

        self.with_server(main)

    def test_cancelled(self) -> None:
        """A task that is cancelled gives back its turn, and its answer is nobody else's."""

        async def main(server: Server, url: str) -> None:
            publisher = Publisher(url)
            server.go.clear()
            work = [
                asyncio.create_task(publisher.publish_async("chat", None, "msg", number))
                for number in range(MAX_IN_FLIGHT + 4)
            ]
            while server.under_way < MAX_IN_FLIGHT:
                await asyncio.sleep(0.01)
            for one in work:
                one.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            server.go.set()
            stored = await publisher.publish_async("chat", None, "msg", "after")
            self.assertEqual(stored.data, "after")
            await publisher.close_async()

        self.with_server(main)

    def test_server_closes_idle_connections(self) -> None:
        """A kept connection that the server has closed is not used again."""

        async def main(server: Server, url: str) -> None:
            publisher = Publisher(url)
            address = url.removeprefix("http://").split(":")
            await publisher.publish_async("chat", None, "msg", 1)
            (kept,) = publisher._on_loops._lane().idle
            kept[0].feed_eof()
            await publisher.publish_async("chat", None, "msg", 2)
            self.assertEqual((server.connections, len(address)), (2, 2))
            await publisher.close_async()

        self.with_server(main)

    def test_several_loops(self) -> None:
        """One publisher serves one loop after another, and keeps nothing of those that are over."""
        publishers: list[Publisher] = []

        async def main(server: Server, url: str) -> None:
            publisher = publishers[0] if publishers else Publisher(url)
            publishers[:] = [publisher]
            object.__setattr__(publisher.address, "port", int(url.rpartition(":")[2]))
            publisher._on_loops._lookup._port = publisher.address.port
            await publisher.publish_async("chat", None, "msg", 1)
            self.assertEqual(len(publisher._on_loops._lanes), 1)
            await publisher.close_async()

        for _ in range(3):
            self.with_server(main)

    def test_tls(self) -> None:
        """TLS is verified, and a certificate that is not trusted is said at once."""
        with tempfile.TemporaryDirectory() as folder:
            authority, chain = write_certificates(Path(folder), "localhost")
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(chain)

            async def main() -> None:
                server = Server()
                listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context)
                asyncio.get_running_loop().set_exception_handler(lambda *_: None)
                async with listening:
                    port = listening.sockets[0].getsockname()[1]
                    trusting = Publisher(f"https://localhost:{port}", ca_file=str(authority))
                    stored = await trusting.publish_async("chat", None, "msg", 1)
                    self.assertEqual(stored.id, "1")
                    await trusting.close_async()
                    begun = time.monotonic()
                    for url, trusted in (
                        (f"https://localhost:{port}", None),
                        (f"https://127.0.0.1:{port}", str(authority)),
                    ):
                        with self.assertRaises(Unreachable) as failed:
                            other = Publisher(url, ca_file=trusted, patience=30)
                            await other.publish_async("chat", None, "msg", 1)
                        self.assertIn("CERTIFICATE_VERIFY_FAILED", str(failed.exception))
                    self.assertLess(time.monotonic() - begun, 20)

            self.run_main(main)
