"""Certificate and key are read together and refused in words.

Certificates that a page may name by their hash.

Which names the development CA may sign for.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from twisted.trial.unittest import SynchronousTestCase

from takotwist.errors import ConfigError
from takotwist.tls.certificate import is_local, is_private, read_pair, short_lived_certificate, utc
from takotwist.tls.development_ca import ensure_development_certificate

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
LONG = "hunter2"


def _pem(
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey,
    encryption: KeySerializationEncryption | None = None,
) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


class CertificateTests(SynchronousTestCase):
    """What an operator finds when the files are not right."""

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        files = ensure_development_certificate(folder, ["app.test"], NOW)
        self.certificate, self.key, self.authority = files.certificate, files.key, files.authority

    def _refused(self) -> ConfigError:
        return self.assertRaises(ConfigError, read_pair, self.certificate, self.key)

    def test_read(self) -> None:
        """A good pair is read, with its names and its chain in order."""
        self.certificate.write_bytes(self.certificate.read_bytes() + self.authority.read_bytes())
        pair = read_pair(self.certificate, self.key)
        self.assertEqual(pair.names, ("localhost", "127.0.0.1", "::1", "app.test"))
        self.assertEqual(len(pair.chain), 2)
        self.assertNotIn("PrivateKey", repr(pair))

    def test_key_of_another_certificate(self) -> None:
        """A key that does not belong is named, with the certificate that it is not of."""
        self.key.write_bytes(_pem(ec.generate_private_key(ec.SECP256R1())))
        error = self._refused()
        self.assertEqual((error.key, error.source), ("tls.key", str(self.key)))
        self.assertIn(f"is not the key of the certificate in {self.certificate}", str(error))

    def test_chain_in_the_wrong_order(self) -> None:
        """The CA's certificate before the server's own is a common mistake with its own words."""
        self.certificate.write_bytes(self.authority.read_bytes() + self.certificate.read_bytes())
        self.assertIn("must begin with the server's own certificate", str(self._refused()))

    def test_encrypted_key(self) -> None:
        """A key with a password cannot be used by a server that starts alone."""
        key = ec.generate_private_key(ec.SECP256R1())
        self.key.write_bytes(_pem(key, BestAvailableEncryption(LONG.encode())))
        self.assertIn("is encrypted", str(self._refused()))

    def test_files_that_hold_something_else(self) -> None:
        """Exchanged, empty or missing files are each named."""
        certificate, key = self.certificate.read_bytes(), self.key.read_bytes()
        self.certificate.write_bytes(key)
        self.assertIn("holds no certificate in PEM form", str(self._refused()))
        self.certificate.write_bytes(certificate)
        self.key.write_bytes(certificate)
        self.assertIn("holds no private key in PEM form", str(self._refused()))
        self.key.unlink()
        self.assertIn("cannot be read: No such file", str(self._refused()))

    def test_key_of_a_kind_that_browsers_refuse(self) -> None:
        """Ed25519 works with OpenSSL and with no browser."""
        self.key.write_bytes(_pem(ed25519.Ed25519PrivateKey.generate()))
        self.assertIn("must be an ECDSA or RSA key", str(self._refused()))

    def test_expiry_is_told_in_time(self) -> None:
        """Two weeks before the end, and after it; not before that."""
        pair = read_pair(self.certificate, self.key)
        ends = NOW + timedelta(days=90)
        self.assertIsNone(pair.expiry_warning(NOW))
        self.assertIsNone(pair.expiry_warning(ends - timedelta(days=15)))
        self.assertIn("expires at 2027-02-19", pair.expiry_warning(ends - timedelta(days=13)) or "")
        self.assertIn("expired at", pair.expiry_warning(ends) or "")
        self.assertIn("not valid before", pair.expiry_warning(NOW - timedelta(days=2)) or "")

    def test_time_of_the_reactor_as_a_date(self) -> None:
        """Seconds of the epoch are a date in UTC."""
        self.assertEqual(utc(NOW.timestamp()), NOW)


SHORT_LIVED_NOW = datetime(2026, 11, 21, tzinfo=UTC)


class ShortLivedTests(SynchronousTestCase):
    """`short_lived_certificate`."""

    def test_what_browsers_ask(self) -> None:
        """ECDSA on P-256, valid now, for less than 14 days, and the hash is its own."""
        made = short_lived_certificate(["localhost", "127.0.0.1", "::1"], now=SHORT_LIVED_NOW)
        certificate = x509.load_pem_x509_certificate(made.certificate)
        key = certificate.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        self.assertIsInstance(key.curve, ec.SECP256R1)
        self.assertLess(certificate.not_valid_before_utc, SHORT_LIVED_NOW)
        lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
        self.assertLessEqual(lifetime, timedelta(days=13))
        self.assertEqual(made.expires, certificate.not_valid_after_utc)
        self.assertEqual(made.sha256, sha256(certificate.public_bytes(Encoding.DER)).digest())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        self.assertEqual(names.get_values_for_type(x509.DNSName), ["localhost"])
        self.assertEqual(len(names.get_values_for_type(x509.IPAddress)), 2)

    def test_refused(self) -> None:
        """No hosts, or more days than browsers take, is refused by name."""
        now = SHORT_LIVED_NOW
        error = self.assertRaises(ValueError, short_lived_certificate, ["a"], now=now, days=14)
        self.assertIn("days", str(error))
        error = self.assertRaises(ValueError, short_lived_certificate, [], now=now)
        self.assertIn("host", str(error))


class PrivateNameTests(SynchronousTestCase):
    """Names that belong to nobody, and addresses that are on no public network."""

    def test_private(self) -> None:
        """Loopback, private networks and reserved domains are private."""
        for host in (
            "localhost",
            "a.localhost",
            "App.Test",
            "printer.local",
            "x.home.arpa",
            "127.1.2.3",
            "10.0.0.1",
            "172.31.0.1",
            "192.168.0.9",
            "::1",
            "fd00::1",
            "*.app.internal",
        ):
            self.assertTrue(is_private(host), host)

    def test_public(self) -> None:
        """Whatever somebody may own is not, however much it looks like it."""
        for host in (
            "example.com",
            "localhost.example.com",
            "notlocalhost",
            "mytest",
            "8.8.8.8",
            "172.32.0.1",
            "2001:db8::1",
            "arpa",
            "",
        ):
            self.assertFalse(is_private(host), host)

    def test_local(self) -> None:
        """Of the private ones only those are local that can be no other machine."""
        for host in ("localhost", "a.localhost", "*.localhost", "127.0.0.1", "::1"):
            self.assertTrue(is_local(host), host)
        for host in ("app.test", "printer.local", "127.0.0.2", "192.168.0.9", "fd00::1", ""):
            self.assertFalse(is_local(host), host)
