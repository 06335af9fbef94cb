"""How a server is reached: plain, by TLS, or by a Unix socket."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs
from cryptography.x509 import load_pem_x509_certificates
from OpenSSL.crypto import X509
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from takotwist.client.target import Target
from takotwist.client.twisted.own_lookups import OwnLookups


def endpoint_for(reactor: Any, target: Target, ca_file: str | None) -> IStreamClientEndpoint:
    """The endpoint of a server.

    :param ca_file: PEM of the only authority to trust, or `None` for the system's.
    """
    if target.socket_path is not None:
        return UNIXClientEndpoint(reactor, target.socket_path)
    parts = urlsplit(target.origin)
    host = parts.hostname or ""
    tls = parts.scheme == "https"
    port = parts.port or (443 if tls else 80)
    plain = HostnameEndpoint(OwnLookups(reactor, host, port), host, port)
    return secured(plain, host, ca_file) if tls else plain


def secured(plain: IStreamClientEndpoint, host: str, ca_file: str | None) -> IStreamClientEndpoint:
    """`plain` by TLS.

    :param host: whose name the certificate must have.
    """
    trust = None
    if ca_file is not None:
        trust = trustRootFromCertificates(
            Certificate(X509.from_cryptography(one))
            for one in load_pem_x509_certificates(Path(ca_file).read_bytes())
        )
    return wrapClientTLS(optionsForClientTLS(host, trustRoot=trust), plain)


@implementer(IStreamClientEndpoint)
@attrs.define(eq=False)
class Abortable:
    """An endpoint for one connection that can be aborted at any time.

    Losing a connection politely waits for the peer where there is TLS, and a peer
    that is dropped is often one that answers nothing.
    """

    _endpoint: IStreamClientEndpoint
    _made: Any = attrs.field(default=None, init=False)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """See `IStreamClientEndpoint`."""
        return self._endpoint.connect(protocolFactory).addCallback(self._connected)

    def _connected(self, protocol: IProtocol) -> IProtocol:
        self._made = protocol
        return protocol

    def abort(self) -> bool:
        """Abort the connection.

        :return: whether there is one.
        """
        transport = getattr(self._made, "transport", None)
        if transport is not None:
            transport.abortConnection()
        return self._made is not None


@implementer(IAgentEndpointFactory)
@attrs.frozen
class OneEndpoint:
    """Has an `Agent` use one endpoint, whatever it is asked for."""

    endpoint: IStreamClientEndpoint

    def endpointForURI(self, uri: object) -> IStreamClientEndpoint:
        """See `IAgentEndpointFactory`."""
        return self.endpoint
