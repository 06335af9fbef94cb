"""A certificate that a page can name by its hash, for development and private networks.

Browsers accept ``serverCertificateHashes`` only for ECDSA certificates valid
for at most 14 days (W3C WebTransport, "custom certificate requirements"); then
no authority and no browser flag is needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

#: One day short of what browsers allow, for clocks that are wrong.
MAX_DAYS = 13


@frozen
class ShortLivedCertificate:
    """A self-signed certificate.

    :ivar certificate: PEM.
    :ivar key: its private key, PEM.
    :ivar sha256: what a page gives as ``serverCertificateHashes: [{algorithm: "sha-256", value}]``.
    :ivar expires: when it must have been replaced.
    """

    certificate: bytes
    key: bytes
    sha256: bytes
    expires: datetime


def short_lived_certificate(
    hosts: Iterable[str], *, now: datetime, days: int = MAX_DAYS
) -> ShortLivedCertificate:
    """Make one.

    :param hosts: names and IP addresses to serve, at least one.
    :param now: valid from a minute before.
    :param days: for so long, 1 to 13.
    """
    if not 1 <= days <= MAX_DAYS:
        raise ValueError(f"days must be 1 to {MAX_DAYS}, not {days}")
    names = [_name(host) for host in hosts]
    if not names:
        raise ValueError("at least one host is needed")
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "takotwist WebTransport")])
    begins = now.astimezone(UTC) - timedelta(minutes=1)
    expires = begins + timedelta(days=days)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(expires)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    return ShortLivedCertificate(
        certificate=certificate.public_bytes(serialization.Encoding.PEM),
        key=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        sha256=certificate.fingerprint(hashes.SHA256()),
        expires=expires,
    )


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
