"""The Twisted client over real sockets."""

from __future__ import annotations

import ssl
import tempfile
import traceback
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.task import LoopingCall, deferLater
from twisted.trial.unittest import TestCase

from takotwist.client.errors import Gone, NoAnswer, SubscriptionClosed
from takotwist.client.events import Message, Reset
from takotwist.client.machine.policy import Policy
from takotwist.client.twisted import Subscription, connect, history, subscribe
from takotwist.errors import BodyInvalid, TransportNotEnabled, VerifyRejected
from tests.client.fake_server import FakeServer
from tests.sockets.client_reading import QUICK, A, texts
from tests.sockets.trusted_certificate import write_certificates


class TwistedTests(TestCase):
    """`takotwist.client.twisted` against a small server."""

    timeout = 120

    def subscribe(self, server: FakeServer, **more: Any) -> Subscription:
        """A subscription of room ``a``."""
        return subscribe(reactor, server.url, "chat", params=A, policy=QUICK, **more)

    async def _over(self, transport: Any, plain: bool = False) -> None:
        with FakeServer() as server:
            server.plain = plain
            server.publish("one")
            async with self.subscribe(server, cursor="0", transport=transport) as chat:
                self.assertEqual(await texts(chat, 1), ["one"])
                self.assertEqual(chat.cursor, "101")
                server.cut()
                for text in ("two", "three"):
                    server.publish(text)
                self.assertEqual(await texts(chat, 2), ["two", "three"])
                server.publish("elsewhere", room="b")
                server.publish("four")
                self.assertEqual(await texts(chat, 1), ["four"])
                self.assertGreaterEqual(server.connections, 2)

    async def test_sse(self) -> None:
        """Over SSE: the window, a cut, and the live tail, once each and in order."""
        await self._over("sse")

    async def test_websocket(self) -> None:
        """Over an explicit WebSocket."""
        await self._over("websocket")

    async def test_plain_websocket(self) -> None:
        """Over a plain WebSocket."""
        await self._over("websocket", plain=True)

    async def test_unix_socket(self) -> None:
        """Over a Unix socket."""
        with tempfile.TemporaryDirectory() as folder, FakeServer(path=f"{folder}/s") as server:
            server.publish("one")
            for transport in ("sse", "websocket"):
                async with self.subscribe(server, cursor="0", transport=transport) as chat:
                    self.assertEqual(await texts(chat, 1), ["one"])

    async def test_falls_back_to_sse(self) -> None:
        """A channel without handlers is read over SSE, and cannot be published on."""
        with FakeServer() as server:
            server.handlers = False
            server.publish("one")
            async with self.subscribe(server, cursor="0") as chat:
                self.assertEqual(await texts(chat, 1), ["one"])
                with self.assertRaises(TransportNotEnabled):
                    await chat.publish("msg", {"text": "x"})

    async def test_publish(self) -> None:
        """A publish gives the stored id, and comes back as everybody's message."""
        with FakeServer() as server:
            async with self.subscribe(server) as chat:
                self.assertEqual(await chat.publish("msg", {"text": "hi"}), "101")
                self.assertEqual(await texts(chat, 1), ["hi"])
                with self.assertRaises(BodyInvalid):
                    await chat.publish("msg", float("nan"))
            with self.assertRaises(SubscriptionClosed):
                await chat.publish("msg", 1)

    async def test_publish_over_cuts(self) -> None:
        """Publishes over a connection that is cut again and again are stored once, in order."""
        with FakeServer() as server:
            async with self.subscribe(server) as chat:
                wanted = [str(number) for number in range(40)]
                stored = 0

                def cut() -> None:
                    # Only where one more was stored: a connection may take longer than that.
                    nonlocal stored
                    if len(server.log) > stored:
                        stored = len(server.log)
                        server.cut()

                cutting = LoopingCall(cut)
                ended = cutting.start(0.02, now=False)

                async def publish() -> None:
                    for text in wanted:
                        await chat.publish("msg", {"text": text})

                publishing = Deferred.fromCoroutine(publish())
                got = await texts(chat, len(wanted))
                await publishing
                cutting.stop()
                await ended
                self.assertEqual(got, wanted)
                kept = [one["message"]["data"]["text"] for one in server.log]
                self.assertEqual(kept, wanted)

    async def test_publish_within(self) -> None:
        """Publishing from within the loop, without waiting for each, keeps the order."""
        with FakeServer() as server:
            server.publish("0")
            async with self.subscribe(server, cursor="0") as chat:
                outcomes, got = [], []
                async for event in chat:
                    assert isinstance(event, Message)
                    got.append(event.data["text"])
                    if len(got) == 20:
                        break
                    outcomes.append(chat.publish("msg", {"text": str(len(got))}))
                self.assertEqual(got, [str(number) for number in range(20)])
                await gatherResults(outcomes)

    async def test_refused(self) -> None:
        """A refusal is raised in the loop."""
        for transport, answer in (
            ("sse", (403, "verify-rejected")),
            ("websocket", (4403, "verify-rejected")),
        ):
            with FakeServer() as server:
                server.refusals.append(answer)
                async with self.subscribe(server, transport=transport) as chat:
                    with self.assertRaises(VerifyRejected):
                        await texts(chat, 1)

    async def test_credentials(self) -> None:
        """A callable is asked before each connection, and again after a refusal."""
        asked: list[int] = []

        def token() -> Deferred[str]:
            asked.append(1)
            return succeed(f"Bearer t{len(asked)}")

        with FakeServer() as server:
            server.refusals.append((401, "credentials-missing"))
            server.publish("one")
            async with self.subscribe(
                server, cursor="0", transport="sse", credentials=token
            ) as chat:
                self.assertEqual(await texts(chat, 1), ["one"])
            shown = [headers["authorization"] for headers in server.seen]
            self.assertEqual(shown, ["Bearer t1", "Bearer t2"])

    async def test_reset_and_gone(self) -> None:
        """A reset is yielded, or `Gone` raised, or the app asked where to go on."""
        with FakeServer() as server:
            for text in ("lost", "kept"):
                server.publish(text)
            server.removed = 101
            for transport in ("sse", "websocket"):
                async with self.subscribe(server, cursor="50", transport=transport) as chat:
                    self.assertEqual(await texts(chat, 1), [Reset("replay-too-old", "102")])
            old = {"cursor": "50", "transport": "sse"}
            async with self.subscribe(server, on_gone="raise", **old) as chat:
                with self.assertRaises(Gone):
                    await texts(chat, 1)
            async with self.subscribe(server, on_gone=lambda gone: "101", **old) as chat:
                self.assertEqual(await texts(chat, 1), ["kept"])

    async def test_slow_reader(self) -> None:
        """A caller that does not read makes the client stop reading, and then misses nothing."""
        with FakeServer() as server:
            policy = Policy(buffer_messages=10)
            async with subscribe(
                reactor, server.url, "chat", params=A, cursor="0", policy=policy
            ) as chat:
                wanted = ["x" * 1000 + str(number) for number in range(2000)]
                for text in wanted:
                    server.publish(text)
                await deferLater(reactor, 0.1)
                self.assertLess(len(chat._subscription_state.queue), 200)
                self.assertEqual(await texts(chat, len(wanted)), wanted)

    async def test_bad_header(self) -> None:
        """Credentials that no header can hold are the caller's error, not an endless retry, and
        the error does not repeat them."""
        with FakeServer() as server:
            with self.assertRaises(ValueError) as refused:
                self.subscribe(server, credentials="secret\r\nb: c")
            self.assertNotIn("secret", str(refused.exception))
            for transport in ("sse", "websocket"):
                async with self.subscribe(
                    server, credentials=lambda: "secret\r\nb: c", transport=transport
                ) as chat:
                    with self.assertRaises(ValueError) as refused:
                        await texts(chat, 1)
                shown = traceback.format_exception(refused.exception)
                self.assertNotIn("secret\\r", "".join(shown))
                self.assertNotIn("secret", str(refused.exception))

    async def test_authority_of_ones_own(self) -> None:
        """With ``ca_file`` a development certificate is trusted, and without it never."""
        with tempfile.TemporaryDirectory() as folder:
            authority, chain = write_certificates(Path(folder), "localhost")
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(chain)
            with FakeServer(tls=tls) as server:
                server.publish("one")
                for transport in ("sse", "websocket"):
                    own: dict[str, Any] = {"cursor": "0", "transport": transport}
                    async with self.subscribe(server, ca_file=str(authority), **own) as chat:
                        self.assertEqual(await texts(chat, 1), ["one"])
                    before = server.connections
                    async with self.subscribe(server, **own) as chat:
                        while "certificate verify failed" not in (chat.trouble or ""):
                            await deferLater(reactor, 0.01)
                    self.assertEqual(server.connections, before)

    async def test_history(self) -> None:
        """Pages of what is kept; a page's cursor is where the next begins."""
        with FakeServer() as server:
            for text in ("one", "two", "three"):
                server.publish(text)
            first = await history(reactor, server.url, "chat", params=A, limit=2)
            self.assertEqual([one.data["text"] for one in first.messages], ["one", "two"])
            self.assertTrue(first.more)
            rest = await history(reactor, server.url, "chat", params=A, after=first.cursor)
            self.assertEqual([one.data["text"] for one in rest.messages], ["three"])
            self.assertFalse(rest.more)
            url = server.url
        with self.assertRaises(NoAnswer):
            await history(reactor, url, "chat", params=A)

    async def test_mux(self) -> None:
        """Many topics over one connection, each at its own cursor over a cut."""
        with FakeServer() as server:
            server.publish("a1")
            server.publish("b1", room="b")
            async with connect(reactor, server.url, policy=QUICK) as mux:
                a = mux.subscribe("chat", params=A, cursor="0")
                b = mux.subscribe("chat", params={"roomId": "b"}, cursor="0")
                no = mux.subscribe("chat", params={"roomId": "forbidden"})
                async with a, b:
                    self.assertEqual(await texts(a, 1), ["a1"])
                    self.assertEqual(await texts(b, 1), ["b1"])
                    with self.assertRaises(VerifyRejected):
                        await texts(no, 1)
                    server.cut()
                    server.publish("a2")
                    self.assertEqual(await a.publish("msg", {"text": "a3"}), "104")
                    self.assertEqual(await texts(a, 2), ["a2", "a3"])
                    server.publish("b2", room="b")
                    self.assertEqual(await texts(b, 1), ["b2"])
