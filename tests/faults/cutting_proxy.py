"""A TCP proxy that is as bad as a mobile network.

Every connection is cut after a random time: aborted, closed, or closed in one
direction first; until then its bytes go straight, late or in drops.  They are never
changed, doubled or reordered, as TCP would not do that either.  What happens is
drawn from one seeded `random.Random`, so a run can be repeated as far as the
order of its connections can.

For other languages: ``python -m tests.faults.cutting_proxy --to localhost:8080``
prints the port that it listens on, and then one line for each connection.
"""

from __future__ import annotations

import argparse
import sys
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random
from typing import Any, Literal

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ServerEndpoint,
    UNIXServerEndpoint,
)
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IPushProducer,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

#: Bytes that may wait in one direction before its source is paused.
WAITING_BYTES = 65_536

#: Bytes that travel together at most, where they come in pieces.
MOST_AT_ONCE = {"drops": 64, "bytes": 1}

Pace = Literal["straight", "late", "drops", "bytes"]

PACES: Sequence[Pace] = ("straight", "straight", "late", "drops", "bytes")
#: Where connections are encrypted: byte by byte none would finish its handshake before its end.
PACES_TLS = PACES[:-1]


@attrs.frozen
class Fate:
    """What will happen to one connection.

    :ivar seconds: how long it lives.
    :ivar pace: how its bytes travel: ``straight``, each chunk ``late`` by up to `lag`
        seconds, in ``drops`` of a few bytes, or one of its ``bytes`` after the other.
    :ivar ending: ``abort`` (RST), ``close`` (FIN both ways), or ``half``: first no more
        comes from the server, and a little later it is closed.
    """

    seconds: float
    pace: Pace
    ending: Literal["abort", "close", "half"]
    lag: float

    @classmethod
    def drawn(
        cls, random: Random, shortest: float, longest: float, paces: Sequence[Pace] = PACES
    ) -> Fate:
        """A fate between these bounds, in seconds."""
        return cls(
            random.uniform(shortest, longest),
            random.choice(paces),
            random.choice(("abort", "close", "half")),
            random.uniform(0.0, 0.1),
        )


@implementer(IPushProducer)
@attrs.define(eq=False)
class Lane:
    """One direction of one connection."""

    reactor: Any
    random: Random
    fate: Fate
    source: Any
    sink: Any
    _chunks: deque[bytes] = attrs.field(factory=deque)
    _waiting: int = 0
    _call: Any = None
    _blocked: bool = False

    def put(self, data: bytes) -> None:
        """Bytes came from the source."""
        if self.fate.pace in MOST_AT_ONCE:
            while data:
                size = self.random.randint(1, MOST_AT_ONCE[self.fate.pace])
                self._chunks.append(data[:size])
                self._waiting += len(data[:size])
                data = data[size:]
        else:
            self._chunks.append(data)
            self._waiting += len(data)
        if self._waiting > WAITING_BYTES:
            self.source.pauseProducing()
        self._go()

    def _go(self) -> None:
        if self._call is not None or self._blocked or not self._chunks:
            return
        if self.fate.pace == "straight":
            self._forward()
        else:
            most = {"late": self.fate.lag, "drops": 0.01, "bytes": 0.001}[self.fate.pace]
            self._call = self.reactor.callLater(self.random.uniform(0, most), self._forward)

    def _forward(self) -> None:
        self._call = None
        data = self._chunks.popleft()
        was, self._waiting = self._waiting, self._waiting - len(data)
        if was > WAITING_BYTES >= self._waiting and not self._blocked:
            self.source.resumeProducing()
        self.sink.write(data)
        self._go()

    def stop(self) -> None:
        """Forward nothing more."""
        self._blocked = True
        self._chunks.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def pauseProducing(self) -> None:
        """The sink is full."""
        self._blocked = True
        self.source.pauseProducing()

    def resumeProducing(self) -> None:
        """The sink has room."""
        self._blocked = False
        if self._waiting <= WAITING_BYTES:
            self.source.resumeProducing()
        self._go()

    def stopProducing(self) -> None:
        """The sink is gone."""
        self.stop()


class _End(Protocol):
    """One end of a connection: the client's, or the server's."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.lane: Lane | None = None
        self.early: list[bytes] = []

    def dataReceived(self, data: bytes) -> None:
        if self.lane is None:
            self.early.append(data)
        else:
            self.lane.put(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.pair.lost(self, reason.check(ConnectionDone) is not None)


class Pair:
    """One connection of a client and its counterpart to the server."""

    def __init__(self, proxy: CuttingProxy, fate: Fate) -> None:
        self.proxy, self.fate = proxy, fate
        self.client, self.server = _End(self), _End(self)
        self._lanes: list[Lane] = []
        self._open = 0
        self._over = False
        self._calls: list[Any] = []

    def begin(self) -> None:
        """The client is there."""
        # Itself, and the way to the server: a pair is there until both are known to have ended.
        self._open = 2
        self._calls.append(self.proxy.reactor.callLater(self.fate.seconds, self.cut))
        connecting = self.proxy.server.connect(Factory.forProtocol(lambda: self.server))
        connecting.addCallbacks(self._connected, self._not_connected)

    def _not_connected(self, _: object) -> None:
        self._end("abort")
        self._ended_one()

    def _connected(self, _: object) -> None:
        if self._over:
            self.server.transport.abortConnection()
            return
        for source, sink in ((self.client, self.server), (self.server, self.client)):
            lane = Lane(
                self.proxy.reactor, self.proxy.random, self.fate, source.transport, sink.transport
            )
            self._lanes.append(lane)
            source.lane = lane
            # What is taken apart here is not to be put together by the kernel; a Unix socket
            # does not do that.
            with suppress(OSError):
                sink.transport.setTcpNoDelay(True)
            sink.transport.registerProducer(lane, True)
            for data in source.early:
                lane.put(data)

    def cut(self) -> None:
        """Its time has come."""
        self.proxy.cuts += 1
        if self.fate.ending == "half" and len(self._lanes) == 2:
            # Bytes from the server stop, in silence; the client finds out later.
            self._lanes[1].stop()
            self.server.transport.pauseProducing()
            self._calls.append(self.proxy.reactor.callLater(0.1, self._end, "close"))
        else:
            self._end(self.fate.ending)

    def lost(self, end: _End, clean: bool) -> None:
        """One end is gone, so the other goes too."""
        if not self._over:
            self._end("close" if clean else "abort")
        self._ended_one()

    def _ended_one(self) -> None:
        self._open -= 1
        if self._open == 0:
            self.proxy.ended(self)

    def _end(self, how: str) -> None:
        self._over = True
        for lane in self._lanes:
            lane.stop()
        for call in self._calls:
            if call.active():
                call.cancel()
        for end in (self.client, self.server):
            if end.transport is None or not end.connected:
                continue
            end.transport.unregisterProducer()
            if how == "abort":
                end.transport.abortConnection()
            else:
                # A reader that was paused would never notice the close.
                end.transport.resumeProducing()
                end.transport.loseConnection()


class CuttingProxy:
    """See the module.

    :param server: where it leads.
    :ivar connections: so far.
    :ivar cuts: so far, the half-closed included.
    """

    def __init__(
        self,
        reactor: Any,
        server: IStreamClientEndpoint,
        random: Random,
        *,
        shortest: float = 0.2,
        longest: float = 2.0,
        paces: Sequence[Pace] = PACES,
        told: Callable[[Fate], None] = lambda fate: None,
    ) -> None:
        self.reactor, self.server, self.random = reactor, server, random
        self.connections = self.cuts = 0
        self._bounds = (shortest, longest, paces)
        self._told = told
        self._pairs: set[Pair] = set()
        self._port: Any = None
        self._idle: Deferred[None] | None = None

    async def listen(self, port: int = 0) -> int:
        """Begin; gives the port on 127.0.0.1."""
        await self._listen(TCP4ServerEndpoint(self.reactor, port, interface="127.0.0.1"))
        return int(self._port.getHost().port)

    async def listen_unix(self, path: str) -> None:
        """Begin, on a Unix socket."""
        await self._listen(UNIXServerEndpoint(self.reactor, path))

    async def _listen(self, endpoint: IStreamServerEndpoint) -> None:
        factory = Factory.forProtocol(self._accept)
        factory.noisy = False
        self._port = await endpoint.listen(factory)

    async def stop(self) -> None:
        """Cut all, and wait until nothing is left."""
        await self._port.stopListening()
        for pair in list(self._pairs):
            pair._end("abort")
        if self._pairs:
            self._idle = Deferred()
            await self._idle

    def _accept(self) -> Protocol:
        self.connections += 1
        fate = Fate.drawn(self.random, *self._bounds)
        self._told(fate)
        pair = Pair(self, fate)
        self._pairs.add(pair)
        pair.client.connectionMade = pair.begin  # type: ignore[method-assign]
        return pair.client

    def ended(self, pair: Pair) -> None:
        """A pair is gone on both sides."""
        self._pairs.discard(pair)
        if not self._pairs and self._idle is not None:
            idle, self._idle = self._idle, None
            idle.callback(None)


def main(arguments: list[str]) -> None:
    """The proxy as a program."""
    parser = argparse.ArgumentParser(description="A TCP proxy that cuts every connection.")
    parser.add_argument("--to", required=True, help="host:port of the server")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (any)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shortest", type=float, default=0.2, help="seconds")
    parser.add_argument("--longest", type=float, default=2.0, help="seconds")
    parser.add_argument("--tls", action="store_true", help="connections are encrypted")
    options = parser.parse_args(arguments)
    from twisted.internet import reactor

    host, _, port = options.to.rpartition(":")
    proxy = CuttingProxy(
        reactor,
        HostnameEndpoint(reactor, host, int(port)),
        Random(options.seed),
        shortest=options.shortest,
        longest=options.longest,
        paces=PACES_TLS if options.tls else PACES,
        told=lambda fate: print(fate, flush=True),
    )
    listening = Deferred.fromCoroutine(proxy.listen(options.port))
    listening.addCallback(lambda port: print(port, flush=True))
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1:])
