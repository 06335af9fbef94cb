"""When bytes may go straight to the socket."""

from __future__ import annotations

import socket

from twisted.internet.address import IPv4Address
from twisted.internet.tcp import Connection as TcpConnection
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import HTTPChannel
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from takotwist.streams.files.sendfile import plain_socket


class Connected(TcpConnection):
    """A connection that has addresses, and nothing to switch."""

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 1)

    getHost = getPeer

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Not on this socket."""


class PlainSocket(SynchronousTestCase):
    """The direct way is taken only where nothing stands between."""

    def request(self, transport: object) -> Request:
        """A request on an HTTP/1.1 channel over `transport`."""
        channel = HTTPChannel()
        channel.site = Site(Resource(), reactor=MemoryReactorClock())
        channel.timeOut = None
        channel.makeConnection(transport)
        return Request(channel)

    def connection(self) -> TcpConnection:
        """A connection of Twisted's own on a real socket that nobody serves."""
        here, there = socket.socketpair()
        self.addCleanup(there.close)
        self.addCleanup(here.close)
        connection = Connected(here, HTTPChannel(), MemoryReactorClock())
        connection.connected = 1
        return connection

    def test_plain(self) -> None:
        """A plain connection is used directly."""
        connection = self.connection()
        self.assertIs(plain_socket(self.request(connection)), connection)

    def test_not_over_tls(self) -> None:
        """TLS, from the start or by STARTTLS, has to see the bytes."""
        connection = self.connection()
        request = self.request(connection)
        connection.TLS = True
        self.assertIsNone(plain_socket(request))
        tls = TLSMemoryBIOProtocol.__new__(TLSMemoryBIOProtocol)
        request.channel.transport = tls
        self.assertIsNone(plain_socket(request))

    def test_not_through_wrappers(self) -> None:
        """Another transport, another producer on it, or a wrapped request: the layers decide."""
        self.assertIsNone(plain_socket(self.request(StringTransport())))
        connection = self.connection()
        request = self.request(connection)
        connection.producer = None
        self.assertIsNone(plain_socket(request))
        self.assertIsNone(plain_socket(object()))  # type: ignore[arg-type]

    def test_not_past_an_encoder(self) -> None:
        """An encoder of twisted.web has to see the bytes."""
        request = self.request(self.connection())
        request._encoder = object()
        self.assertIsNone(plain_socket(request))
