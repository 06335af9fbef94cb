"""A TLS client in memory, for a server factory that is wrapped in TLS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cryptography import x509
from OpenSSL import SSL
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.testing import MemoryReactorClock, StringTransport

from takotwist.tls.context import ServerTls, over_tls


class TcpTransport(StringTransport):
    """A transport with the options of a TCP socket."""

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing waits in memory."""


class TlsClient:
    """One connection to `factory` behind `tls`; bytes move when `pump` is called.

    :param alpn: the protocols that the client offers.
    :param newest: the newest TLS version that it speaks.
    :param piece: most bytes that reach the server at once.
    """

    def __init__(
        self,
        factory: IProtocolFactory,
        tls: ServerTls,
        alpn: Sequence[bytes] = (),
        newest: int = SSL.TLS1_3_VERSION,
        piece: int = 65536,
    ) -> None:
        self._piece = piece
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_min_proto_version(SSL.TLS1_VERSION)
        context.set_max_proto_version(newest)
        # What OpenSSL itself would no longer offer must reach the server to be refused there.
        context.set_cipher_list(b"ALL:@SECLEVEL=0")
        if alpn:
            context.set_alpn_protos(list(alpn))
        self.connection = SSL.Connection(context, None)
        self.connection.set_connect_state()
        self.transport = TcpTransport()
        self.clock = MemoryReactorClock()
        wrapped: Any = over_tls(factory, tls, self.clock)
        wrapped.doStart()
        self.protocol = wrapped.buildProtocol(None)
        self.protocol.makeConnection(self.transport)

    def handshake(self) -> None:
        """Shake hands.

        :raises SSL.Error: the server refused.
        """
        for _ in range(10):
            try:
                self.connection.do_handshake()
            except SSL.WantReadError:
                self.pump()
            else:
                self.pump()
                return
        raise AssertionError("the handshake does not end")

    def pump(self) -> None:
        """Move what each side has for the other."""
        try:
            while True:
                self.protocol.dataReceived(self.connection.bio_read(self._piece))
        except SSL.WantReadError:
            pass
        # Small writes are joined until the end of the turn.
        self.clock.advance(0)
        if self.transport.value():
            self.connection.bio_write(self.transport.value())
            self.transport.clear()

    def exchange(self, data: bytes) -> bytes:
        """Send `data` and return what comes back."""
        self.connection.sendall(data)
        self.pump()
        back = self.connection.recv(65536)
        while self.connection.pending() or len(back) < len(data):
            back += self.connection.recv(65536)
        return back

    @property
    def certificate(self) -> x509.Certificate:
        """What the server showed."""
        shown = self.connection.get_peer_certificate(as_cryptography=True)
        assert shown is not None
        return shown
