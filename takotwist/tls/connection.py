"""TLS connections of Twisted that give back the memory that only their handshake needs.

Rule: the private names in use are listed in `streams.seams`, with all others.
"""

from __future__ import annotations

from OpenSSL import SSL
from twisted.internet.protocol import connectionDone
from twisted.protocols.tls import BufferingTLSTransport
from twisted.python.failure import Failure


class TlsConnection(BufferingTLSTransport):
    """Twisted's TLS on a connection, lean once its handshake is over."""

    #: True once the memory that only the handshake needed has been given back.
    _lean = False

    def _flushReceiveBIO(self) -> None:
        BufferingTLSTransport._flushReceiveBIO(self)
        if self._lean or self._lostTLSConnection or self._aborted:
            return
        try:
            unsent = self._tlsConnection.bio_read(2**15)
        except SSL.WantReadError:
            self._lean = True
            renew_buffers(self._tlsConnection)
        else:
            assert self.transport is not None
            self.transport.write(unsent)

    def _tlsShutdownFinished(self, reason: Failure | None) -> None:
        BufferingTLSTransport._tlsShutdownFinished(self, reason)
        if reason is not None:
            # Twisted's frame that has this failure stands in its traceback, and the two would
            # keep OpenSSL's connection, some 20 kB, until Python looks for cycles.  Clients that
            # just close, without TLS's own goodbye, are common.
            reason.cleanFailure()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        # It has this for its transport.
        self._producer = None


def renew_buffers(connection: SSL.Connection) -> None:
    """Exchange the two memory buffers between OpenSSL and us, which are empty, for new ones.

    A memory BIO never shrinks: for as long as the connection lasts it would have room for
    the client's hello and for our whole certificate chain, several kilobytes.  (pyOpenSSL
    has no public way to this; where its attributes are others, they stay.)

    :param connection: one that has nothing to read and nothing that is still to be sent.
    """
    library, ssl = getattr(SSL, "_lib", None), getattr(connection, "_ssl", None)
    if library is None or ssl is None or not hasattr(connection, "_into_ssl"):
        return
    into, out = library.BIO_new(library.BIO_s_mem()), library.BIO_new(library.BIO_s_mem())
    # OpenSSL frees the old ones, and owns these.
    library.SSL_set_bio(ssl, into, out)
    connection._into_ssl, connection._from_ssl = into, out
