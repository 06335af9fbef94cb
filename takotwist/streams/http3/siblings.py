"""Several processes on one UDP port: whose a datagram is, and how it gets there.

Each process has a socket of its own on the port (SO_REUSEPORT), and the kernel keeps to one of
them for as long as a client keeps its address.  A connection id names the process that gave it
out (as in QUIC-LB, draft-ietf-quic-load-balancers), so a datagram from a new address is passed
on to the process that has its connection, over a local socket and with its source; that process
answers by its own socket, which has the same port.  (A program of BPF that does this in the
kernel needs rights that a service should not have.)
Rule: what was passed on once is not passed on again.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import socket
import struct
from collections.abc import Callable, Sequence

import attrs
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from zope.interface import implementer

from takotwist.streams.http3.stateless import Address

#: Bytes of an id: the number of its process, random ones, and a mark that it is ours.
RANDOM, MARK = 6, 1

#: Datagrams that are taken in one turn of the reactor.
BATCH = 64

#: Which UDP port, whether the source is IPv4, its port and its address.
_HEAD = struct.Struct("!B?H16s")

#: The largest message, a datagram of the largest size included.
_LARGEST = 65_536 + _HEAD.size

Deliver = Callable[[bytes, Address], object]


class ConnectionIds:
    """Ids of one process, and the process of an id.

    :param process: this one, from 0 to 255.
    :param key: that all processes of the server have in common, and nobody else has.
    """

    def __init__(self, process: int, key: bytes) -> None:
        self._process = bytes([process])
        self._key = hmac.digest(key, b"connection ids", "sha256")

    def new(self) -> bytes:
        """One more."""
        begin = self._process + os.urandom(RANDOM)
        return begin + self._mark(begin)

    def process(self, connection_id: bytes) -> int | None:
        """The process that gave an id out; `None` where none of ours did.

        Ids that clients choose for their first packets look like one of ours once in many
        thousands; all packets with such an id then go to the same process, which takes them.
        """
        if len(connection_id) != 1 + RANDOM + MARK:
            return None
        begin = connection_id[:-MARK]
        if not hmac.compare_digest(self._mark(begin), connection_id[-MARK:]):
            return None
        return begin[0]

    def _mark(self, begin: bytes) -> bytes:
        return hmac.digest(self._key, begin, "sha256")[:MARK]


@implementer(IReadDescriptor)
@attrs.define(slots=True, eq=False)
class Relay:
    """Datagrams between the processes, over pairs of local sockets.

    A process that takes none for long loses them, as a full socket of UDP's does.

    :param others: by number of the process, what is sent to it.
    :param own: what is sent to this one; `None` for who only passes on.
    """

    _reactor: IReactorFDSet
    _others: Sequence[socket.socket]
    _own: socket.socket | None = None
    _ports: dict[int, Deliver] = attrs.field(factory=dict, init=False)

    def serve(self, port: int, deliver: Deliver) -> None:
        """Have what is for one of the UDP ports, by its number, delivered."""
        self._ports[port] = deliver

    def start(self) -> None:
        """Take what comes."""
        self._reactor.addReader(self)

    def stop(self) -> None:
        """Take nothing more."""
        if self._own is not None and self._own.fileno() >= 0:
            self._reactor.removeReader(self)
            self._own.close()

    def pass_on(self, port: int, process: int, datagram: bytes, source: Address) -> None:
        """Have another process take a datagram that came to a UDP port."""
        host, number = source[:2]
        address = ipaddress.ip_address(host.partition("%")[0])
        head = _HEAD.pack(port, address.version == 4, number, address.packed)
        try:
            self._others[process].send(head + datagram)
        except OSError:
            # Lost, as any datagram may be; QUIC sends again.
            return

    # IReadDescriptor

    def fileno(self) -> int:
        return -1 if self._own is None else self._own.fileno()

    def logPrefix(self) -> str:
        return "relay"

    def doRead(self) -> None:
        assert self._own is not None
        for _ in range(BATCH):
            try:
                message = self._own.recv(_LARGEST)
            except OSError:
                return
            if not message:
                self.stop()
                return
            port, is_v4, number, packed = _HEAD.unpack_from(message)
            address = ipaddress.ip_address(packed[:4] if is_v4 else packed)
            deliver = self._ports.get(port)
            if deliver is not None:
                deliver(message[_HEAD.size :], (str(address), number))

    def connectionLost(self, reason: object) -> None:
        """The reactor ends."""
        self.stop()


@attrs.frozen(eq=False)
class Siblings:
    """The other processes, as the endpoint of one UDP port sees them.

    :param process: this one.
    :param lives: whether a process is there.
    :param port: the number of the UDP port among the server's.
    """

    process: int
    _ids: ConnectionIds
    _relay: Relay
    _lives: Callable[[int], bool]
    port: int

    def new_id(self) -> bytes:
        """A connection id of this process."""
        return self._ids.new()

    def pass_on(self, connection_id: bytes, datagram: bytes, source: Address) -> bool:
        """Pass a datagram on whose id is not known here; `False` if it is nobody else's."""
        process = self._ids.process(connection_id)
        if process is None or process == self.process or not self._lives(process):
            return False
        self._relay.pass_on(self.port, process, datagram, source)
        return True
