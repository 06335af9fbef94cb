"""A CA and a certificate for localhost, made once and renewed in time."""

from __future__ import annotations

import os
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store
from twisted.trial.unittest import SynchronousTestCase

from takotwist.errors import ConfigError
from takotwist.server.config import derive
from takotwist.tls.certificate import read_pair
from takotwist.tls.development_ca import AUTHORITY_KEY, ensure_development_certificate

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


class DevelopmentCaTests(SynchronousTestCase):
    """What is made, and when it is made anew."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()) / "tls"

    def _ensure(self, *hosts: str, after: timedelta = timedelta()) -> tuple[str, ...]:
        self.files = ensure_development_certificate(self.folder, hosts, NOW + after)
        return self.files.made

    def test_made_once(self) -> None:
        """The first start makes both; the next takes what is there."""
        self.assertEqual(self._ensure(), ("authority", "certificate"))
        before = self.files.certificate.read_bytes()
        self.assertEqual(self._ensure(), ())
        self.assertEqual(self.files.certificate.read_bytes(), before)

    def test_certificate_is_what_browsers_ask_for(self) -> None:
        """Names, uses and identifiers are in their extensions, the critical ones critical."""
        self._ensure("app.test", "192.168.1.5")
        leaf = read_pair(self.files.certificate, self.files.key).leaf
        [authority] = x509.load_pem_x509_certificates(self.files.authority.read_bytes())
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        self.assertEqual(names.get_values_for_type(x509.DNSName), ["localhost", "app.test"])
        self.assertEqual(
            [str(one) for one in names.get_values_for_type(x509.IPAddress)],
            ["127.0.0.1", "::1", "192.168.1.5"],
        )
        usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        self.assertEqual(list(usage), [ExtendedKeyUsageOID.SERVER_AUTH])
        for certificate, is_ca in ((leaf, False), (authority, True)):
            basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
            self.assertEqual((basic.critical, basic.value.ca), (True, is_ca))
            self.assertIsInstance(certificate.public_key(), ec.EllipticCurvePublicKey)
        leaf.verify_directly_issued_by(authority)
        issuer = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        named = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
        self.assertEqual(named.key_identifier, issuer.digest)

    def test_verifies_for_its_names(self) -> None:
        """A strict verifier that trusts the CA accepts localhost and refuses another name."""
        self._ensure()
        leaf = read_pair(self.files.certificate, self.files.key).leaf
        store = Store(x509.load_pem_x509_certificates(self.files.authority.read_bytes()))
        verifier = PolicyBuilder().store(store).time(NOW)
        chain = verifier.build_server_verifier(x509.DNSName("localhost")).verify(leaf, [])
        self.assertEqual(len(chain), 2)
        self.assertRaises(
            x509.verification.VerificationError,
            verifier.build_server_verifier(x509.DNSName("example.com")).verify,
            leaf,
            [],
        )

    def test_authority_is_limited_to_this_machine(self) -> None:
        """The CA's own certificate says that it speaks for nothing but this machine's names."""
        self._ensure("chat.localhost")
        self.assertEqual(
            self._permitted(), {"localhost", "127.0.0.1/32", "::1/128"}, "a new name or network"
        )

    def test_authority_for_the_network(self) -> None:
        """Names beyond this machine are signed for by another CA, and only private ones."""
        self._ensure()
        local = self.files.authority
        self.assertEqual(self._ensure("laptop.local"), ("authority", "certificate"))
        self.assertNotEqual(self.files.authority, local)
        permitted = self._permitted()
        self.assertLessEqual({"localhost", "local", "192.168.0.0/16"}, permitted)
        self.assertNotIn("com", permitted)
        self.assertEqual(self._ensure("laptop.local"), ())
        self.assertEqual(self._ensure(), ("certificate",))
        self.assertEqual(self.files.authority, local)

    def test_authority_of_before(self) -> None:
        """One that was made for all private names is used on, so that trust in it stays."""
        self._ensure("laptop.local")
        for name in ("ca", "ca-key"):
            made = self.folder / f"development-network-{name}.pem"
            made.rename(self.folder / f"development-{name}.pem")
        for hosts in ((), ("laptop.local",)):
            self.assertNotIn("authority", self._ensure(*hosts))

    def _permitted(self) -> set[str]:
        """Names and networks of the CA's constraints."""
        [authority] = x509.load_pem_x509_certificates(self.files.authority.read_bytes())
        limits = authority.extensions.get_extension_for_class(x509.NameConstraints)
        self.assertTrue(limits.critical)
        return {str(one.value) for one in limits.value.permitted_subtrees or []}

    def test_verifies_by_openssl(self) -> None:
        """OpenSSL, which reads constraints by itself, takes the leaf of either CA."""
        for hosts in ((), ("laptop.local", "192.168.1.5")):
            self._ensure(*hosts)
            for purpose in (["-verify_hostname", "localhost"], ["-verify_ip", "127.0.0.1"]):
                command = ["openssl", "verify", "-x509_strict", "-CAfile"]
                command += [str(self.files.authority), "-attime", str(int(NOW.timestamp()))]
                done = subprocess.run(
                    [*command, *purpose, str(self.files.certificate)],
                    capture_output=True,
                    text=True,
                    check=False,
                )
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_keys_are_for_their_owner_from_the_start(self) -> None:
        """Key files have mode 600 whatever the mask, and nothing else is left in the folder."""
        before = os.umask(0)
        try:
            self._ensure()
        finally:
            os.umask(before)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in self.folder.iterdir()}
        self.assertEqual(
            modes,
            {
                "development-ca-key.pem": 0o600,
                "development-ca.pem": 0o644,
                "localhost-key.pem": 0o600,
                "localhost.pem": 0o644,
            },
        )
        self.assertEqual(stat.S_IMODE(self.folder.stat().st_mode), 0o700)

    def test_renewed_before_it_expires(self) -> None:
        """With less than thirty days left the certificate is made anew, by the same CA."""
        self._ensure()
        authority = self.files.authority.read_bytes()
        self.assertEqual(self._ensure(after=timedelta(days=59)), ())
        self.assertEqual(self._ensure(after=timedelta(days=61)), ("certificate",))
        self.assertEqual(self.files.authority.read_bytes(), authority)
        leaf = read_pair(self.files.certificate, self.files.key).leaf
        self.assertEqual((leaf.not_valid_after_utc - NOW).days, 61 + 90)

    def test_authority_is_renewed_too(self) -> None:
        """A CA that is about to expire takes its certificate with it."""
        self._ensure()
        self.assertEqual(self._ensure(after=timedelta(days=3600)), ("authority", "certificate"))

    def test_other_names(self) -> None:
        """A host that is added, or taken away, makes another certificate."""
        self._ensure()
        self.assertEqual(self._ensure("chat.localhost"), ("certificate",))
        self.assertEqual(self._ensure("chat.localhost", "localhost"), ())
        self.assertEqual(self._ensure(), ("certificate",))

    def test_one_authority_for_many_folders(self) -> None:
        """Two projects with one CA have certificates of their own, and keys for the owner only."""
        shared = self.folder.parent / "data" / "takotwist"
        made = [
            ensure_development_certificate(self.folder.parent / name, (), NOW, shared)
            for name in ("one", "two")
        ]
        self.assertEqual(
            [one.made for one in made], [("authority", "certificate"), ("certificate",)]
        )
        [authority] = x509.load_pem_x509_certificates(made[0].authority.read_bytes())
        for one in made:
            read_pair(one.certificate, one.key).leaf.verify_directly_issued_by(authority)
        self.assertNotEqual(made[0].key.read_bytes(), made[1].key.read_bytes())
        self.assertEqual(derive.AUTHORITY_KEY, AUTHORITY_KEY)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in shared.iterdir()}
        self.assertEqual(modes, {"development-ca-key.pem": 0o600, "development-ca.pem": 0o644})
        self.assertEqual(stat.S_IMODE(shared.stat().st_mode), 0o700)

    def test_two_authorities_have_two_names(self) -> None:
        """Stores that go by the subject alone tell two CAs of one machine apart."""
        self._ensure()
        other = ensure_development_certificate(self.folder.parent / "other", (), NOW)
        subjects = {
            x509.load_pem_x509_certificate(one.authority.read_bytes()).subject.rfc4514_string()
            for one in (self.files, other)
        }
        self.assertEqual(len(subjects), 2)

    def test_key_that_may_not_be_read(self) -> None:
        """A CA of somebody else is not replaced by one that nobody trusts."""
        self._ensure()
        before = self.files.authority.read_bytes()
        key = self.folder / AUTHORITY_KEY
        key.unlink()
        key.mkdir()
        error = self.assertRaises(ConfigError, self._ensure)
        self.assertIn("cannot hold the development certificate: Is a directory", str(error))
        self.assertEqual(self.files.authority.read_bytes(), before)

    def test_broken_files(self) -> None:
        """What was cut short by a full disk, or mixed up, is made anew."""
        self._ensure()
        self.files.key.write_bytes(b"")
        self.assertEqual(self._ensure(), ("certificate",))
        self.files.authority.unlink()
        self.assertEqual(self._ensure(), ("authority", "certificate"))

    def test_leftover_of_a_crash(self) -> None:
        """A half-written new file of an earlier start is in nobody's way."""
        self.folder.mkdir(parents=True)
        (self.folder / "localhost-key.pem.new").write_bytes(b"half")
        self.assertEqual(self._ensure(), ("authority", "certificate"))

    def test_shared_folder_that_cannot_be_made(self) -> None:
        """What is wrong with the folder of the CA is told by that folder's key."""
        self.folder.parent.write_text("")
        with self.assertRaises(ConfigError) as raised:
            shared = self.folder.parent / "data"
            ensure_development_certificate(Path(self.mktemp()), (), NOW, shared)
        self.assertEqual(raised.exception.key, "tls.development_ca")

    def test_folder_that_cannot_be_made(self) -> None:
        """A file in the place of the folder is told by its name."""
        Path(self.folder.parent).write_text("")
        error = self.assertRaises(ConfigError, self._ensure)
        self.assertIn("cannot hold the development certificate", str(error))
        self.assertIn(str(self.folder.parent), str(error))
