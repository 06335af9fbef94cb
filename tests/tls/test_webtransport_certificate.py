"""Certificates that a page may name by their hash."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from twisted.trial.unittest import SynchronousTestCase

from takotwist.tls.webtransport_certificate import short_lived_certificate

NOW = datetime(2026, 11, 21, tzinfo=UTC)


class CertificateTests(SynchronousTestCase):
    """`short_lived_certificate`."""

    def test_what_browsers_ask(self) -> None:
        """ECDSA on P-256, valid now, for less than 14 days, and the hash is its own."""
        made = short_lived_certificate(["localhost", "127.0.0.1", "::1"], now=NOW)
        certificate = x509.load_pem_x509_certificate(made.certificate)
        key = certificate.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        self.assertIsInstance(key.curve, ec.SECP256R1)
        self.assertLess(certificate.not_valid_before_utc, NOW)
        lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
        self.assertLessEqual(lifetime, timedelta(days=13))
        self.assertEqual(made.expires, certificate.not_valid_after_utc)
        self.assertEqual(made.sha256, sha256(certificate.public_bytes(Encoding.DER)).digest())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        self.assertEqual(names.get_values_for_type(x509.DNSName), ["localhost"])
        self.assertEqual(len(names.get_values_for_type(x509.IPAddress)), 2)

    def test_refused(self) -> None:
        """No hosts, or more days than browsers take, is refused by name."""
        error = self.assertRaises(ValueError, short_lived_certificate, ["a"], now=NOW, days=14)
        self.assertIn("days", str(error))
        error = self.assertRaises(ValueError, short_lived_certificate, [], now=NOW)
        self.assertIn("host", str(error))
