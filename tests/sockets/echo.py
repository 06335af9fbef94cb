"""A server that says what it hears, and knows when everybody has left."""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IProtocolFactory
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.policies import WrappingFactory
from zope.interface import directlyProvides, providedBy


class Echo(Protocol):
    """One connection."""

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)


class EchoFactory(Factory):
    """Makes `Echo`."""

    def buildProtocol(self, address: IAddress | None) -> Protocol:
        return Echo()


class Guestbook(WrappingFactory):
    """A factory around another, that notes who comes and goes.

    A client's close is noticed by the server a moment later; a test that ended before would leave
    a connection behind.
    """

    _gone: Deferred[None] | None = None

    def __init__(self, wrapped: IProtocolFactory) -> None:
        super().__init__(wrapped)
        # Whether it negotiates protocols is asked of the outermost factory.
        directlyProvides(self, providedBy(wrapped))

    def unregisterProtocol(self, protocol: Protocol) -> None:
        super().unregisterProtocol(protocol)
        if self._gone is not None and not self.protocols:
            self._gone.callback(None)

    def everybody_gone(self) -> Deferred[None]:
        """Fires when nobody is connected."""
        if not self.protocols:
            return succeed(None)
        self._gone = Deferred()
        return self._gone

    def acceptableProtocols(self) -> list[bytes]:
        """What the factory inside negotiates."""
        protocols: list[bytes] = self.wrappedFactory.acceptableProtocols()
        return protocols
