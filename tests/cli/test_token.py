"""`tako token`: made, and revoked."""

from __future__ import annotations

import json
import time
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from takotwist.adapters.revocations import read_revocations
from tests.cli.command import CommandTestCase

SECRET = "a secret of more than thirty-two bytes".replace(" ", "-")

CONFIG = """
[tokens]
channels = ["chat"]
secrets_file = "secrets"
audience = "tako"
issuer = "me"
[channels.chat]
params = { roomId = "string" }
"""


class TokenTests(CommandTestCase):
    """In a folder whose channel takes tokens."""

    def setUp(self) -> None:
        super().setUp()
        self.write("tako.toml", CONFIG)
        self.write("secrets", f"{SECRET}\n")

    def made(self, *arguments: str, key: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        """Head and claims of a new token, read by another library."""
        done = self.run_command("token", "new", *arguments)
        self.assertEqual(done.exit_code, 0, done.output)
        key = key or OctKey.import_key(SECRET)
        read = jwt.decode(done.stdout.strip(), key, algorithms=["HS256", "ES256", "EdDSA"])
        return read.header, read.claims

    def test_made(self) -> None:
        """It says what the configuration demands, and what was asked for."""
        before = int(time.time())
        head, claims = self.made(
            "--subject",
            "ann",
            "--channel",
            "chat?roomId=a&roomId=b",
            "--publish",
            "--expires",
            "2h",
        )
        self.assertEqual(head["alg"], "HS256")
        self.assertEqual((claims["sub"], claims["aud"], claims["iss"]), ("ann", "tako", "me"))
        self.assertTrue(before <= claims["iat"] <= time.time())
        self.assertEqual(claims["exp"] - claims["iat"], 7200)
        operations = ["call", "connect", "history", "publish", "subscribe"]
        self.assertEqual(
            claims["channels"],
            [{"channel": "chat", "params": {"roomId": ["a", "b"]}, "operations": operations}],
        )

    def test_shortest(self) -> None:
        """Without more than a channel or function it is good for an hour, to read."""
        _, claims = self.made("--channel", "*", "--function", "send")
        self.assertEqual(claims["exp"] - claims["iat"], 3600)
        self.assertNotIn("sub", claims)
        self.assertEqual(claims["channels"], [{"channel": "*"}, {"function": "send"}])
        _, claims = self.made("--channel", "a", "--operation", "history", "--audience", "x")
        self.assertEqual(claims["channels"], [{"channel": "a", "operations": ["history"]}])
        self.assertEqual(claims["aud"], "x")

    def test_private_key(self) -> None:
        """A key of a file signs by the algorithm that it is for."""
        form = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(*form).decode()
        self.write("key.pem", pem)
        head, _ = self.made(
            "--channel", "a", "--key", "key.pem", "--kid", "k1", key=ECKey.import_key(pem)
        )
        self.assertEqual((head["alg"], head["kid"]), ("ES256", "k1"))
        pem = ed25519.Ed25519PrivateKey.generate().private_bytes(*form).decode()
        self.write("key.pem", pem)
        done = self.run_command("token", "new", "--channel", "a", "--key", "key.pem")
        self.assertEqual(done.exit_code, 0, done.output)

    def test_refused(self) -> None:
        """What cannot be made is one line, and no key is in it."""
        self.write("p384.pem", _pem(ec.generate_private_key(ec.SECP384R1())))
        self.write("bad.pem", "hello")
        for arguments, words in (
            ((), "--channel or --function"),
            (("--channel", "a", "--expires", "soon"), "15m, 12h or 30d"),
            (("--channel", "a", "--expires", "0"), "15m, 12h or 30d"),
            (("--channel", "a", "--key", "bad.pem"), "no private key in PEM form"),
            (("--channel", "a", "--key", "p384.pem"), "P-256"),
        ):
            done = self.run_command("token", "new", *arguments)
            self.assertNotEqual(done.exit_code, 0)
            self.assertIn(words, done.stderr)
            self.assertEqual(done.stdout, "")
        self.write("tako.toml", "")
        done = self.run_command("token", "new", "--channel", "a")
        self.assertIn("tokens.secrets_file", done.stderr)
        self.write("tako.toml", '[tokens]\nsecrets = ["too-short"]')
        done = self.run_command("token", "new", "--channel", "a")
        self.assertIn("HS256 needs 32", done.stderr)
        self.assertNotIn("too-short", done.stderr)

    def test_revoked(self) -> None:
        """A subject goes into the file that the server watches, made where it is missing."""
        before = int(time.time())
        done = self.run_command("token", "revoke", "ann")
        self.assertEqual(done.exit_code, 0, done.output)
        [(subject, at)] = read_revocations(self.folder / "state" / "revoked-tokens").items()
        self.assertEqual(subject, "ann")
        self.assertTrue(before <= at <= time.time())
        done = self.run_command("token", "revoke", "a\nb")
        self.assertEqual(done.exit_code, 1)
        self.assertIn("one line", done.stderr)

    def test_json(self) -> None:
        """It is one word on standard output, as a shell takes it."""
        done = self.run_command("token", "new", "--channel", "a")
        self.assertEqual(len(done.stdout.split()), 1)
        self.assertRaises(ValueError, json.loads, done.stdout)


def _pem(key: Any) -> str:
    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem.decode()
