"""Certificates as an authority makes them, without one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from takotwist.tls.certificate import CertificatePair

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)

#: Unix seconds of it.
T = NOW.timestamp()

DAY = 86_400.0


def signed(
    domains: Sequence[str], begins: datetime = NOW, days: float = 90, issuer: str = "authority"
) -> CertificatePair:
    """A certificate that somebody else signed."""

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    key, authority = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    names = x509.SubjectAlternativeName([x509.DNSName(one) for one in domains])
    leaf = (
        x509.CertificateBuilder()
        .subject_name(name("subject"))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=days))
        .add_extension(names, critical=False)
        .sign(authority, hashes.SHA256())
    )
    return CertificatePair((leaf,), key)
