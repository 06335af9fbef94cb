"""Messages between the supervisor and one of its processes, over a pair of local sockets.

A message is one JSON object, and one packet (SOCK_SEQPACKET), so none is ever half there.
Rule: neither end waits for the other; an end that is gone is known by the end of the channel.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping

import attrs
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from zope.interface import implementer

#: The largest message: the first, with which a process is started.
LARGEST = 128 * 1024


def encoded(message: Mapping[str, object]) -> bytes:
    """A message as it is sent."""
    return json.dumps(message).encode()


@implementer(IReadDescriptor)
@attrs.define(slots=True, eq=False)
class MessageChannel:
    """One end of a channel.

    :param received: is told each message.
    :param ended: is told once that the other end is gone.
    """

    _reactor: IReactorFDSet
    _socket: socket.socket
    _received: Callable[[Mapping[str, object]], object]
    _ended: Callable[[], object]

    def start(self) -> None:
        """Listen to the other end."""
        self._socket.setblocking(False)
        self._reactor.addReader(self)

    def stop(self) -> None:
        """Close this end; nothing more is told."""
        if self._socket.fileno() >= 0:
            self._reactor.removeReader(self)
            self._socket.close()

    def send(self, **message: object) -> bool:
        """Send; whether the other end can have it: it may be gone, or read nothing any more."""
        try:
            self._socket.send(encoded(message))
        except OSError:
            return False
        return True

    # IReadDescriptor

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return "supervisor"

    def doRead(self) -> None:
        try:
            data = self._socket.recv(LARGEST)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._received(json.loads(data))
        elif self._socket.fileno() >= 0:
            self.stop()
            self._ended()

    def connectionLost(self, reason: object) -> None:
        """The reactor ends."""
        self.stop()
