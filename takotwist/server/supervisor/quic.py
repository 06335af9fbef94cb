"""The UDP ports of several workers: a socket each, and what the workers pass on to each other.

Imported only where ``[http3] listen`` names a port.  The kernel gives a client's datagrams to the
same socket always (SO_REUSEPORT), whether somebody reads it or not.  So the supervisor keeps all
of them open, hands a worker's to its successor, and while a worker is not there reads its
socket itself and passes on what comes.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence

import attrs
from aioquic.buffer import Buffer
from aioquic.quic.packet import pull_quic_header
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from zope.interface import implementer

from takotwist.core.json_values import JsonObject
from takotwist.errors import ConfigError
from takotwist.server.config.endpoint_text import UdpAddress
from takotwist.server.supervisor.handing import SharedCounts, Taker
from takotwist.streams.http3.siblings import BATCH, ConnectionIds, Relay, Siblings

#: The largest datagram, as a port of Twisted's reads them.
LARGEST = 8192

#: Of the ids that workers give out.
ID_LENGTH = 8


@attrs.define(slots=True, eq=False)
class WorkerQuic:
    """The UDP ports of one worker.

    :ivar process: the number of its process, which its connection ids have in them.
    :ivar sockets: one for each port.
    :ivar relay: what others pass on to it.
    """

    process: int
    sockets: Sequence[socket.socket]
    relay: Relay
    _counts: SharedCounts

    @classmethod
    def of(
        cls, reactor: IReactorFDSet, slot: int, told: JsonObject, counts: SharedCounts
    ) -> WorkerQuic:
        """As `QuicPorts.told` has told it."""
        sockets = [
            socket.socket(socket.AddressFamily(family), socket.SOCK_DGRAM, 0, descriptor)
            for descriptor, family in told["sockets"]
        ]
        own, *others = (
            socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, descriptor)
            for descriptor in (told["own"], *told["others"])
        )
        return cls(slot, sockets, Relay(reactor, others, own), counts)

    def siblings(self, port: int, key: bytes) -> Siblings:
        """The other workers, for one of the ports."""
        lives = self._counts.lives
        return Siblings(
            self.process,
            ConnectionIds(self.process, key),
            self.relay,
            lambda process: process < len(lives) and bool(lives[process]),
            port,
        )


class QuicPorts:
    """All UDP ports, as the supervisor has them.

    :param workers: how many sockets each port has.
    :param takers: gives the workers that serve.
    :param key: as for `ConnectionIds`.
    """

    def __init__(
        self,
        reactor: IReactorFDSet,
        addresses: Sequence[UdpAddress],
        workers: int,
        slots: int,
        counts: SharedCounts,
        takers: Callable[[], Sequence[Taker]],
        key: bytes,
    ) -> None:
        self._addresses, self._workers = addresses, workers
        self._counts, self._takers = counts, takers
        self._ids = ConnectionIds(0, key)
        #: The sockets of each port, a worker each.
        self.sockets: list[list[socket.socket]] = []
        self._stand_ins: list[list[StandIn]] = []
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(slots)]
        for pair in pairs:
            for one in pair:
                one.setblocking(False)
        self._own = [pair[0] for pair in pairs]
        self._others = [pair[1] for pair in pairs]
        self._relay = Relay(reactor, self._others)
        self._reactor = reactor

    def open(self) -> None:
        """Take the ports.

        :raises ConfigError: one cannot be had; then none is.
        """
        for address in self._addresses:
            try:
                self.sockets.append(_bound(address, self._workers))
            except OSError as failure:
                self.close()
                raise ConfigError(
                    f"cannot listen: {failure.strerror}", key="http3.listen", source=str(address)
                ) from None
        self._stand_ins = [
            [StandIn(self._reactor, one, self._route(port)) for one in sockets]
            for port, sockets in enumerate(self.sockets)
        ]

    def told(self, number: int, slot: int) -> JsonObject:
        """Description of them for a worker; the descriptors are in it."""
        return {
            "sockets": [
                (sockets[number - 1].fileno(), int(sockets[number - 1].family))
                for sockets in self.sockets
            ],
            "own": self._own[slot].fileno(),
            "others": [one.fileno() for one in self._others],
        }

    def changed(self) -> None:
        """Others serve than before: stand in for those who do not, while anybody does."""
        serving = {taker.slot % self._workers for taker in self._takers()}
        for stand_ins in self._stand_ins:
            for at, one in enumerate(stand_ins):
                one.read(bool(serving) and at not in serving)

    def close(self) -> None:
        """Leave the ports."""
        for stand_ins in self._stand_ins:
            for stand_in in stand_ins:
                stand_in.read(False)
        for sockets in (*self.sockets, self._own, self._others):
            for one in sockets:
                one.close()

    def _route(self, port: int) -> Callable[[bytes, tuple[str, int]], None]:
        def passed_on(datagram: bytes, source: tuple[str, int]) -> None:
            try:
                header = pull_quic_header(Buffer(data=datagram), host_cid_length=ID_LENGTH)
            except ValueError:
                return
            process = self._ids.process(header.destination_cid)
            lives = self._counts.lives
            if process is None or process >= len(lives) or not lives[process]:
                # Of nobody who is there: anybody answers it, or takes the new connection.
                process = min(self._takers(), key=lambda one: one.load).slot
            self._relay.pass_on(port, process, datagram, source[:2])

        return passed_on


@implementer(IReadDescriptor)
@attrs.define(slots=True, eq=False)
class StandIn:
    """Reads the socket of a worker that is not there."""

    _reactor: IReactorFDSet
    _socket: socket.socket
    _passed_on: Callable[[bytes, tuple[str, int]], None]
    _reading: bool = False

    def read(self, wanted: bool) -> None:
        """Read it, or leave it to its worker."""
        if wanted and not self._reading:
            self._reactor.addReader(self)
        elif self._reading and not wanted:
            self._reactor.removeReader(self)
        self._reading = wanted

    # IReadDescriptor

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return "supervisor"

    def doRead(self) -> None:
        for _ in range(BATCH):
            try:
                datagram, source = self._socket.recvfrom(LARGEST)
            except OSError:
                return
            self._passed_on(datagram, source)

    def connectionLost(self, reason: object) -> None:
        """The reactor ends."""


def _bound(address: UdpAddress, count: int) -> list[socket.socket]:
    """So many sockets on one port.

    :raises OSError: it cannot be had.
    """
    family = socket.AF_INET6 if ":" in address.interface else socket.AF_INET
    port = address.port
    bound: list[socket.socket] = []
    try:
        if port:
            # With SO_REUSEPORT ours would join those of another server of this user.
            with socket.socket(family, socket.SOCK_DGRAM) as alone:
                alone.bind((address.interface, port))
        for _ in range(count):
            one = socket.socket(family, socket.SOCK_DGRAM)
            bound.append(one)
            one.setblocking(False)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            one.bind((address.interface, port))
            port = one.getsockname()[1]
    except OSError as failure:
        for one in bound:
            one.close()
        raise OSError(failure.errno, os.strerror(failure.errno or 0)) from None
    return bound
