"""`tako trust`: the development CA, and how to trust it."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime

from cryptography import x509

from takotwist.cli.trust import install_in_nss
from takotwist.tls.development_ca import ensure_development_certificate
from tests.cli.command import CommandTestCase

#: Stands for certutil: notes how it was called, and lists one certificate that is there.
_CERTUTIL = """#!/bin/sh
echo "$@" >> "$CERTUTIL_CALLS"
[ "$1" != "-L" ] || echo "takotwist development CA                                     C,,"
"""

#: Nobody listens there, so that no server of this machine is taken for ours.
_CLOSED = '[tls]\nlisten = ["tcp:1:interface=127.0.0.1"]\n'


class TrustTests(CommandTestCase):
    """What is printed, and what is done when asked for."""

    def test_text(self) -> None:
        """The CA is made if need be, and its path stands in every line to copy."""
        self.write("tako.toml", _CLOSED)
        done = self.run_command("trust", "--state-dir", "s")
        self.assertEqual(done.exit_code, 0, done.output)
        authority = self.folder / "data/takotwist/development-ca.pem"
        self.assertTrue(authority.exists())
        self.assertIn(f"curl --cacert {authority} https://localhost", done.output)
        self.assertRegex(done.output, r"/ca-certificates/takotwist-[0-9a-f]{16}\.crt\n")
        for system in ("Chrome", "Firefox", "Debian", "macOS", "update-ca-certificates"):
            self.assertIn(system, done.output)

    def test_real_database(self) -> None:
        """Several CAs are trusted beside each other, each once; an old name is left alone."""
        database = self.folder / "nssdb"
        old, new = (
            ensure_development_certificate(self.folder / name, (), datetime.now(UTC)).authority
            for name in ("old", "new")
        )
        self.assertEqual(install_in_nss(old, database), [])
        [before] = install_in_nss(new, database)
        self.assertEqual(install_in_nss(new, database), [before])
        [after] = install_in_nss(old, database)
        self.assertNotEqual(before, after)
        for name, authority in ((before, old), (after, new)):
            listed = subprocess.run(
                ["certutil", "-L", "-n", name, "-a", "-d", f"sql:{database}"],
                capture_output=True,
                check=True,
            )
            self.assertEqual(
                x509.load_pem_x509_certificate(listed.stdout),
                x509.load_pem_x509_certificate(authority.read_bytes()),
            )

    def test_nss(self) -> None:
        """certutil makes the database and adds the CA for servers only; none is taken out."""
        self.write("tako.toml", _CLOSED)
        (self.folder / "bin").mkdir()
        self.write("bin/certutil", _CERTUTIL)
        os.chmod(self.folder / "bin/certutil", 0o755)
        done = self.run_command(
            "trust",
            "--nss",
            "--state-dir",
            "s",
            XDG_DATA_HOME="",
            HOME=str(self.folder),
            PATH=f"{self.folder}/bin:{os.environ['PATH']}",
            CERTUTIL_CALLS=str(self.folder / "calls"),
        )
        self.assertEqual(done.exit_code, 0, done.output)
        made, asked, added = (self.folder / "calls").read_text().splitlines()
        database = f"-d sql:{self.folder}/.pki/nssdb"
        self.assertEqual(made, f"-N --empty-password {database}")
        self.assertEqual(asked, f"-L {database}")
        authority = self.folder / ".local/share/takotwist/development-ca.pem"
        self.assertRegex(
            added,
            f"^-A -t C,, -n takotwist development CA [0-9a-f]{{16}} -i {authority} {database}$",
        )
        self.assertIn("They go on trusting 'takotwist development CA'", done.output)

    def test_nss_without_certutil(self) -> None:
        """Where the program is missing, the package that has it is named."""
        self.write("tako.toml", _CLOSED)
        done = self.run_command("trust", "--nss", "--state-dir", "s", PATH="/nowhere")
        self.assertEqual(done.exit_code, 1)
        self.assertIn("libnss3-tools", done.output)

    def test_wrong_configuration(self) -> None:
        """A configuration that cannot be used ends it before anything is made."""
        self.write("tako.toml", '[tls]\nhosts = ["example.com"]')
        done = self.run_command("trust")
        self.assertEqual(done.exit_code, 1)
        self.assertIn("tls.hosts: item 1 must be a name under", done.output)
        self.assertFalse((self.folder / "state").exists())
