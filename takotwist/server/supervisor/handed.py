"""A worker's listeners: connections come from the supervisor, as from a listening socket.

What a port of Twisted's asks of a listening socket is answered here, so the listeners of a worker
are those of any server.  Rule: at the end of the channel everything that was handed on is served.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet import tcp, unix
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocolFactory,
    IReactorCore,
    IStreamServerEndpoint,
)
from zope.interface import implementer

from takotwist.server.supervisor.handing import SharedCounts, receive
from takotwist.streams.seams.reactor import use_opened_socket


class CountedSocket(socket.socket):
    """A connection that tells when it is closed."""

    __slots__ = ("on_close",)

    on_close: Callable[[], None]

    def close(self) -> None:
        """Close it, and tell, once."""
        open_until_now = self.fileno() >= 0
        super().close()
        if open_until_now:
            self.on_close()


@attrs.define(slots=True, eq=False)
class HandedSocket:
    """In the place of one listening socket.

    :param channel: from the supervisor.
    :param family: of the listening socket.
    :param address: that it has.
    :param counts: where it is counted what was taken and closed, at `slot`.
    :param on_end: the supervisor hands on no more, and all that it did was taken.
    """

    _channel: socket.socket
    family: socket.AddressFamily
    address: Any
    _counts: SharedCounts
    _slot: int
    _on_end: Callable[[], object]
    port: Any = None
    _ended: bool = False

    def accept(self) -> tuple[socket.socket, object]:
        """See `socket.socket.accept`."""
        while not self._ended:
            try:
                descriptor = receive(self._channel)
            except OSError as failure:
                if failure.errno == errno.ECONNABORTED:
                    # Lost for want of a descriptor.  Not counted it would be taken to lie here
                    # for ever, and eight such to mean that this worker hangs.
                    self._counts.taken[self._slot] += 1
                    self._closed()
                raise
            if descriptor is None:
                self._ended = True
                self.port.stopReading()
                self._on_end()
                break
            connection = CountedSocket(self.family, socket.SOCK_STREAM, 0, descriptor)
            self._counts.taken[self._slot] += 1
            connection.on_close = self._closed
            connection.setblocking(False)
            try:
                return connection, connection.getpeername()
            except OSError:
                # It has gone since.
                connection.close()
        raise BlockingIOError(errno.EAGAIN, "nobody waits")

    def _closed(self) -> None:
        self._counts.closed[self._slot] += 1

    def getsockname(self) -> object:
        """See `socket.socket.getsockname`."""
        return self.address

    def fileno(self) -> int:
        """Of the channel."""
        return self._channel.fileno()

    def listen(self, backlog: int) -> None:
        """The supervisor does."""

    def shutdown(self, how: int) -> None:
        """The supervisor goes on listening."""

    def close(self) -> None:
        """See `socket.socket.close`."""
        self._channel.close()


@implementer(IStreamServerEndpoint)
@attrs.frozen
class HandedEndpoint:
    """The endpoint of one handed socket."""

    reactor: IReactorCore
    handed: HandedSocket

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """See `IStreamServerEndpoint`."""
        handed = self.handed
        port: tcp.Port
        if handed.family is socket.AF_UNIX:
            # A name that is no path keeps the port from the socket's file.
            port = unix.Port(b"\0handed on", protocolFactory, reactor=self.reactor)
        else:
            host, number = handed.address[:2]
            port = tcp.Port(number, protocolFactory, interface=host, reactor=self.reactor)
        handed.port = port
        use_opened_socket(port, handed)
        port.startListening()
        return succeed(port)
