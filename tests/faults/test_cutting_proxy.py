"""The proxy that other tests are cut by."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer

from tests.faults.cutting_proxy import CuttingProxy, Fate, Pace

BYTES = bytes(range(256)) * 400


class Talker(Protocol):
    """Says `BYTES` again and again and keeps what it hears."""

    def __init__(self) -> None:
        #: Made before it connects: the proxy may have begun, and be done, before we are told.
        self.since = reactor.seconds()
        self.heard = bytearray()
        self.gone: Deferred[float] = Deferred()
        self.whole: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.transport.write(BYTES)

    def dataReceived(self, data: bytes) -> None:
        had = len(self.heard)
        self.heard += data
        if had < len(BYTES) <= len(self.heard):
            self.whole.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.gone.callback(reactor.seconds() - self.since)


class FateTests(SynchronousTestCase):
    """What is drawn."""

    def test_repeatable(self) -> None:
        """The same seed gives the same fates, within the bounds, and each kind comes up."""

        def fates(seed: int) -> list[Fate]:
            random = Random(seed)
            return [Fate.drawn(random, 0.2, 2.0) for _ in range(200)]

        self.assertEqual(fates(1), fates(1))
        self.assertNotEqual(fates(1), fates(2))
        self.assertTrue(all(0.2 <= fate.seconds <= 2.0 for fate in fates(1)))
        self.assertEqual({fate.ending for fate in fates(1)}, {"abort", "close", "half"})
        self.assertEqual({fate.pace for fate in fates(1)}, {"straight", "late", "drops", "bytes"})


class ProxyTests(TestCase):
    """What it does to connections."""

    timeout = 120

    async def test_cuts_and_never_changes(self) -> None:
        """Every connection is cut in time; what arrived is the beginning of what was sent."""
        heard_by_server: list[Talker] = []

        def serve() -> Talker:
            heard_by_server.append(Talker())
            return heard_by_server[-1]

        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(
            Factory.forProtocol(serve)
        )
        server = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
        proxy = CuttingProxy(reactor, server, Random(7), shortest=0.3, longest=1.0)
        # No `HostnameEndpoint`: one that is cut as it connects leaves its timer behind.
        through = TCP4ClientEndpoint(reactor, "127.0.0.1", await proxy.listen())
        talkers: list[Talker] = []
        for _ in range(30):
            talker = Talker()
            await through.connect(Factory.forProtocol(lambda talker=talker: talker))
            talkers.append(talker)
        for talker in talkers:
            lasted = await talker.gone
            self.assertGreater(lasted, 0.29)
            self.assertLess(lasted, 60)
        await proxy.stop()
        for talker in heard_by_server:
            await talker.gone
        await port.stopListening()
        self.assertEqual(proxy.connections, 30)
        self.assertEqual(proxy.cuts, 30)
        for talker in [*talkers, *heard_by_server]:
            self.assertTrue(BYTES.startswith(bytes(talker.heard)))
        # A byte after the other it would take much longer than any of them lives.
        self.assertLess(sum(bytes(talker.heard) == BYTES for talker in talkers), 30)

    async def test_whole_where_there_is_time(self) -> None:
        """All that was sent before the cut arrives, in both directions."""
        served: list[Talker] = []

        def serve() -> Talker:
            served.append(Talker())
            return served[-1]

        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(
            Factory.forProtocol(serve)
        )
        server = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
        paces: tuple[Pace, ...] = ("straight", "late")
        for pace in paces:
            proxy = CuttingProxy(
                reactor, server, Random(7), shortest=3600, longest=3600, paces=(pace,)
            )
            through = TCP4ClientEndpoint(reactor, "127.0.0.1", await proxy.listen())
            talker: Any = await through.connect(Factory.forProtocol(Talker))
            await talker.whole
            await served[-1].whole
            self.assertEqual(bytes(talker.heard), BYTES, pace)
            self.assertEqual(bytes(served[-1].heard), BYTES, pace)
            await proxy.stop()
            await talker.gone
            await served[-1].gone
        await port.stopListening()

    async def test_stops_while_it_connects(self) -> None:
        """Who stops it waits for connections that are still on their way to the server too."""
        ways: list[Deferred[Any]] = []

        @implementer(IStreamClientEndpoint)
        class Slow:
            def connect(self, factory: IProtocolFactory) -> Deferred[Any]:
                ways.append(Deferred())
                return ways[-1]

        proxy = CuttingProxy(reactor, Slow(), Random(1), shortest=3600, longest=3600)
        through = TCP4ClientEndpoint(reactor, "127.0.0.1", await proxy.listen())
        talker: Any = await through.connect(Factory.forProtocol(Talker))
        while not ways:
            await deferLater(reactor, 0.01)
        stopped = Deferred.fromCoroutine(proxy.stop())
        await talker.gone
        self.assertNoResult(stopped)
        ways[0].errback(ConnectError())
        await stopped

    async def test_no_server(self) -> None:
        """Without a server behind it, a connection is cut at once."""
        nowhere = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(Factory())
        port = nowhere.getHost().port
        await nowhere.stopListening()
        proxy = CuttingProxy(reactor, TCP4ClientEndpoint(reactor, "127.0.0.1", port), Random(1))
        through = TCP4ClientEndpoint(reactor, "127.0.0.1", await proxy.listen())
        talker: Any = await through.connect(Factory.forProtocol(Talker))
        await talker.gone
        await proxy.stop()
