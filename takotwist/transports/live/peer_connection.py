"""Connections between nodes, as Twisted carries them: frames with their length before them.

The first frame of who connects is its `Greeting`; each later one is a `Kind` and its payload.
Rule: the other end is a node of the same server, which is believed; but one that hangs, or is
of another version, harms only the connection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.protocols.basic import Int32StringReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from takotwist.live.peers import (
    VERSION,
    AnyGreeting,
    Greeting,
    Kind,
    PeerListener,
    PeerStream,
    Spoken,
)

#: Answers a greeting with what listens to the connection.
Accept = Callable[[Greeting, PeerStream], PeerListener]

#: Seconds within which a greeting has to come, and what was sent before a close has to go.
PATIENCE = 10.0

_GREETING = msgspec.msgpack.Decoder(AnyGreeting)
_SPOKEN = msgspec.msgpack.Decoder(Spoken)


@implementer(IPushProducer)
class _Pressure:
    """Hears from the transport whether it takes more."""

    def __init__(self, connection: PeerConnection) -> None:
        self._connection = connection

    def pauseProducing(self) -> None:
        """Implement `IPushProducer`."""
        self._connection.pressed(True)

    def resumeProducing(self) -> None:
        """Implement `IPushProducer`."""
        self._connection.pressed(False)

    def stopProducing(self) -> None:
        """Implement `IPushProducer`."""


class PeerConnection(Int32StringReceiver):
    """One connection, at either end (`PeerStream`).

    :param clock: of its deadlines.
    :param longest: most bytes of a frame.
    :param listener: hears of it; `None` where `accept` says who does.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        longest: int,
        listener: PeerListener | None,
        accept: Accept | None = None,
    ) -> None:
        self.MAX_LENGTH = longest
        self.full = False
        self._clock = clock
        self._listener = listener
        self._accept = accept
        self._open = False
        self._late: IDelayedCall | None = None

    # PeerStream

    def greet(self, greeting: Greeting) -> None:
        """Say what the connection is for."""
        self._send_string(msgspec.msgpack.encode(greeting))

    def send(self, kind: Kind, payload: bytes = b"") -> None:
        """See `PeerStream`."""
        if self._open:
            self._send_string(b"%c%b" % (kind, payload))

    def hold(self, held: bool) -> None:
        """See `PeerStream`."""
        if not self._open or held == self.paused:
            return
        receiver: Any = self
        if held:
            receiver.pauseProducing()
        else:
            receiver.resumeProducing()

    def close(self) -> None:
        """See `PeerStream`."""
        if self._open:
            self._open = False
            self._transport.unregisterProducer()
            self._transport.loseConnection()
            self._wait()

    def abort(self) -> None:
        """See `PeerStream`."""
        self._open = False
        self._transport.abortConnection()

    # Protocol

    def connectionMade(self) -> None:
        """Implement `IProtocol`."""
        self._open = True
        self._transport.registerProducer(_Pressure(self), True)
        if self._listener is None:
            self._wait()

    def stringReceived(self, string: bytes) -> None:
        """Take a frame."""
        try:
            if self._listener is None:
                self._greeted(string)
            elif self._open and string:
                self._listener.received(Kind(string[0]), string[1:])
        except (msgspec.MsgspecError, ValueError):
            self._log.warn("another node speaks another version of the protocol between nodes")
            self.abort()
        except Exception:
            self._log.failure("taking a frame of another node failed")
            self.abort()

    def lengthLimitExceeded(self, length: int) -> None:
        """Refuse a frame that is too long."""
        self._log.warn("another node sent a frame of {length} bytes", length=length)
        self.abort()

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008
        """Implement `IProtocol`."""
        self._open = False
        self._waited()
        if self._listener is not None:
            self._listener.lost()

    def pressed(self, full: bool) -> None:
        """The transport takes no more for now, or does again."""
        self.full = full
        if self._open and self._listener is not None:
            self._listener.pressure(full)

    # private

    @property
    def _transport(self) -> Any:
        return self.transport

    def _send_string(self, string: bytes) -> None:
        receiver: Any = self
        receiver.sendString(string)

    def _greeted(self, string: bytes) -> None:
        assert self._accept is not None
        self._waited()
        version = _SPOKEN.decode(string).version
        if version != VERSION:
            # It should have known by the directory.
            self._log.warn(
                "another node speaks version {theirs} of the protocol between nodes, and this one"
                " {ours}: it is not answered",
                theirs=version,
                ours=VERSION,
            )
            self.abort()
            return
        self._listener = self._accept(_GREETING.decode(string), self)

    def _wait(self) -> None:
        self._waited()
        self._late = self._clock.callLater(PATIENCE, self._transport.abortConnection)

    def _waited(self) -> None:
        late, self._late = self._late, None
        if late is not None and late.active():
            late.cancel()


class PeerFactory(Factory):
    """Makes the connections of one end."""

    noisy = False

    def __init__(self, make: Callable[[], PeerConnection]) -> None:
        self._make = make

    def buildProtocol(self, addr: object) -> PeerConnection:
        """Implement `IProtocolFactory`."""
        return self._make()
