"""The clients and the real server, over a network that cuts and a server that is killed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from takotwist.client import asyncio as for_asyncio
from takotwist.client import twisted as for_twisted
from takotwist.client.events import Event, Message
from takotwist.client.machine.policy import Policy
from tests.faults.cutting_proxy import CuttingProxy
from tests.faults.seen import say
from tests.sockets.server_process import ServerProcess

#: Comes back fast, so that a test sees many cuts.
QUICK = Policy(base_ms=20, cap_ms=200)
PARAMS = {"roomId": "a"}

#: Seconds after which a reader that does not come to its end has failed.
LONGEST = 60


def number_of(event: Event) -> int:
    """The number in a message; a reset has none, and none may come here."""
    assert isinstance(event, Message), event
    return int(event.data)


async def read(subscription: Any, last: int) -> list[int]:
    """Numbers up to `last`."""
    got: list[int] = []
    async with subscription:
        while not got or got[-1] != last:
            got.append(number_of(await subscription.__anext__()))
    return got


def read_in_thread(subscribe: Callable[[], Any], last: int) -> Deferred[list[int]]:
    """The same with the asyncio client, in a thread."""

    async def work() -> list[int]:
        got: list[int] = []
        # A thread cannot be stopped from outside, so it has an end of its own.
        async with asyncio.timeout(LONGEST), subscribe() as subscription:
            while not got or got[-1] != last:
                got.append(number_of(await subscription.next_event()))
        return got

    return deferToThread(asyncio.run, work())


class ClientFaultTests(TestCase):
    """All that was published, once and in order, to every reader."""

    timeout = LONGEST + 10

    def setUp(self) -> None:
        self.server = ServerProcess()
        self.addCleanup(self.server.close)
        self.server.start()

    async def _publish(self, url: str, numbers: range, pause: float) -> None:
        async with for_twisted.subscribe(
            reactor, url, "chat", params=PARAMS, policy=QUICK
        ) as writer:
            outcomes = []
            for number in numbers:
                outcomes.append(writer.publish("msg", number))
                await deferLater(reactor, pause)
            ids = await gatherResults(outcomes)
        self.assertEqual(ids, sorted(ids, key=int))

    def _readers(self, url: str, last: int) -> list[Deferred[list[int]]]:
        options: dict[str, Any] = {"params": PARAMS, "cursor": "0"}
        own: dict[str, Any] = {**options, "policy": QUICK}
        readers = [
            Deferred.fromCoroutine(
                read(for_twisted.subscribe(reactor, url, "chat", transport=transport, **own), last)
            )
            for transport in ("sse", "websocket")
        ]
        readers += [
            read_in_thread(
                lambda transport=transport: for_asyncio.subscribe(
                    url, "chat", transport=transport, **own
                ),
                last,
            )
            for transport in ("sse", "websocket")
        ]
        mux = for_twisted.connect(reactor, url, policy=QUICK)
        self.addCleanup(lambda: Deferred.fromCoroutine(mux.close()))
        readers.append(Deferred.fromCoroutine(read(mux.subscribe("chat", **options), last)))
        return readers

    async def test_cuts(self) -> None:
        """Over a network that cuts every connection within two seconds."""
        proxy = CuttingProxy(
            reactor, HostnameEndpoint(reactor, "127.0.0.1", self.server.port), Random(3)
        )
        url = f"http://127.0.0.1:{await proxy.listen()}"
        self.addCleanup(lambda: Deferred.fromCoroutine(proxy.stop()))
        last = 399
        readers = self._readers(url, last)
        await self._publish(url, range(last + 1), 0.01)
        for got in await gatherResults(readers):
            self.assertEqual(got, list(range(last + 1)))
        say(
            f"{proxy.cuts} cuts of {proxy.connections} connections: delays, drops, single bytes,"
            " resets, half-closes",
            f"{len(readers)} readers have all {last + 1} messages, once and in order",
        )
        self.assertGreater(proxy.cuts, 5)

    async def test_kills(self) -> None:
        """With a server that is killed and started again while messages are published."""
        last = 199
        readers = self._readers(self.server.url, last)
        publishing = Deferred.fromCoroutine(self._publish(self.server.url, range(last + 1), 0.02))
        for end in (self.server.kill, self.server.stop, self.server.kill):
            await deferLater(reactor, 0.7)
            await deferToThread(end)
            await deferToThread(self.server.start)
        await publishing
        for got in await gatherResults(readers):
            self.assertEqual(got, list(range(last + 1)))
        say(
            "2 kills and a stop of the server while messages are published",
            f"{len(readers)} readers have all {last + 1} messages, once and in order",
        )
