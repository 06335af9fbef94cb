"""A development CA in the stores of real tools: certutil, and update-ca-certificates."""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

from cryptography import x509
from twisted.trial.unittest import SynchronousTestCase

from takotwist.tls.development_ca import ensure_development_certificate
from takotwist.tls.trust_stores import NssStore, SystemStore, TrustFailed, nss_stores, run


class StoreTestCase(SynchronousTestCase):
    """Two CAs, each of a folder of its own."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.made = [
            ensure_development_certificate(self.folder / name, (), datetime.now(UTC))
            for name in ("old", "new")
        ]
        self.old, self.new = (one.authority for one in self.made)


class NssTests(StoreTestCase):
    """A browser's database."""

    def setUp(self) -> None:
        super().setUp()
        self.store = NssStore(self.folder / "nssdb")

    def test_beside_each_other(self) -> None:
        """Several CAs are trusted, each once, for servers only, and none takes another's place."""
        self.assertFalse(self.store.has(self.old))
        for authority in (self.old, self.new, self.new, self.old):
            self.store.add(authority)
        names = [NssStore.name_of(one) for one in (self.old, self.new)]
        self.assertEqual(sorted(self.store.ours()), sorted(names))
        for name, authority in zip(names, (self.old, self.new), strict=True):
            listed = subprocess.run(
                ["certutil", "-L", "-n", name, "-a", "-d", self.store.title],
                capture_output=True,
                check=True,
            )
            self.assertEqual(
                x509.load_pem_x509_certificate(listed.stdout),
                x509.load_pem_x509_certificate(authority.read_bytes()),
            )

    def test_removed(self) -> None:
        """What is removed is the one and not the other; a second time there is nothing to do."""
        self.store.add(self.old)
        self.store.add(self.new)
        self.assertEqual([self.store.remove(self.old) for _ in range(2)], [True, False])
        self.assertEqual([self.store.has(one) for one in (self.old, self.new)], [False, True])

    def test_nothing_there(self) -> None:
        """A database that is not there has none, and is not made by looking."""
        self.assertFalse(self.store.remove(self.old))
        self.assertFalse(self.store.folder.exists())

    def test_without_certutil(self) -> None:
        """The package that has it is named, and no folder is left behind."""
        with patch.dict(os.environ, PATH="/nowhere"):
            failed = self.assertRaises(TrustFailed, self.store.add, self.old)
        self.assertIn("libnss3-tools", str(failed))
        self.assertFalse(self.store.folder.exists())

    def test_browsers_of_a_user(self) -> None:
        """Chrome's database always, those of Firefox and snaps where they are."""
        home = self.folder / "home"
        for place in (
            ".mozilla/firefox/a.default",
            ".mozilla/firefox/b.none",
            "snap/chromium/current/.pki/nssdb",
        ):
            (home / place).mkdir(parents=True)
            if not place.endswith(".none"):
                (home / place / "cert9.db").touch()
        found = [str(one.folder.relative_to(home)) for one in nss_stores(home)]
        self.assertEqual(
            found,
            [".pki/nssdb", "snap/chromium/current/.pki/nssdb", ".mozilla/firefox/a.default"],
        )


class SystemTests(StoreTestCase):
    """Debian's own program, in folders of the test."""

    def setUp(self) -> None:
        super().setUp()
        if not shutil.which("update-ca-certificates", path=os.defpath + ":/usr/sbin"):
            self.skipTest("update-ca-certificates is Debian's")
        local, etc, hooks = (self.folder / name for name in ("local", "etc", "hooks"))
        for one in (local, etc, hooks):
            one.mkdir()
        (self.folder / "conf").touch()
        shutil.copy(self.old, local / "there-before.crt")
        options = ["--localcertsdir", local, "--etccertsdir", etc, "--hooksdir", hooks]
        options += ["--certsconf", self.folder / "conf", "--certsdir", hooks]
        self.store = SystemStore(local, [str(one) for one in options])
        self.bundle = etc / "ca-certificates.crt"

    def verified(self) -> list[bool]:
        """Whether what the system trusts verifies the certificate of each CA."""
        return [
            subprocess.run(
                ["openssl", "verify", "-CAfile", self.bundle, "-no-CApath", one.certificate],
                capture_output=True,
                check=False,
            ).returncode
            == 0
            for one in self.made
        ]

    def test_added_and_removed(self) -> None:
        """OpenSSL trusts it by the system's bundle after the one, and no more after the other."""
        for command in self.store.add_commands(self.new):
            run(command)
        self.assertTrue(self.store.has(self.new))
        self.assertEqual(self.verified(), [True, True])
        for command in self.store.remove_commands(self.new):
            run(command)
        self.assertFalse(self.store.has(self.new))
        self.assertEqual(self.verified(), [True, False])

    def test_by_sudo(self) -> None:
        """Whoever may not write there is asked by sudo, in each command that is shown."""
        with patch("os.access", side_effect=lambda path, mode: mode != os.W_OK):
            commands = [*self.store.add_commands(self.new), *self.store.remove_commands(self.new)]
        self.assertEqual({one[0] for one in commands}, {"sudo"})

    def test_elsewhere(self) -> None:
        """A system without such a store is told what else to do."""
        nowhere = SystemStore(self.folder / "nowhere")
        failed = self.assertRaises(TrustFailed, nowhere.add_commands, self.new)
        self.assertIn("ca-certificates", str(failed))

    def test_failure(self) -> None:
        """A command that fails is named; one that is not there too."""
        for command in (["false"], [str(self.folder / "nothing")]):
            failed = self.assertRaises(TrustFailed, run, command)
            self.assertIn(command[0], str(failed))
