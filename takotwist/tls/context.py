"""The server's side of TLS: versions, ciphers, ALPN, and a certificate that can be exchanged.

A plain endpoint of any kind carries TLS when its factory is wrapped with
`over_tls`.  The certificate is looked up for each new connection, so that it
can change under a running server.
Rule: a context is complete before the first connection uses it; a change makes
a new one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from OpenSSL import SSL
from twisted.internet.interfaces import (
    IOpenSSLServerConnectionCreator,
    IProtocolFactory,
    IProtocolNegotiationFactory,
    IReactorTime,
)
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer

from takotwist.tls.certificate import CertificatePair, read_pair
from takotwist.tls.connection import TlsConnection

Profile = Literal["intermediate", "modern"]

_OLDEST = {"intermediate": SSL.TLS1_2_VERSION, "modern": SSL.TLS1_3_VERSION}

#: For TLS 1.2: forward secrecy and authenticated encryption only (RFC 9325, section 4.2), which
#: is also what HTTP/2 asks for (RFC 9113, section 9.2.2).  TLS 1.3 has no others.
_CIPHERS = ":".join(
    f"ECDHE-{signature}-{cipher}"
    for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
    for signature in ("ECDSA", "RSA")
)

_OPTIONS = (
    SSL.OP_NO_COMPRESSION  # CRIME
    | SSL.OP_NO_RENEGOTIATION  # of use to nobody but attackers on our processor time
    | SSL.OP_CIPHER_SERVER_PREFERENCE
    | SSL.OP_SINGLE_ECDH_USE
)


#: The certificate that answers a challenge for a name, or `None` (RFC 8737).
Challenged = Callable[[str], CertificatePair | None]

#: The protocol by which an ACME server connects to see it.
ACME_TLS = b"acme-tls/1"


def make_context(
    pair: CertificatePair, profile: Profile, challenged: Challenged | None = None
) -> SSL.Context:
    """An OpenSSL context for a server that shows `pair`.

    :param challenged: where certificates are obtained by ACME.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(_OLDEST[profile])
    context.set_options(_OPTIONS)
    context.set_cipher_list(_CIPHERS.encode("ascii"))
    # An idle connection gives its buffers back: about 23 KB each.
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    # Sessions are resumed by tickets, which the client keeps; a cache here would only grow.
    context.set_session_id(b"takotwist")
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.use_certificate(pair.leaf)
    for one in pair.chain[1:]:
        context.add_extra_chain_cert(one)
    context.use_privatekey(pair.key)
    context.check_privatekey()
    context.set_alpn_select_callback(
        _choose_protocol if challenged is None else _challenge_first(challenged)
    )
    return context


def _challenge_first(challenged: Challenged) -> Callable[[SSL.Connection, Sequence[bytes]], Any]:
    def choose(connection: SSL.Connection, offered: Sequence[bytes]) -> object:
        if ACME_TLS in offered:
            name = (connection.get_servername() or b"").decode("latin-1").lower()
            pair = challenged(name)
            if pair is not None:
                # OpenSSL has chosen the kind of key by now, and both are ECDSA on P-256: what it
                # sends is the one that is there when it comes to that.
                connection.use_certificate(pair.leaf)
                connection.use_privatekey(pair.key)
                return ACME_TLS
        return _choose_protocol(connection, offered)

    return choose


def _choose_protocol(connection: SSL.Connection, offered: Sequence[bytes]) -> Any:
    """Ours in the order of preference that the factory behind states (RFC 7301, section 3.2).

    What comes of no overlap is a connection without ALPN, that is HTTP/1.1: clients exist that
    offer only what they like best.
    """
    factory = connection.get_app_data().factory.wrappedFactory
    if IProtocolNegotiationFactory.providedBy(factory):
        for protocol in factory.acceptableProtocols():
            if protocol in offered:
                return protocol
    return SSL.NO_OVERLAPPING_PROTOCOLS


@implementer(IOpenSSLServerConnectionCreator)
class ServerTls:
    """Makes the TLS side of new connections, from certificate files that may change.

    :param certificate: PEM file of certificate and chain.
    :param key: PEM file of the private key.
    :param profile: ``intermediate`` is TLS 1.2 and 1.3, ``modern`` is 1.3 only.
    :param challenged: see `make_context`.
    :raises ConfigError: the files cannot be used.
    """

    def __init__(
        self,
        certificate: Path,
        key: Path,
        profile: Profile = "intermediate",
        challenged: Challenged | None = None,
    ) -> None:
        self.certificate = certificate
        self.key = key
        self._profile: Profile = profile
        self._challenged = challenged
        self._changed: list[Callable[[], None]] = []
        self.pair = read_pair(certificate, key)
        self._context = make_context(self.pair, profile, challenged)

    def reload(self) -> bool:
        """Read the files again; connections from now on get what they hold.

        :return: whether the certificate is another one.
        :raises ConfigError: they cannot be used; the old certificate stays.
        """
        pair = read_pair(self.certificate, self.key)
        if pair.chain == self.pair.chain:
            return False
        self._context = make_context(pair, self._profile, self._challenged)
        self.pair = pair
        for changed in self._changed:
            changed()
        return True

    def when_changed(self, changed: Callable[[], None]) -> None:
        """Have `changed` called each time that `pair` has become another one."""
        self._changed.append(changed)

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """One connection's TLS, with the certificate of this moment."""
        connection = SSL.Connection(self._context, None)
        connection.set_app_data(tlsProtocol)
        return connection


class _TlsFactory(TLSMemoryBIOFactory):
    protocol = TlsConnection


def over_tls(factory: IProtocolFactory, tls: ServerTls, clock: IReactorTime) -> TLSMemoryBIOFactory:
    """`factory` behind TLS, for an endpoint of any kind.

    :param factory: its ALPN names are those that it states by `IProtocolNegotiationFactory`;
        a twisted.web `Site` states h2 and http/1.1.
    """
    return _TlsFactory(tls, False, factory, clock)
