"""`tako trust`: the development CA, and how to trust it."""

from __future__ import annotations

import os
import shutil
import subprocess

from tests.cli.command import CommandTestCase

#: Stands for certutil: notes how it was called, makes a database, and lists one certificate of it.
_CERTUTIL = """#!/bin/sh
echo "$@" >> "$CERTUTIL_CALLS"
[ "$1" != "-N" ] || touch "${4#sql:}/cert9.db"
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
        self.assertRegex(done.output, r"/source/anchors/takotwist-[0-9a-f]{16}\.pem\n")
        self.assertIn("localhost, *.localhost, 127.0.0.1 and ::1 only", done.output)
        for system in ("Chrome", "Firefox", "Debian", "macOS", "trust --remove"):
            self.assertIn(system, done.output)

    def test_real_certutil(self) -> None:
        """Chrome and a Firefox have the CA after --nss, and neither has it after --remove."""
        assert shutil.which("certutil"), "install libnss3-tools"
        self.write("tako.toml", _CLOSED)
        home = self.folder / "home"
        profile = home / ".mozilla/firefox/abc.default"
        profile.mkdir(parents=True)
        subprocess.run(["certutil", "-N", "--empty-password", "-d", f"sql:{profile}"], check=True)

        def listed() -> list[bool]:
            return [
                "takotwist development CA"
                in subprocess.run(
                    ["certutil", "-L", "-d", f"sql:{database}"],
                    capture_output=True,
                    text=True,
                    check=True,
                ).stdout
                for database in (home / ".pki/nssdb", profile)
            ]

        done = self.run_command("trust", "--nss", HOME=str(home))
        self.assertEqual((done.exit_code, listed()), (0, [True, True]), done.output)
        self.assertIn("home/.pki/nssdb has 'takotwist development CA", done.output)
        for _ in range(2):
            done = self.run_command("trust", "--remove", "--nss", HOME=str(home))
            self.assertEqual((done.exit_code, listed()), (0, [False, False]), done.output)
            self.assertIn("is not trusted by your browsers", done.output)

    def test_remove_makes_nothing(self) -> None:
        """Where there is no CA, none is made to be removed."""
        self.write("tako.toml", _CLOSED)
        done = self.run_command("trust", "--remove", HOME=str(self.folder))
        self.assertEqual(done.exit_code, 0, done.output)
        self.assertIn("There is no development CA in", done.output)
        self.assertFalse((self.folder / "data").exists())

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
        made, asked, added, *_ = (self.folder / "calls").read_text().splitlines()
        database = f"-d sql:{self.folder}/.pki/nssdb"
        self.assertEqual(made, f"-N --empty-password {database}")
        self.assertEqual(asked, f"-L {database}")
        authority = self.folder / ".local/share/takotwist/development-ca.pem"
        self.assertRegex(
            added,
            f"^-A -t C,, -n takotwist development CA [0-9a-f]{{16}} -i {authority} {database}$",
        )
        self.assertIn("It goes on trusting 'takotwist development CA'", done.output)

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
