"""What is not the server's own answer is waited out by every client, over every transport."""

from __future__ import annotations

import asyncio
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase

from takotwist.client import asyncio as on_asyncio
from takotwist.client import sync
from takotwist.client import twisted as on_twisted
from takotwist.client.errors import NoAnswer, UnexpectedAnswer
from takotwist.client.events import Message
from takotwist.client.machine.link import State
from takotwist.client.machine.policy import Policy
from takotwist.errors import VerifyRejected
from tests.client.fake_server import FakeServer
from tests.client.weather import WEATHER, Front, answer

A = {"roomId": "a"}
QUICK = Policy(base_ms=1, cap_ms=5)
SLOW = Policy(base_ms=60_000, cap_ms=60_000)

#: The ways to a server; ``mux`` is a connection for many topics.
WAYS = ("auto", "sse", "websocket", "mux")

REFUSED = answer(b"403 Forbidden", b'{"error":"No.","code":"verify-rejected"}', b"application/json")


def opened(skin: Any, way: str, url: str, policy: Policy, *reactor: Any) -> tuple[Any, Any]:
    """A subscription, and what is to be closed in the end."""
    if way == "mux":
        mux = skin.connect(*reactor, url, policy=policy)
        return mux.subscribe("chat", params=A, cursor="0"), mux
    one = skin.subscribe(*reactor, url, "chat", params=A, cursor="0", transport=way, policy=policy)
    return one, one


async def first_text(subscription: Any) -> Any:
    async for event in subscription:
        assert isinstance(event, Message)
        return event.data["text"]
    raise AssertionError("it has ended")


class AsyncioWeatherTests(SynchronousTestCase):
    def test_waited_out(self) -> None:
        """All of it in a row, and then the server: the message comes."""

        async def work(way: str, url: str) -> None:
            async with asyncio.timeout(60):
                chat, whole = opened(on_asyncio, way, url, QUICK)
                async with whole:
                    self.assertEqual(await first_text(chat), "one")

        for way in WAYS:
            with FakeServer() as server, Front(server._port, list(WEATHER.values())) as front:
                server.publish("one")
                asyncio.run(work(way, front.url))
                self.assertEqual(front.left, 0)

    def test_said(self) -> None:
        """While it is waited out the state says what came."""

        async def work(way: str, url: str) -> None:
            chat, whole = opened(on_asyncio, way, url, SLOW)
            async with whole:
                chat.start()
                async with asyncio.timeout(60):
                    while chat.trouble is None:
                        await asyncio.sleep(0.005)
                self.assertIn("HTTP status 404 (text/plain)", chat.trouble)
                self.assertIs(chat.state, State.WAITING)

        for way in WAYS:
            with Front(9, [WEATHER["a router during a deploy"]]) as front:
                asyncio.run(work(way, front.url))

    def test_our_own_word_is_final(self) -> None:
        """A refusal with a code of ours ends it, also in place of an upgrade."""

        async def work(way: str, url: str) -> None:
            chat, whole = opened(on_asyncio, way, url, QUICK)
            async with whole, asyncio.timeout(60):
                with self.assertRaises(VerifyRejected):
                    await first_text(chat)

        for way in WAYS:
            with Front(9, [REFUSED]) as front:
                asyncio.run(work(way, front.url))

    def test_history(self) -> None:
        """A page that is asked of somebody else says so."""
        for name, weather in WEATHER.items():
            with (
                Front(9, [weather]) as front,
                self.assertRaises((UnexpectedAnswer, NoAnswer), msg=name),
            ):
                sync.history(front.url, "chat", params=A)


class TwistedWeatherTests(TestCase):
    timeout = 120

    async def test_waited_out(self) -> None:
        """All of it in a row, and then the server: the message comes."""
        for way in WAYS:
            with FakeServer() as server, Front(server._port, list(WEATHER.values())) as front:
                server.publish("one")
                chat, whole = opened(on_twisted, way, front.url, QUICK, reactor)
                async with whole:
                    self.assertEqual(await first_text(chat), "one")
                self.assertEqual(front.left, 0)

    async def test_said(self) -> None:
        """While it is waited out the state says what came."""
        for way in WAYS:
            with Front(9, [WEATHER["a router during a deploy"]]) as front:
                chat, whole = opened(on_twisted, way, front.url, SLOW, reactor)
                async with whole:
                    chat.start()
                    while chat.trouble is None:
                        await deferLater(reactor, 0.005)
                    self.assertIn("HTTP status 404 (text/plain)", chat.trouble)
                    self.assertIs(chat.state, State.WAITING)

    async def test_our_own_word_is_final(self) -> None:
        """A refusal with a code of ours ends it, also in place of an upgrade."""
        for way in WAYS:
            with Front(9, [REFUSED]) as front:
                chat, whole = opened(on_twisted, way, front.url, QUICK, reactor)
                async with whole:
                    with self.assertRaises(VerifyRejected):
                        await first_text(chat)

    async def test_history(self) -> None:
        """A page that is asked of somebody else says so."""
        for name, weather in WEATHER.items():
            with (
                Front(9, [weather]) as front,
                self.assertRaises((UnexpectedAnswer, NoAnswer), msg=name),
            ):
                await ensureDeferred(on_twisted.history(reactor, front.url, "chat", params=A))
