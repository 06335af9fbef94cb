"""A real port that serves a resource: plaintext, or TLS with a certificate made on the spot."""

from __future__ import annotations

import datetime
import ipaddress
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.ssl import CertificateOptions, PrivateCertificate
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase
from twisted.web.resource import IResource
from twisted.web.server import Site


@cache
def certificate() -> CertificateOptions:
    """A certificate for localhost that nobody trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    today = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=7))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            ),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return PrivateCertificate.loadPEM(pem).options()


class Quiet(Site):
    """Without an access log, which would fill the test's."""

    def log(self, request: object) -> None:
        """Nothing."""


def listen(case: TestCase, resource: IResource, *, tls: bool = False) -> int:
    """Serve `resource` until the test is over.

    :return: the port.
    """
    site = Quiet(resource, reactor=reactor)
    if tls:
        port: IListeningPort = reactor.listenSSL(0, site, certificate(), interface="127.0.0.1")  # type: ignore[attr-defined]
    else:
        port = reactor.listenTCP(0, site, interface="127.0.0.1")  # type: ignore[attr-defined]
    case.addCleanup(port.stopListening)
    number: int = port.getHost().port  # type: ignore[attr-defined]
    return number


def curl(*arguments: str) -> Deferred[tuple[bytes, bytes, int]]:
    """Run curl; what it printed, its complaints, and its exit code."""
    return getProcessOutputAndValue("curl", ("-sSk", "--max-time", "60", *arguments))
