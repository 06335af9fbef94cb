"""HTTPS on localhost without a warning: an own CA, and a certificate that it signed.

The CA is made once, for a user or for a state folder, so that trust which was given
stays; the certificate is the state folder's own, short-lived and made anew as it ages
or when its names change.
Rule: the CA can sign for this machine's own names only (name constraints, RFC 5280,
section 4.2.1.10), so that trusting it on a laptop risks nothing elsewhere.  Where the
certificate is for other private names too, such as those by which a phone reaches the laptop,
a second CA signs it, which is made and trusted only by those who need it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import attrs
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from takotwist.errors import ConfigError
from takotwist.tls.certificate import (
    DOMAINS,
    LOCAL_DOMAINS,
    LOCAL_NETWORKS,
    NETWORKS,
    CertificatePair,
    as_address,
    is_local,
    read_pair,
)

AUTHORITY_LIFE = timedelta(days=3650)
AUTHORITY_RENEWED_BEFORE = timedelta(days=120)
CERTIFICATE_LIFE = timedelta(days=90)
CERTIFICATE_RENEWED_BEFORE = timedelta(days=30)
#: Clocks differ; a certificate that begins now is not yet valid elsewhere.
BACKDATED = timedelta(hours=1)

#: The files of the CA for this machine's own names.
AUTHORITY, AUTHORITY_KEY = "development-ca.pem", "development-ca-key.pem"

#: The files of the CA for private names and addresses beyond this machine.
NETWORK_AUTHORITY = "development-network-ca.pem"
NETWORK_AUTHORITY_KEY = "development-network-ca-key.pem"

#: What the CA's subject says beside its own name, by which it is known for one of ours.
ORGANIZATION = "takotwist development CA"

#: What the certificate is always for.
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")


@attrs.frozen(slots=True)
class DevelopmentFiles:
    """Paths of the CA and of the certificate.

    :ivar authority: the CA's certificate, which people trust.
    :ivar certificate: and `key`: what the server shows.
    :ivar made: what was made just now: nothing, the certificate, or the CA too.
    """

    authority: Path
    certificate: Path
    key: Path
    made: tuple[str, ...] = ()


def ensure_development_certificate(
    folder: Path, hosts: Sequence[str], now: datetime, authorities: Path | None = None
) -> DevelopmentFiles:
    """Make what is missing, stale or for other names.

    :param folder: such as ``state/tls``; made with mode 700 where it is missing.
    :param hosts: private names and addresses beside localhost.
    :param authorities: the folder of the CA, where it is another.
    :raises ConfigError: a folder cannot be written, or the CA is another user's.
    """
    key = "state_dir" if authorities in (None, folder) else "tls.development_ca"
    authorities = authorities or folder
    made: list[str] = []
    with _alone(authorities, key):
        trusted, authority, is_new = _ensure_authority(authorities, hosts, now)
        if is_new:
            made.append("authority")
    files = DevelopmentFiles(trusted, folder / "localhost.pem", folder / "localhost-key.pem")
    with _alone(folder, "state_dir"):
        wanted = tuple(dict.fromkeys((*LOCAL_HOSTS, *hosts)))
        pair = _usable(files.certificate, files.key, now + CERTIFICATE_RENEWED_BEFORE)
        if pair is None or not _fits(pair, authority, wanted):
            _write(files.certificate, files.key, _make_certificate(authority, wanted, now))
            made.append("certificate")
    return attrs.evolve(files, made=tuple(made))


def _ensure_authority(
    folder: Path, hosts: Sequence[str], now: datetime
) -> tuple[Path, CertificatePair, bool]:
    """The CA for `hosts`: its certificate's file, the pair, and whether it was made just now.

    :raises OSError: it cannot be written, or may not be read.
    """
    beyond = not all(map(is_local, hosts))
    authority = _kept_authority(folder / AUTHORITY, folder / AUTHORITY_KEY, now)
    if authority is not None and (not beyond or _permits_all(authority)):
        return folder / AUTHORITY, authority, False
    certificate, key = folder / AUTHORITY, folder / AUTHORITY_KEY
    if beyond:
        certificate, key = folder / NETWORK_AUTHORITY, folder / NETWORK_AUTHORITY_KEY
        authority = _kept_authority(certificate, key, now)
        if authority is not None:
            return certificate, authority, False
    authority = _make_authority(beyond, now)
    _write(certificate, key, authority)
    return certificate, authority, True


def _kept_authority(certificate: Path, key: Path, now: datetime) -> CertificatePair | None:
    """The CA in two files, or `None` when another is to be made in its place.

    :raises OSError: it may not be read.
    """
    if os.path.exists(key):
        # Whoever may not read it is not to put another in its place, which nobody trusts.
        key.open("rb").close()
    return _usable(certificate, key, now + AUTHORITY_RENEWED_BEFORE)


def _permits_all(authority: CertificatePair) -> bool:
    """True for one that was made when there was one CA for all private names.

    Trust that was given to it stays.
    """
    limits = authority.leaf.extensions.get_extension_for_class(x509.NameConstraints).value
    return x509.DNSName(DOMAINS[-1]) in (limits.permitted_subtrees or ())


def _usable(certificate: Path, key: Path, at: datetime) -> CertificatePair | None:
    """The pair in two files, or `None` when it is missing, broken or void at that time."""
    try:
        pair = read_pair(certificate, key)
    except ConfigError:
        return None
    return pair if pair.leaf.not_valid_after_utc > at else None


def _fits(pair: CertificatePair, authority: CertificatePair, hosts: Sequence[str]) -> bool:
    try:
        pair.leaf.verify_directly_issued_by(authority.leaf)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return set(pair.names) == set(hosts)


def _make_authority(beyond: bool, now: datetime) -> CertificatePair:
    """:param beyond: for private names and addresses beyond this machine."""
    key = ec.generate_private_key(ec.SECP256R1())
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest.hex()
    # The host's name tells people with several machines which of the CAs in their list this is,
    # and the key's tells stores that go by the name alone (NSS) that it is none of the others.
    common = f"takotwist {identifier[:8]} on {os.uname().nodename[:40]}"
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANIZATION),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )
    domains = DOMAINS if beyond else LOCAL_DOMAINS
    networks = NETWORKS if beyond else LOCAL_NETWORKS
    permitted: list[x509.GeneralName] = [x509.DNSName(domain) for domain in domains]
    permitted += [x509.IPAddress(network) for network in networks]
    certificate = (
        _builder(name, name, key, now, AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .add_extension(x509.NameConstraints(permitted, None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return CertificatePair((certificate,), key)


def _make_certificate(
    authority: CertificatePair, hosts: Sequence[str], now: datetime
) -> CertificatePair:
    key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = []
    for host in hosts:
        address = as_address(host)
        names.append(x509.DNSName(host) if address is None else x509.IPAddress(address))
    authority_key_id = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
        authority.leaf.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    )
    certificate = (
        _builder(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]),
            authority.leaf.subject,
            key,
            now,
            CERTIFICATE_LIFE,
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(authority_key_id, critical=False)
        .sign(_ecdsa(authority), hashes.SHA256())
    )
    return CertificatePair((certificate,), key)


def _usage(*, authority: bool) -> x509.KeyUsage:
    """An authority signs certificates, and a server its handshakes: neither does anything else."""
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _ecdsa(authority: CertificatePair) -> ec.EllipticCurvePrivateKey:
    assert isinstance(authority.key, ec.EllipticCurvePrivateKey)
    return authority.key


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    """Common part of both certificates."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _write(certificate: Path, key: Path, pair: CertificatePair) -> None:
    """Exchange both files.  Who reads between the two sees no pair, and waits."""
    secret = pair.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _exchange(key, secret, 0o600)
    _exchange(certificate, pair.leaf.public_bytes(Encoding.PEM), 0o644)


def _exchange(path: Path, content: bytes, mode: int) -> None:
    """Write a file that has its mode from the first moment, and put it in place at once."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(descriptor)
    os.replace(new, path)


@contextmanager
def _alone(folder: Path, key: str) -> Iterator[None]:
    """In `folder`, which is made where it is missing, with nobody else in it.

    Two servers that start at once must not each make a CA.

    :param key: of the configuration, which says where it is.
    :raises ConfigError: the folder, or a file in it, cannot be made or read.
    """
    descriptor = -1
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    except OSError as failure:
        raise ConfigError(
            f"cannot hold the development certificate: {failure.strerror}",
            key=key,
            source=str(failure.filename or folder),
        ) from None
    finally:
        if descriptor >= 0:
            os.close(descriptor)
