"""Keys of tokens, and the check of a signature."""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey
from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.token_keys import (
    MAX_KEYS,
    MAX_TOKEN,
    Keys,
    TokenHead,
    UnusableKey,
    VerificationKey,
    candidates,
    checked_payload,
    public_key,
    read_head,
    read_jwks,
    read_key_file,
    secret_key,
)
from takotwist.errors import ConfigError, VerifyRejected
from tests.adapters import token_vectors as rfc

#: All that the other library is to take.
ALGORITHMS = ["HS256", "RS256", "ES256", "EdDSA"]


def _unpadded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def jwks(*keys: dict[str, Any]) -> bytes:
    """A set."""
    return json.dumps({"keys": keys}).encode()


def forge(head: dict[str, Any], secret: bytes) -> str:
    """A token that is signed by HMAC whatever its head says."""
    parts = [urlsafe_b64encode(one).rstrip(b"=") for one in (json.dumps(head).encode(), b"{}")]
    signed = b".".join(parts)
    signature = hmac.digest(secret, signed, "sha256")
    return (signed + b"." + urlsafe_b64encode(signature).rstrip(b"=")).decode()


def payload_of(token: str, keys: Keys) -> bytes | None:
    """As the authorizer reads it."""
    head = read_head(token)
    return checked_payload(token, head, candidates(keys, head))


HS256_KEY = VerificationKey("HS256", _unpadded(rfc.HS256_KEY))
PUBLIC = read_jwks(jwks(rfc.RS256_JWK, rfc.ES256_JWK, rfc.EDDSA_JWK))[0]


class VectorTests(SynchronousTestCase):
    """The examples of RFC 7515 and RFC 8037."""

    def test_signed(self) -> None:
        """Each is read by its key, and by no other."""
        keys = (HS256_KEY, *PUBLIC)
        for token, payload in (
            (rfc.HS256, rfc.PAYLOAD),
            (rfc.RS256, rfc.PAYLOAD),
            (rfc.ES256, rfc.PAYLOAD),
            (rfc.EDDSA, rfc.EDDSA_PAYLOAD),
        ):
            self.assertEqual(payload_of(token, keys), payload)
            fit = candidates(keys, read_head(token))
            self.assertEqual(len(fit), 1)
            self.assertIsNone(payload_of(token, [one for one in keys if one is not fit[0]]))

    def test_altered(self) -> None:
        """One bit of payload or signature makes it worthless."""
        for token in (rfc.HS256, rfc.RS256, rfc.ES256, rfc.EDDSA):
            head, payload, signature = token.split(".")
            for altered in (
                f"{head}.A{payload[1:]}.{signature}",
                f"{head}.{payload}.A{signature[1:]}",
            ):
                self.assertIsNone(payload_of(altered, (HS256_KEY, *PUBLIC)))

    def test_unsecured(self) -> None:
        """Without a signature there is no key that it could be by."""
        self.assertIsNone(payload_of(rfc.UNSECURED, (HS256_KEY, *PUBLIC)))

    def test_critical(self) -> None:
        """What demands an extension that is not known is not read."""
        self.assertRaises(VerifyRejected, read_head, rfc.CRITICAL)


class ConfusionTests(SynchronousTestCase):
    """A token cannot say what a key is for."""

    def test_public_key_as_secret(self) -> None:
        """HS256 by the bytes of a public key, which everybody has, is by no key of ours."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
        for form in (Encoding.PEM, Encoding.DER):
            secret = key.public_bytes(form, PublicFormat.SubjectPublicKeyInfo)
            forged = forge({"alg": "HS256", "kid": "k"}, secret)
            self.assertRaises(VerifyRejected, payload_of, forged, [public_key(key, "k")])
            self.assertIsNone(payload_of(forge({"alg": "HS256"}, secret), [public_key(key)]))

    def test_key_in_the_head(self) -> None:
        """A key, or an address of one, that comes with a token is not looked at."""
        own = {"kty": "oct", "k": rfc.HS256_KEY}
        head = {"alg": "HS256", "jwk": own, "jku": "https://evil.example/", "x5u": "file:///"}
        token = forge(head, _unpadded(rfc.HS256_KEY))
        self.assertEqual(payload_of(token, [HS256_KEY]), b"{}")
        self.assertIsNone(payload_of(token, [VerificationKey("HS256", b"x" * 32), *PUBLIC]))

    def test_kid(self) -> None:
        """A kid chooses among keys that have one; whatever is in it is a name and nothing else."""
        a, b = (VerificationKey("HS256", bytes([n]) * 32, kid) for n, kid in ((1, "a"), (2, "b")))
        bare = VerificationKey("HS256", b"3" * 32)
        for kid, found in (
            ("a", [a, bare]),
            ("../../dev/null", [bare]),
            ("' OR 1=1", [bare]),
            (None, [a, b, bare]),
        ):
            self.assertEqual(list(candidates([a, b, bare], TokenHead("HS256", kid))), found)

    def test_alias(self) -> None:
        """The new name of EdDSA with Ed25519 is understood."""
        key = ed25519.Ed25519PrivateKey.generate()
        head = urlsafe_b64encode(b'{"alg":"Ed25519"}').rstrip(b"=")
        signed = head + b"." + urlsafe_b64encode(b"{}").rstrip(b"=")
        token = (signed + b"." + urlsafe_b64encode(key.sign(signed)).rstrip(b"=")).decode()
        self.assertEqual(payload_of(token, [public_key(key.public_key())]), b"{}")


class JudgeTests(SynchronousTestCase):
    """The same by another library."""

    def setUp(self) -> None:
        self.theirs = KeySet(
            [
                ECKey.generate_key("P-256", {"kid": "k0"}),
                OKPKey.generate_key("Ed25519", {"kid": "k1"}),
                RSAKey.generate_key(2048, {"kid": "k2"}),
            ]
        )
        ours = self.theirs.as_dict(private=False)
        self.keys, wrong = read_jwks(json.dumps(ours).encode())
        self.assertEqual((len(self.keys), wrong), (3, []))

    def test_their_tokens(self) -> None:
        """What they sign with each key is read."""
        for number, algorithm in enumerate(("ES256", "EdDSA", "RS256")):
            head = {"alg": algorithm, "kid": f"k{number}"}
            token = jws.serialize_compact(head, b'{"a":1}', self.theirs, algorithms=ALGORITHMS)
            self.assertEqual(payload_of(token, self.keys), b'{"a":1}')

    @settings(max_examples=200)
    @given(st.data())
    def test_nothing_that_they_refuse(self, data: st.DataObject) -> None:
        """A token with a few characters changed is taken by us only where they take it."""
        key = OctKey.import_key(HS256_KEY.key)
        token = data.draw(st.sampled_from([rfc.HS256, rfc.UNSECURED, rfc.CRITICAL]))
        for _ in range(data.draw(st.integers(1, 3))):
            at = data.draw(st.integers(0, len(token) - 1))
            token = token[:at] + data.draw(st.text(max_size=2)) + token[at + 1 :]
        try:
            ours = payload_of(token, [HS256_KEY])
        except VerifyRejected:
            return
        if ours is not None:
            theirs = jws.deserialize_compact(token, key, algorithms=["HS256"])
            self.assertEqual(theirs.payload, ours)


class HeadTests(SynchronousTestCase):
    """What is no token at all."""

    def test_garbage(self) -> None:
        """Anything else is refused in one sentence, which does not repeat it."""
        for text in (
            "",
            ".",
            "..",
            "a.b.c",
            "é.é.é",
            "\udc80.a.b",
            "x" * (MAX_TOKEN + 1),
            "e30.e30.",
        ):
            refused = self.assertRaises(VerifyRejected, read_head, text)
            self.assertNotIn("xx", refused.sentence)

    def test_deep(self) -> None:
        """A head that would be nested without end is refused."""
        head = urlsafe_b64encode(b"[" * 5000).decode().rstrip("=")
        self.assertRaises(VerifyRejected, read_head, f"{head}.e30.")


class KeyTests(SynchronousTestCase):
    """Keys that are not taken."""

    def test_weak(self) -> None:
        """Keys that could be broken, of other kinds, or that make each check slow."""
        for key in (
            rsa.generate_private_key(public_exponent=65537, key_size=1024),
            ec.generate_private_key(ec.SECP384R1()),
            ec.generate_private_key(ec.SECP256K1()),
        ):
            self.assertRaises(UnusableKey, public_key, key.public_key())
        self.assertRaises(UnusableKey, secret_key, "x" * 31)
        self.assertEqual(secret_key("x" * 32).algorithm, "HS256")

    def test_set(self) -> None:
        """Of a set only keys that check signatures are taken, and the others are named."""
        keys, wrong = read_jwks(
            jwks(
                {"kty": "oct", "k": rfc.HS256_KEY},
                {**rfc.ES256_JWK, "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"},
                {**rfc.ES256_JWK, "use": "enc"},
                {**rfc.ES256_JWK, "key_ops": ["sign"]},
                {**rfc.ES256_JWK, "alg": "ES384"},
                {**rfc.RS256_JWK, "alg": "PS256"},
                {**rfc.ES256_JWK, "y": "AAAA"},
                {**rfc.ES256_JWK, "kid": 7},
                {"kty": "EC"},
                {"crv": "P-256"},
                7,  # type: ignore[arg-type]
                {**rfc.EDDSA_JWK, "alg": "Ed25519", "use": "sig", "kid": "good"},
            )
        )
        self.assertEqual([one.kid for one in keys], ["good"])
        self.assertEqual([one.split()[1] for one in wrong], [str(n) for n in range(1, 12)])
        for secret in (rfc.HS256_KEY, "jpsQnn"):
            self.assertNotIn(secret, " ".join(wrong))

    def test_no_set(self) -> None:
        """What is no set of keys is not one that has none."""
        for content in (b"", b"[]", b"{}", b'{"keys":{}}', b"<html>", jwks(*[{}] * (MAX_KEYS + 1))):
            self.assertRaises(UnusableKey, read_jwks, content)


class KeyFileTests(SynchronousTestCase):
    """Keys in a file."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def wrong(self, content: bytes) -> str:
        """The error for a file with this in it."""
        self.path.write_bytes(content)
        error = self.assertRaises(ConfigError, read_key_file, self.path, "tokens.keys_file")
        self.assertEqual(error.key, "tokens.keys_file")
        return error.reason

    def test_pem(self) -> None:
        """Public keys, several in one file."""
        private = ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()
        form = Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        self.path.write_bytes(b"\n".join(one.public_key().public_bytes(*form) for one in private))
        keys = read_key_file(self.path, "tokens.keys_file")
        self.assertEqual([one.algorithm for one in keys], ["ES256", "EdDSA"])

    def test_set(self) -> None:
        """A set is taken as well, and all of it must be good."""
        self.path.write_bytes(jwks(rfc.EDDSA_JWK))
        [key] = read_key_file(self.path, "tokens.keys_file")
        self.assertEqual(key.algorithm, "EdDSA")
        self.assertIn("key 2", self.wrong(jwks(rfc.EDDSA_JWK, {"kty": "oct", "k": "AAAA"})))

    def test_wrong(self) -> None:
        """A private key, a broken one, none, and a file that is none."""
        private = ec.generate_private_key(ec.SECP256R1())
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.assertIn("PUBLIC KEY is needed", self.wrong(pem))
        broken = b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"
        self.assertIn("number 1", self.wrong(broken))
        self.assertIn("no public key", self.wrong(b"hello"))
        self.assertIn("larger", self.wrong(b"#" * 300_000))
        self.path.unlink()
        error = self.assertRaises(ConfigError, read_key_file, self.path, "k")
        self.assertIn("No such file", error.reason)
