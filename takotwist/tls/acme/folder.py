"""The folder of a certificate that is obtained by ACME, which several processes may share.

    certificate.pem       the private key and the chain, in one file, so that they always fit
    account.json          the account's key and address
    record.json           what became of the tries so far
    challenges/TOKEN      the answer to an http-01 challenge
    challenges/NAME.pem   the certificate that answers a tls-alpn-01 challenge
    lock                  held by whoever asks the authority
    certificate.lock      held while the certificate is written

Rules: all of it is for its owner alone; a file is written whole or not at all; an answer is
read when it is asked for, so a challenge that meets another process is answered as well.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from takotwist.errors import ConfigError
from takotwist.tls.acme.schedule import Record
from takotwist.tls.certificate import CertificatePair, read_pair

#: What a token of a challenge may be (RFC 8555, section 8.3), and a name.
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,128}")
_NAME = re.compile(r"[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})+")

#: The extension of a certificate that answers tls-alpn-01 (RFC 8737, section 3).
_ACME_IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")

#: Clocks differ.
_BACKDATED = timedelta(hours=1)


@attrs.frozen(slots=True)
class AcmeFolder:
    """One folder, for the certificate of these names.

    :ivar directory: the authority, by the URL of its directory.
    :ivar domains: the names that the certificate is for.
    """

    path: Path
    directory: str
    domains: tuple[str, ...]

    @property
    def certificate(self) -> Path:
        """The file of key and chain."""
        return self.path / "certificate.pem"

    def prepare(self, now: datetime) -> None:
        """Make the folder, and a certificate to begin with where there is none that can be used.

        That one nobody trusts; with it the listener opens, which the authority must reach.

        :raises ConfigError: it cannot be made, or is somebody else's.
        """
        try:
            for folder in (self.path, self.path / "challenges"):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                if folder.stat().st_mode & 0o077:
                    folder.chmod(0o700)
            # Not the lock of orders: one may be under way, and wait for this process to serve.
            with self._flocked("certificate.lock", fcntl.LOCK_EX):
                try:
                    self.pair()
                except ConfigError:
                    self._write_certificate(_self_signed(self.domains, now, None))
        except OSError as failure:
            raise ConfigError(
                f"cannot be used: {failure.strerror}", key="tls.acme_folder", source=str(self.path)
            ) from None

    def pair(self) -> CertificatePair:
        """The certificate that is there.  :raises ConfigError: there is none that can be used."""
        return read_pair(self.certificate, self.certificate)

    def write_certificate(self, pair: CertificatePair) -> None:
        """Put another one in its place."""
        with self._flocked("certificate.lock", fcntl.LOCK_EX):
            self._write_certificate(pair)

    def _write_certificate(self, pair: CertificatePair) -> None:
        self._write("certificate.pem", pair.key_pem + pair.chain_pem)

    def locked(self) -> AbstractContextManager[bool]:
        """Keep the other processes from asking the authority.

        :return: whether that could be had; `False` where another has it.
        """
        return self._flocked("lock", fcntl.LOCK_EX | fcntl.LOCK_NB)

    @contextmanager
    def _flocked(self, name: str, how: int) -> Iterator[bool]:
        descriptor = os.open(self.path / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, how)
        except OSError as failure:
            os.close(descriptor)
            if failure.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            yield False
            return
        try:
            yield True
        finally:
            os.close(descriptor)

    # what is remembered

    def record(self) -> Record:
        """The record of the tries so far, for this authority and these names.

        Of tries for others with a name among these it has what the authority remembers as well.
        """
        said = self._read_json("record.json")
        record, purpose = Record.of_json(said.get("record")), said.get("for")
        if purpose == self._purpose:
            return record
        if not isinstance(purpose, list) or purpose[:1] != [self.directory]:
            return Record()
        shared = any(name in self.domains for name in purpose[1:])
        return record.for_other_names() if shared else Record()

    def write_record(self, record: Record) -> None:
        """Remember it."""
        self._write_json("record.json", {"for": self._purpose, "record": attrs.asdict(record)})

    def account(self) -> Mapping[str, object]:
        """The account with this authority; empty where there is none."""
        said = self._read_json("account.json")
        return said if said.get("directory") == self.directory else {}

    def write_account(self, key: Mapping[str, object], uri: str | None) -> None:
        """Remember it.

        :param key: a JSON Web Key.
        :param uri: its address, once it has one.
        """
        account = {"directory": self.directory, "key": dict(key), "uri": uri}
        self._write_json("account.json", account)

    @property
    def _purpose(self) -> list[str]:
        return [self.directory, *sorted(self.domains)]

    # challenges

    def answer_http(self, token: str, answer: str) -> None:
        """Have a token's address answered with this."""
        assert _TOKEN.fullmatch(token), token
        self._write(f"challenges/{token}", answer.encode("ascii"))

    def http_answer(self, token: str) -> bytes | None:
        """The answer at a token's address, or `None`."""
        if not _TOKEN.fullmatch(token):
            return None
        try:
            return (self.path / "challenges" / token).read_bytes()
        except OSError:
            return None

    def answer_alpn(self, domain: str, answer: str, now: datetime) -> None:
        """Have a connection for ``acme-tls/1`` to this name shown the certificate that answers."""
        assert _NAME.fullmatch(domain), domain
        # An OCTET STRING of 32 bytes.
        digest = b"\x04\x20" + sha256(answer.encode("ascii")).digest()
        pair = _self_signed([domain], now, digest)
        self._write(f"challenges/{domain}.pem", pair.key_pem + pair.chain_pem)

    def alpn_answer(self, domain: str) -> CertificatePair | None:
        """The certificate for such a connection, or `None`."""
        if not _NAME.fullmatch(domain):
            return None
        path = self.path / "challenges" / f"{domain}.pem"
        try:
            return read_pair(path, path)
        except ConfigError:
            return None

    def forget_answers(self) -> None:
        """Remove all answers: nothing is under way."""
        for path in (self.path / "challenges").iterdir():
            with suppress(OSError):
                path.unlink()

    # files

    def _read_json(self, name: str) -> dict[str, object]:
        try:
            said = json.loads((self.path / name).read_bytes())
        except (OSError, ValueError, RecursionError):
            return {}
        return said if isinstance(said, dict) else {}

    def _write_json(self, name: str, said: object) -> None:
        self._write(name, json.dumps(said, indent=1).encode())

    def _write(self, name: str, content: bytes) -> None:
        path = self.path / name
        # A name that is no answer's and that nobody else takes.
        fresh = path.with_name(f".{path.name}.{uuid4().hex}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(descriptor)
            os.replace(fresh, path)
        except BaseException:
            with suppress(OSError):
                fresh.unlink()
            raise


def _self_signed(domains: Sequence[str], now: datetime, digest: bytes | None) -> CertificatePair:
    """A certificate of a week that nobody trusts.

    :param digest: of an answer to tls-alpn-01.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "takotwist, before the first")])
    names = x509.SubjectAlternativeName([x509.DNSName(one) for one in domains])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + timedelta(days=7))
        .add_extension(names, critical=False)
    )
    if digest is not None:
        extension = x509.UnrecognizedExtension(_ACME_IDENTIFIER, digest)
        builder = builder.add_extension(extension, critical=True)
    return CertificatePair((builder.sign(key, hashes.SHA256()),), key)
