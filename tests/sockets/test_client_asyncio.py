"""The asyncio client over real sockets."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.client.asyncio import connect, subscribe
from takotwist.client.errors import Gone, SubscriptionClosed
from takotwist.client.events import Message, Reset
from takotwist.client.machine.policy import Policy
from takotwist.errors import BodyInvalid, TransportNotEnabled, VerifyRejected
from tests.client.fake_server import FakeServer
from tests.sockets.client_reading import QUICK, A, texts
from tests.sockets.trusted_certificate import write_certificates


class NoExecutor(ThreadPoolExecutor):
    """The app's threads, none of which may be taken."""

    def submit(self, *args: Any, **named: Any) -> Any:
        raise AssertionError("a thread of the app's was taken")


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine; one that hangs fails."""

    async def bounded() -> None:
        async with asyncio.timeout(60):
            await work
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert not left, f"tasks left behind: {left}"

    asyncio.run(bounded())


class AsyncioTests(SynchronousTestCase):
    """`takotwist.client.asyncio` against a small server."""

    def test_no_thread_of_the_app(self) -> None:
        """The server's name is looked up without a thread of the app's pool."""

        async def work() -> None:
            asyncio.get_running_loop().set_default_executor(NoExecutor(1))
            with FakeServer() as server:
                server.publish("one")
                url = server.url.replace("127.0.0.1", "localhost")
                async with subscribe(url, "chat", params=A, cursor="0", policy=QUICK) as chat:
                    self.assertEqual(await texts(chat, 1), ["one"])

        run(work())

    def _over(self, transport: Any, plain: bool = False) -> None:
        async def work() -> None:
            with FakeServer() as server:
                server.plain = plain
                server.publish("one")
                async with subscribe(
                    server.url, "chat", params=A, cursor="0", transport=transport, policy=QUICK
                ) as chat:
                    self.assertEqual(await texts(chat, 1), ["one"])
                    self.assertEqual(chat.cursor, "101")
                    await asyncio.to_thread(server.cut)
                    for text in ("two", "three"):
                        server.publish(text)
                    self.assertEqual(await texts(chat, 2), ["two", "three"])
                    server.publish("elsewhere", room="b")
                    server.publish("four")
                    self.assertEqual(await texts(chat, 1), ["four"])
                    self.assertGreaterEqual(server.connections, 2)

        run(work())

    def test_sse(self) -> None:
        """Over SSE: the window, a cut, and the live tail, once each and in order."""
        self._over("sse")

    def test_websocket(self) -> None:
        """Over an explicit WebSocket."""
        self._over("websocket")

    def test_plain_websocket(self) -> None:
        """Over a plain WebSocket."""
        self._over("websocket", plain=True)

    def test_loop_alone(self) -> None:
        """A loop without ``async with`` lets go of everything when it is left."""

        async def work() -> None:
            with FakeServer() as server:
                server.publish("one")
                async for event in subscribe(server.url, "chat", params=A, cursor="0"):
                    self.assertIsInstance(event, Message)
                    break
                # The loop's own finalizer closes the generator.
                while len(asyncio.all_tasks()) > 1:
                    await asyncio.sleep(0.01)

        run(work())

    def test_unix_socket(self) -> None:
        """Over a Unix socket."""

        async def work() -> None:
            with (
                tempfile.TemporaryDirectory() as folder,
                FakeServer(path=f"{folder}/s") as server,
            ):
                server.publish("one")
                for transport in ("sse", "websocket"):
                    async with subscribe(
                        server.url, "chat", params=A, cursor="0", transport=transport
                    ) as chat:
                        self.assertEqual(await texts(chat, 1), ["one"])

        run(work())

    def test_falls_back_to_sse(self) -> None:
        """A channel without handlers is read over SSE, and cannot be published on."""

        async def work() -> None:
            with FakeServer() as server:
                server.handlers = False
                server.publish("one")
                async with subscribe(server.url, "chat", params=A, cursor="0") as chat:
                    self.assertEqual(await texts(chat, 1), ["one"])
                    with self.assertRaises(TransportNotEnabled):
                        await chat.publish("msg", {"text": "x"})

        run(work())

    def test_publish(self) -> None:
        """A publish gives the stored id, and comes back as everybody's message."""

        async def work() -> None:
            with FakeServer() as server:
                async with subscribe(server.url, "chat", params=A, policy=QUICK) as chat:
                    self.assertEqual(await chat.publish("msg", {"text": "hi"}), "101")
                    self.assertEqual(await texts(chat, 1), ["hi"])
                    with self.assertRaises(BodyInvalid):
                        await chat.publish("msg", float("nan"))
                with self.assertRaises(SubscriptionClosed):
                    await chat.publish("msg", 1)

        run(work())

    def test_publish_over_cuts(self) -> None:
        """Publishes over a connection that is cut again and again are stored once, in order."""

        async def work() -> None:
            with FakeServer() as server:
                async with subscribe(server.url, "chat", params=A, policy=QUICK) as chat:
                    wanted = [str(number) for number in range(40)]

                    async def publish() -> None:
                        for text in wanted:
                            await chat.publish("msg", {"text": text})

                    async def cut() -> None:
                        # Only where one more was stored: a connection may take longer than that.
                        stored = 0
                        while True:
                            await asyncio.sleep(0.02)
                            if len(server.log) > stored:
                                stored = len(server.log)
                                await asyncio.to_thread(server.cut)

                    cutting = asyncio.create_task(cut())
                    publishing = asyncio.create_task(publish())
                    got = await texts(chat, len(wanted))
                    await publishing
                    cutting.cancel()
                    self.assertEqual(got, wanted)
                    stored = [one["message"]["data"]["text"] for one in server.log]
                    self.assertEqual(stored, wanted)
                    await asyncio.gather(cutting, return_exceptions=True)

        run(work())

    def test_refused(self) -> None:
        """A refusal is raised in the loop, with the server's sentence."""

        async def work() -> None:
            for transport, answer in (
                ("sse", (403, "verify-rejected")),
                ("websocket", (4403, "verify-rejected")),
            ):
                with FakeServer() as server:
                    server.refusals.append(answer)
                    with self.assertRaises(VerifyRejected):
                        await texts(subscribe(server.url, "chat", params=A, transport=transport), 1)

        run(work())

    def test_credentials(self) -> None:
        """A callable is asked before each connection, and again after a refusal."""
        asked: list[int] = []

        async def token() -> str:
            asked.append(1)
            return f"Bearer t{len(asked)}"

        async def work() -> None:
            with FakeServer() as server:
                server.refusals.append((401, "credentials-missing"))
                server.publish("one")
                async with subscribe(
                    server.url, "chat", params=A, cursor="0", transport="sse", credentials=token
                ) as chat:
                    self.assertEqual(await texts(chat, 1), ["one"])
                shown = [headers["authorization"] for headers in server.seen]
                self.assertEqual(shown, ["Bearer t1", "Bearer t2"])

        run(work())

    def test_auth_frame(self) -> None:
        """Credentials can go in the first frame instead of a header."""

        async def work() -> None:
            with FakeServer() as server:
                async with subscribe(
                    server.url,
                    "chat",
                    params=A,
                    cursor="5",
                    credentials="Bearer x",
                    auth_frame=True,
                ) as chat:
                    await chat.publish("msg", {"text": "hi"})
                self.assertNotIn("authorization", server.seen[0])
                self.assertEqual(
                    server.seen[1], {"type": "tako.auth", "token": "Bearer x", "lastMessageId": "5"}
                )

        run(work())

    def test_reset(self) -> None:
        """By default one reset is yielded, then the live tail."""

        async def work() -> None:
            for transport in ("sse", "websocket"):
                with FakeServer() as server:
                    server.publish("lost")
                    server.removed = 101
                    async with subscribe(
                        server.url, "chat", params=A, cursor="50", transport=transport
                    ) as chat:
                        first = await texts(chat, 1)
                        self.assertEqual(first, [Reset("replay-too-old", "101")])
                        server.publish("live")
                        self.assertEqual(await texts(chat, 1), ["live"])

        run(work())

    def test_gone(self) -> None:
        """Or `Gone` is raised, or the app is asked where to go on."""

        async def work() -> None:
            with FakeServer() as server:
                for text in ("lost", "kept"):
                    server.publish(text)
                server.removed = 101
                old = {"params": A, "cursor": "50", "transport": "sse", "policy": QUICK}
                with self.assertRaises(Gone):
                    await texts(subscribe(server.url, "chat", on_gone="raise", **old), 1)
                asked: list[Gone] = []

                def reload(gone: Gone) -> str:
                    asked.append(gone)
                    return "101"

                async with subscribe(server.url, "chat", on_gone=reload, **old) as chat:
                    self.assertEqual(await texts(chat, 1), ["kept"])
                self.assertEqual(asked[0].cursor, "50")

                def broken(gone: Gone) -> str:
                    raise RuntimeError("reload failed")

                with self.assertRaisesRegex(RuntimeError, "reload failed"):
                    await texts(subscribe(server.url, "chat", on_gone=broken, **old), 1)

        run(work())

    def test_slow_reader(self) -> None:
        """A caller that does not read makes the client stop reading, and then misses nothing."""

        async def work() -> None:
            with FakeServer() as server:
                policy = Policy(buffer_messages=10)
                async with subscribe(
                    server.url, "chat", params=A, cursor="0", policy=policy
                ) as chat:
                    for number in range(500):
                        server.publish(str(number))
                    await asyncio.sleep(0.1)
                    self.assertLessEqual(len(chat._subscription_state.queue), 10)
                    self.assertEqual(await texts(chat, 500), [str(n) for n in range(500)])

        run(work())

    def test_bad_header(self) -> None:
        """Credentials that no header can hold are the caller's error, not an endless retry."""

        async def work() -> None:
            with FakeServer() as server, self.assertRaises(ValueError):
                await texts(subscribe(server.url, "chat", params=A, credentials="a\r\nb: c"), 1)

        run(work())

    def test_authority_of_ones_own(self) -> None:
        """With ``ca_file`` a development certificate is trusted, and without it never."""

        async def work() -> None:
            with tempfile.TemporaryDirectory() as folder:
                authority, chain = write_certificates(Path(folder), "localhost")
                tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                tls.load_cert_chain(chain)
                with FakeServer(tls=tls) as server:
                    server.publish("one")
                    for transport in ("sse", "websocket"):
                        own = {"params": A, "cursor": "0", "transport": transport}
                        async with subscribe(
                            server.url, "chat", ca_file=str(authority), policy=QUICK, **own
                        ) as chat:
                            self.assertEqual(await texts(chat, 1), ["one"])
                        before = server.connections
                        async with subscribe(server.url, "chat", policy=QUICK, **own) as chat:
                            event = asyncio.create_task(chat.next_event())
                            while "certificate verify failed" not in (chat.trouble or ""):
                                await asyncio.sleep(0.01)
                            self.assertFalse(event.done())
                            event.cancel()
                            await asyncio.wait([event])
                        self.assertEqual(server.connections, before)

        run(work())

    def test_mux_credentials_that_are_no_text(self) -> None:
        """A topic whose credentials cannot go into a frame ends with an error; others go on."""

        async def work() -> None:
            with FakeServer() as server:
                async with connect(server.url, policy=QUICK) as mux:
                    a = mux.subscribe("chat", params=A, cursor="0")
                    wrong = mux.subscribe(
                        "chat", params={"roomId": "b"}, credentials=lambda: {"cookie": "c"}
                    )
                    async with a, wrong:
                        with self.assertRaises(ValueError):
                            await texts(wrong, 1)
                        server.publish("a1")
                        self.assertEqual(await texts(a, 1), ["a1"])

        run(work())

    def test_mux(self) -> None:
        """Many topics over one connection, each at its own cursor over a cut."""

        async def work() -> None:
            with FakeServer() as server:
                server.publish("a1")
                server.publish("b1", room="b")
                async with connect(server.url, policy=QUICK) as mux:
                    a = mux.subscribe("chat", params=A, cursor="0")
                    b = mux.subscribe("chat", params={"roomId": "b"}, cursor="0")
                    no = mux.subscribe("chat", params={"roomId": "forbidden"})
                    async with a, b:
                        self.assertEqual(await texts(a, 1), ["a1"])
                        self.assertEqual(await texts(b, 1), ["b1"])
                        with self.assertRaises(VerifyRejected):
                            await texts(no, 1)
                        await asyncio.to_thread(server.cut)
                        server.publish("a2")
                        self.assertEqual(await a.publish("msg", {"text": "a3"}), "104")
                        self.assertEqual(await texts(a, 2), ["a2", "a3"])
                        server.publish("b2", room="b")
                        self.assertEqual(await texts(b, 1), ["b2"])
                        again = mux.subscribe("chat", params=A)
                        with self.assertRaises(ValueError):
                            await texts(again, 1)
                    # Both are closed now, and may be subscribed anew.
                    async with mux.subscribe("chat", params=A, cursor=a.cursor) as a:
                        server.publish("a4")
                        self.assertEqual(await texts(a, 1), ["a4"])

        run(work())
