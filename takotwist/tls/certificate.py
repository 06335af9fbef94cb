"""Certificates: pairs read from files, short-lived ones made here, and the names they may have.

`read_pair` reads certificate, chain and key from two files and checks them together.  OpenSSL
says "key values mismatch" and names no file; a half-written renewal then looks like a broken
server.  Here the two are read once, compared, and refused in words.
Rule: no part of a private key is in an error or a `repr`.

`short_lived_certificate` makes one that a page can name by its hash, for development and private
networks.  Browsers accept ``serverCertificateHashes`` only for ECDSA certificates valid for at
most 14 days (W3C WebTransport, "custom certificate requirements"); then no authority and no
browser flag is needed.

`is_private` tells names and addresses that no public authority would ever certify, and `is_local`
those among them that are always this machine.  A development CA may sign for the one or the
other and for nothing else: whoever steals its key cannot pass for a bank, even in a browser that
trusts it.
Rule: one list each, for the CA's name constraints and for the configuration's check.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from pathlib import Path

import attrs
from attrs import frozen
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from takotwist.errors import ConfigError

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@attrs.frozen(slots=True)
class CertificatePair:
    """A certificate chain and its private key.

    :ivar chain: the server's own certificate first.
    """

    chain: tuple[x509.Certificate, ...]
    key: PrivateKey = attrs.field(repr=False)

    @property
    def leaf(self) -> x509.Certificate:
        """The server's own certificate."""
        return self.chain[0]

    @property
    def names(self) -> tuple[str, ...]:
        """The names and addresses that it is for."""
        try:
            extension = self.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except x509.ExtensionNotFound:
            return ()
        return tuple(str(name.value) for name in extension.value)

    @property
    def chain_pem(self) -> bytes:
        """The chain as a PEM file has it."""
        return b"".join(one.public_bytes(Encoding.PEM) for one in self.chain)

    @property
    def key_pem(self) -> bytes:
        """The private key as a PEM file has it."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def expiry_warning(self, now: datetime) -> str | None:
        """A sentence when it is void or soon will be; `None` otherwise.

        Soon is 14 days, or a quarter of the life of a certificate that lives shorter.
        """
        begins, ends = self.leaf.not_valid_before_utc, self.leaf.not_valid_after_utc
        if now >= ends:
            return f"The certificate expired at {ends:%Y-%m-%d %H:%M} UTC."
        if now < begins:
            return f"The certificate is not valid before {begins:%Y-%m-%d %H:%M} UTC."
        left = ends - now
        if left.days < 14 and left < (ends - begins) / 4:
            return f"The certificate expires at {ends:%Y-%m-%d %H:%M} UTC."
        return None


def read_pair(certificate: Path, key: Path) -> CertificatePair:
    """Read and compare the two files.

    :param certificate: PEM, the server's own certificate first, then the chain.
    :param key: PEM, not encrypted: the server starts without anybody who could type a password.
    :raises ConfigError: says which file and why.
    """
    chain = _read_chain(certificate)
    private = _read_key(key)
    mine = _public(private.public_key())
    if _public(chain[0].public_key()) != mine:
        if any(_public(one.public_key()) == mine for one in chain):
            raise ConfigError(
                "must begin with the server's own certificate, then its chain",
                key="tls.certificate",
                source=str(certificate),
            )
        raise ConfigError(
            f"is not the key of the certificate in {certificate}", key="tls.key", source=str(key)
        )
    return CertificatePair(chain, private)


def _public(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _read(path: Path, key: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as failure:
        raise ConfigError(
            f"cannot be read: {failure.strerror}", key=key, source=str(path)
        ) from None


def _read_chain(path: Path) -> tuple[x509.Certificate, ...]:
    content = _read(path, "tls.certificate")
    try:
        chain = tuple(x509.load_pem_x509_certificates(content))
        for one in chain:
            one.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError(
            "holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)",
            key="tls.certificate",
            source=str(path),
        ) from None
    return chain


def _read_key(path: Path) -> PrivateKey:
    content = _read(path, "tls.key")
    reason = "holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)"
    try:
        key = load_pem_private_key(content, None)
    except TypeError:
        reason = "is encrypted; the server needs it without a password"
    except (ValueError, UnsupportedAlgorithm):
        pass
    else:
        if isinstance(key, PrivateKey):
            return key
        reason = "must be an ECDSA or RSA key, which is what browsers take"
    raise ConfigError(reason, key="tls.key", source=str(path))


def utc(seconds: float) -> datetime:
    """The time of an `IReactorTime` as a date."""
    return datetime.fromtimestamp(seconds, UTC)


# Short-lived certificates

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


# Private names

#: Top labels that are reserved for private use: RFC 6761, RFC 6762, RFC 8375, ICANN's ``internal``,
#: and ``lan``, which home routers hand out.
DOMAINS = ("localhost", "test", "local", "internal", "lan", "home.arpa")

#: Loopback, private and link-local addresses (RFC 1122, 1918, 3927, 4193, 4291).
NETWORKS = tuple(
    ip_network(text)
    for text in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
)

#: The same for this machine alone: ``localhost``, the names below it, and its two addresses.
LOCAL_DOMAINS = ("localhost",)
LOCAL_NETWORKS = (ip_network("127.0.0.1/32"), ip_network("::1/128"))


def as_address(host: str) -> IPv4Address | IPv6Address | None:
    """`host` as an address, or `None` where it is a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def is_private(host: str) -> bool:
    """True where a development CA may sign for `host`."""
    return _is_within(host, DOMAINS, NETWORKS)


def is_local(host: str) -> bool:
    """True where `host` can only be this machine."""
    return _is_within(host, LOCAL_DOMAINS, LOCAL_NETWORKS)


def _is_within(
    host: str, domains: Iterable[str], networks: Iterable[IPv4Network | IPv6Network]
) -> bool:
    address = as_address(host)
    if address is not None:
        return any(address in network for network in networks)
    name = host.lower().removeprefix("*.")
    return any(name == domain or name.endswith("." + domain) for domain in domains)
