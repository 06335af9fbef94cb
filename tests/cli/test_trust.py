"""`tako trust`: the development CA, and how to trust it."""

from __future__ import annotations

import os

from tests.cli.command import CommandTestCase

#: Stands for certutil: notes how it was called, and knows no certificate yet.
_CERTUTIL = """#!/bin/sh
echo "$@" >> "$CERTUTIL_CALLS"
[ "$1" != "-L" ]
"""


class TrustTests(CommandTestCase):
    """What is printed, and what is done when asked for."""

    def test_text(self) -> None:
        """The CA is made if need be, and its path stands in every line to copy."""
        done = self.run_command("trust", "--state-dir", "s")
        self.assertEqual(done.exit_code, 0, done.output)
        authority = self.folder / "s/tls/development-ca.pem"
        self.assertTrue(authority.exists())
        self.assertIn(f"curl --cacert {authority} https://localhost", done.output)
        for system in ("Chrome", "Firefox", "Debian", "macOS", "update-ca-certificates"):
            self.assertIn(system, done.output)

    def test_nss(self) -> None:
        """certutil makes the database and adds the CA for servers only."""
        (self.folder / "bin").mkdir()
        self.write("bin/certutil", _CERTUTIL)
        os.chmod(self.folder / "bin/certutil", 0o755)
        done = self.run_command(
            "trust",
            "--nss",
            "--state-dir",
            "s",
            HOME=str(self.folder),
            PATH=f"{self.folder}/bin:{os.environ['PATH']}",
            CERTUTIL_CALLS=str(self.folder / "calls"),
        )
        self.assertEqual(done.exit_code, 0, done.output)
        made, asked, added = (self.folder / "calls").read_text().splitlines()
        database = f"-d sql:{self.folder}/.pki/nssdb"
        self.assertEqual(made, f"-N --empty-password {database}")
        self.assertTrue(asked.startswith("-L -n takotwist development CA"))
        self.assertEqual(
            added,
            "-A -t C,, -n takotwist development CA -i"
            f" {self.folder}/s/tls/development-ca.pem {database}",
        )

    def test_nss_without_certutil(self) -> None:
        """Where the program is missing, the package that has it is named."""
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
