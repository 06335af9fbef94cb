"""The folder that processes share."""

from __future__ import annotations

import json
import os
import stat
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from twisted.trial.unittest import SynchronousTestCase

from takotwist.errors import ConfigError
from takotwist.tls.acme.folder import AcmeFolder
from takotwist.tls.acme.schedule import ASKED_PAUSE, Record, may_try
from tests.tls.acme.certificates import NOW, T, signed

NAMES = ("chat.example.com", "www.example.com")
DIRECTORY = "https://ca.example/dir"


class FolderTests(SynchronousTestCase):
    """One folder."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute()
        self.folder = AcmeFolder(self.path, DIRECTORY, NAMES)
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        self.folder.prepare(NOW)

    def check_private(self) -> None:
        """Nobody else reads anything, and no half of a file is left."""
        for path in (self.path, *self.path.rglob("*")):
            mode = stat.S_IMODE(path.stat().st_mode)
            self.assertEqual(mode, 0o700 if path.is_dir() else 0o600, path)
            self.assertFalse(path.name.startswith("."), path)

    def test_begins(self) -> None:
        """There is a certificate for the names from the start, and a real one stays."""
        pair = self.folder.pair()
        self.assertEqual(pair.names, NAMES)
        self.assertEqual(pair.leaf.issuer, pair.leaf.subject)
        real = signed(NAMES)
        self.folder.write_certificate(real)
        self.folder.prepare(NOW)
        self.assertEqual(self.folder.pair().leaf, real.leaf)
        self.check_private()

    def test_broken_certificate(self) -> None:
        """A file that cannot be used is replaced by one to begin with."""
        self.folder.certificate.write_text("no")
        self.assertRaises(ConfigError, self.folder.pair)
        self.folder.prepare(NOW)
        self.assertEqual(self.folder.pair().names, NAMES)

    def test_open_folder(self) -> None:
        """A folder that others may look into is closed."""
        self.path.chmod(0o755)
        self.folder.prepare(NOW)
        self.check_private()

    def test_no_folder(self) -> None:
        """Where none can be, the error names it."""
        taken = Path(self.mktemp())
        taken.write_text("")
        error = self.assertRaises(
            ConfigError, AcmeFolder(taken / "x", DIRECTORY, NAMES).prepare, NOW
        )
        self.assertEqual(error.key, "tls.acme_folder")

    def test_failed_write(self) -> None:
        """A write that fails leaves what was there, and nothing beside it."""
        before = self.folder.pair()
        self.patch(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(28, "full")))
        self.assertRaises(OSError, self.folder.write_certificate, signed(NAMES))
        self.assertEqual(self.folder.pair().leaf, before.leaf)
        self.check_private()

    def test_lock(self) -> None:
        """One has it at a time, and it is free again after whatever happens."""
        other = AcmeFolder(self.path, DIRECTORY, NAMES)
        with self.folder.locked() as mine:
            self.assertTrue(mine)
            with other.locked() as theirs:
                self.assertFalse(theirs)
        with self.assertRaises(ZeroDivisionError), self.folder.locked():
            raise ZeroDivisionError
        with other.locked() as theirs:
            self.assertTrue(theirs)

    def test_begins_beside_an_order(self) -> None:
        """A process need not wait for the order of another, which may wait for it to serve."""
        self.folder.certificate.unlink()
        with self.folder.locked():
            AcmeFolder(self.path, DIRECTORY, NAMES).prepare(NOW)
        self.assertEqual(self.folder.pair().names, NAMES)

    def test_record(self) -> None:
        """It is of one authority and its names; for others there is none."""
        record = Record().failed(T, 0, 0, "why")
        self.folder.write_record(record)
        self.assertEqual(self.folder.record(), record)
        self.assertEqual(AcmeFolder(self.path, DIRECTORY, NAMES[::-1]).record(), record)
        self.assertEqual(AcmeFolder(self.path, DIRECTORY, ("else.test",)).record(), Record())
        self.assertEqual(AcmeFolder(self.path, "https://other/", NAMES).record(), Record())
        strange = json.dumps({"for": [DIRECTORY, *NAMES], "record": {"next_try": float("nan")}})
        of_things = json.dumps({"for": [DIRECTORY, {}], "record": {}})
        broken_ones = ("", "[]", "{", '{"for": 7}', "\x00", "[" * 100_000, strange, of_things)
        for broken in broken_ones:
            (self.path / "record.json").write_text(broken)
            self.assertEqual(self.folder.record(), Record())
        self.check_private()

    def test_record_of_an_edited_list(self) -> None:
        """A list of names that is edited has no tries more: the authority counts by the name."""
        self.folder.write_record(Record().failed(T, 0, 0, "why"))
        edited = AcmeFolder(self.path, DIRECTORY, NAMES[:1])
        self.assertFalse(may_try(edited.record(), T + ASKED_PAUSE - 1, asked=True))
        self.assertTrue(may_try(edited.record(), T + ASKED_PAUSE))
        self.folder.write_record(Record().succeeded(T))
        self.assertEqual(edited.record(), Record())

    def test_account(self) -> None:
        """An account is with one authority."""
        self.assertEqual(self.folder.account(), {})
        self.folder.write_account({"kty": "EC"}, "https://ca.example/acct/1")
        self.assertEqual(self.folder.account()["uri"], "https://ca.example/acct/1")
        self.assertEqual(AcmeFolder(self.path, "https://other/", NAMES).account(), {})

    def test_http_answers(self) -> None:
        """A token's answer is there while it is open, and no other file can be asked for."""
        self.folder.answer_http("tok_-1", "tok_-1.print")
        self.assertEqual(self.folder.http_answer("tok_-1"), b"tok_-1.print")
        self.folder.answer_alpn(NAMES[0], "a.b", NOW)
        for token in (
            "",
            ".",
            "..",
            "../account.json",
            "../certificate.pem",
            f"{NAMES[0]}.pem",
            "x" * 300,
            "a/b",
            "a\x00",
            "tok_-2",
        ):
            self.assertIsNone(self.folder.http_answer(token), token)
        self.check_private()
        self.folder.forget_answers()
        self.assertIsNone(self.folder.http_answer("tok_-1"))
        self.assertIsNone(self.folder.alpn_answer(NAMES[0]))

    def test_alpn_answers(self) -> None:
        """The certificate that answers is for the name alone, and has the hash (RFC 8737)."""
        self.folder.answer_alpn(NAMES[0], "token.thumbprint", NOW)
        pair = self.folder.alpn_answer(NAMES[0])
        assert pair is not None
        self.assertEqual(pair.names, NAMES[:1])
        extension = pair.leaf.extensions.get_extension_for_oid(
            x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")
        )
        self.assertTrue(extension.critical)
        digest = sha256(b"token.thumbprint").digest()
        self.assertEqual(extension.value.value, b"\x04\x20" + digest)  # type: ignore[attr-defined]
        for name in ("", "..", "../certificate", "www.example.com", "x" * 300, "a\x00.b"):
            self.assertIsNone(self.folder.alpn_answer(name), name)
