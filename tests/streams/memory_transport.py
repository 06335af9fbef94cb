"""A connection in memory that behaves as Twisted's over a socket does.

It pauses its producer past 64 KiB when the other side does not read, loses its
connection only when all is sent and no producer is registered, and can speak ALPN.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IPushProducer, ISSLTransport, ITCPTransport
from twisted.python.failure import Failure
from zope.interface import alsoProvides, implementer

BUFFER = 65536


@implementer(ITCPTransport, IPushProducer)
class MemoryTransport:
    """The server's end.

    :ivar sent: what the other side has read.
    :ivar reading: whether the server reads.
    :ivar no_delay: what `setTcpNoDelay` was given.
    """

    def __init__(self, alpn: bytes | None = None) -> None:
        self.protocol: Any = None
        self.producer: Any = None
        self.producer_paused = False
        self.sent = b""
        self.dataBuffer = b""
        self.offset = 0
        self._tempDataLen = 0
        self.blocked = False
        self.connected = True
        self.disconnecting = False
        self.reading = True
        self.no_delay: bool | None = None
        self.aborted = False
        self._to_deliver: list[bytes] = []
        if alpn is not None:
            self.negotiatedProtocol = alpn
            alsoProvides(self, ISSLTransport)

    # the other side

    def connect(self, protocol: Any) -> None:
        """Give the connection to `protocol`."""
        self.protocol = protocol
        protocol.makeConnection(self)

    def deliver(self, data: bytes) -> None:
        """The other side sends; it waits in the socket while the server does not read."""
        self._to_deliver.append(data)
        self._pump()

    def _pump(self) -> None:
        while self._to_deliver and self.reading and self.connected:
            self.protocol.dataReceived(self._to_deliver.pop(0))

    def block(self) -> None:
        """The other side stops reading, and its socket is full."""
        self.blocked = True

    def unblock(self) -> None:
        """It reads all that waits, and whatever comes."""
        self.blocked = False
        self._drain()

    def hang_up(self) -> None:
        """The other side closes."""
        self._lose(ConnectionDone())

    def take(self) -> bytes:
        """What was read since the last call."""
        sent, self.sent = self.sent, b""
        return sent

    def _drain(self) -> None:
        self.sent += self.dataBuffer
        self.dataBuffer = b""
        if self.producer is not None and self.producer_paused:
            self.producer_paused = False
            self.producer.resumeProducing()
        elif self.disconnecting and self.producer is None:
            self._lose(ConnectionDone())

    def _lose(self, reason: Exception) -> None:
        if self.connected:
            self.connected = False
            self.disconnecting = True
            self.protocol.connectionLost(Failure(reason))

    # ITransport

    def write(self, data: bytes) -> None:
        if not self.connected:
            return
        if not isinstance(data, bytes):
            raise TypeError(data)
        if not self.blocked and not self.dataBuffer:
            self.sent += data
            return
        self.dataBuffer += data
        if self.producer is not None and not self.producer_paused and len(self.dataBuffer) > BUFFER:
            self.producer_paused = True
            self.producer.pauseProducing()

    def writeSequence(self, parts: Any) -> None:
        self.write(b"".join(parts))

    def loseConnection(self) -> None:
        if not self.disconnecting:
            self.disconnecting = True
            if self.producer is None and not self.dataBuffer:
                self._lose(ConnectionDone())

    def abortConnection(self) -> None:
        self.aborted = True
        self.dataBuffer = b""
        self._lose(ConnectionAborted())

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "192.0.2.7", 4321)

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "192.0.2.1", 80)

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.no_delay = enabled

    # IConsumer and IPushProducer

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        if self.producer is not None:
            raise RuntimeError("a producer is registered")
        self.producer = producer
        self.producer_paused = False
        if not self.connected:
            producer.stopProducing()

    def unregisterProducer(self) -> None:
        self.producer = None
        if self.connected and self.disconnecting and not self.dataBuffer:
            self._lose(ConnectionDone())

    def pauseProducing(self) -> None:
        self.reading = False

    def resumeProducing(self) -> None:
        if self.connected and not self.disconnecting and not self.reading:
            self.reading = True
            self._pump()

    def stopProducing(self) -> None:
        self.loseConnection()
