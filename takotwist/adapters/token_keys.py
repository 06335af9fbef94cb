"""Keys that tokens are signed by, and the check of a signature.

PyJWT does the cryptography.  Rules: which algorithm a key is for follows from the key and
never from the token, so no token can have a public key taken for a secret (RFC 8725,
section 3.1); what is wrong with a key is said without a part of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import jwt
import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import OKPAlgorithm

from takotwist.core.counted import counted
from takotwist.errors import ConfigError, VerifyRejected

#: Characters of a token; a header of this size is past what most servers take.
MAX_TOKEN = 8192

#: Bytes of a set of keys, keys of one, and how many of them are tried for a token that does
#: not say which one it is signed by.
MAX_SET_BYTES, MAX_KEYS, MAX_TRIED = 262_144, 100, 8

#: Bits of an RSA key: below, it can be broken; above, each check costs too much.
RSA_BITS = range(2048, 8193)

#: Bytes of a secret for HS256 (RFC 7518, section 3.2).
SECRET_BYTES = 32

#: Other names of an algorithm in tokens (RFC 9864, section 2.2).
_ALIASES = {"Ed25519": "EdDSA"}

_PEM = re.compile(rb"-----BEGIN ([A-Z ]+)-----.+?-----END \1-----", re.DOTALL)

_JWS = jwt.PyJWS(["HS256", "RS256", "ES256", "EdDSA"])
_JWS.register_algorithm("Ed25519", OKPAlgorithm())


class UnusableKey(ValueError):
    """A key cannot check tokens; says why."""


@attrs.frozen(slots=True)
class VerificationKey:
    """One key.

    :ivar algorithm: the one that it is for.
    :ivar kid: its name in tokens, or `None` where it has none.
    """

    algorithm: str
    key: Any = attrs.field(repr=False)
    kid: str | None = None


@attrs.frozen(slots=True)
class TokenHead:
    """Statement of a token about its signature; nothing of it has been checked."""

    algorithm: str
    kid: str | None


Keys = Sequence[VerificationKey]


def read_head(token: str) -> TokenHead:
    """The head of a token.

    :raises VerifyRejected: it is no signed token, or one that asks for more than is known here.
    """
    if len(token) > MAX_TOKEN:
        raise VerifyRejected("The token is too long.")
    try:
        head = _JWS.get_unverified_header(token)
    except (jwt.PyJWTError, UnicodeEncodeError, ValueError, RecursionError):
        # The last one: of a head with deep nesting, by PyJWT before 2.14.
        raise VerifyRejected("The credentials are no signed token (JWT).") from None
    algorithm, kid = head.get("alg"), head.get("kid")
    if not isinstance(algorithm, str) or "crit" in head or "b64" in head:
        raise VerifyRejected("The token has a head that is not understood here.")
    return TokenHead(algorithm, kid)


def candidates(keys: Keys, head: TokenHead) -> Keys:
    """The keys by which a token with this head may be signed.

    :raises VerifyRejected: the key that it names is for another algorithm.
    """
    algorithm = _ALIASES.get(head.algorithm, head.algorithm)
    named = [one for one in keys if None in (one.kid, head.kid) or one.kid == head.kid]
    fit = [one for one in named if one.algorithm == algorithm]
    if not fit and any(one.kid is not None and one.kid == head.kid for one in named):
        raise VerifyRejected("The token is signed by another algorithm than its key is for.")
    return fit[:MAX_TRIED]


def checked_payload(token: str, head: TokenHead, keys: Keys) -> bytes | None:
    """The payload of a token that one of `keys` has signed; `None` where none has."""
    for one in keys:
        try:
            payload: bytes = _JWS.decode(token, one.key, [head.algorithm])
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
        return payload
    return None


# reading keys


def secret_key(secret: str) -> VerificationKey:
    """The key for HS256 that this text is.

    :raises UnusableKey: it is too short.
    """
    key = secret.encode()
    if len(key) < SECRET_BYTES:
        raise UnusableKey(
            f"has a secret of {counted(len(key), 'byte')}; HS256 needs {SECRET_BYTES}"
            ": `tako keys new` makes one"
        )
    return VerificationKey("HS256", key)


def public_key(key: object, kid: str | None = None) -> VerificationKey:
    """The key with the algorithm that it is for.

    :raises UnusableKey: it is for none of ours.
    """
    match key:
        case rsa.RSAPublicKey():
            if key.key_size not in RSA_BITS:
                raise UnusableKey(
                    f"is an RSA key of {key.key_size} bits; {RSA_BITS.start} to"
                    f" {RSA_BITS.stop - 1} are taken"
                )
            return VerificationKey("RS256", key, kid)
        case ec.EllipticCurvePublicKey() if isinstance(key.curve, ec.SECP256R1):
            return VerificationKey("ES256", key, kid)
        case ed25519.Ed25519PublicKey():
            return VerificationKey("EdDSA", key, kid)
    raise UnusableKey("is neither RSA, nor ECDSA on P-256, nor Ed25519")


def read_jwks(content: bytes) -> tuple[Keys, list[str]]:
    """The keys of a JSON Web Key Set (RFC 7517).

    Secrets and private keys in one are passed over: whoever could read the set could sign.

    :return: the keys that can check tokens, and what is wrong with each of the others.
    :raises UnusableKey: it is no set.
    """
    try:
        said: object = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        said = None
    several = said.get("keys") if isinstance(said, dict) else None
    if not isinstance(several, list):
        raise UnusableKey('is no JSON Web Key Set: {"keys": [...]}')
    if len(several) > MAX_KEYS:
        raise UnusableKey(f"has {len(several)} keys; {MAX_KEYS} are taken")
    found, wrong = [], []
    for number, one in enumerate(several, 1):
        try:
            found.append(_jwk(one))
        except UnusableKey as bad:
            wrong.append(f"key {number} {bad}")
    return tuple(found), wrong


def _jwk(said: object) -> VerificationKey:
    if not isinstance(said, dict):
        raise UnusableKey("is no object")
    if said.get("kty") == "oct" or "d" in said:
        raise UnusableKey("is secret, and everybody may read this set")
    if said.get("use", "sig") != "sig" or "verify" not in said.get("key_ops", ["verify"]):
        raise UnusableKey("is not for signatures")
    kid = said.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise UnusableKey("has a kid that is no text")
    try:
        # By its type alone: what `alg` says is compared below.
        bare = {name: value for name, value in said.items() if name != "alg"}
        key = public_key(jwt.PyJWK.from_dict(bare).key, kid)
    except UnusableKey:
        raise
    except Exception:
        # PyJWT's words have the key in them.
        raise UnusableKey("cannot be read") from None
    algorithm = said.get("alg", key.algorithm)
    if _ALIASES.get(algorithm, algorithm) != key.algorithm:
        raise UnusableKey("is for an algorithm that is not taken")
    return key


def read_key_file(path: Path, setting: str) -> Keys:
    """The keys of a file: PEM public keys and certificates, or a JSON Web Key Set.

    :param setting: the key of the configuration, for the error.
    :raises ConfigError: there are none, or one cannot be used.
    """

    def wrong(reason: str) -> ConfigError:
        return ConfigError(f"names {path}, which {reason}", key=setting)

    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_SET_BYTES + 1)
    except OSError as failure:
        raise wrong(f"cannot be read: {failure.strerror}") from None
    if len(content) > MAX_SET_BYTES:
        raise wrong("is larger than a file of keys is")
    try:
        if content.lstrip().startswith(b"{"):
            keys, unusable = read_jwks(content)
            if unusable:
                raise UnusableKey(f"has what cannot check tokens: {'; '.join(unusable)}")
        else:
            keys = tuple(_pem_keys(_PEM.finditer(content)))
    except UnusableKey as bad:
        raise wrong(str(bad)) from None
    if not keys:
        raise wrong("holds no public key in PEM form, and no JSON Web Key Set")
    return keys


def _pem_keys(found: Iterable[re.Match[bytes]]) -> Iterator[VerificationKey]:
    for number, one in enumerate(found, 1):
        label, pem = one.group(1), one.group(0)
        if label not in (b"CERTIFICATE", b"PUBLIC KEY"):
            raise UnusableKey(f"has a {label.decode()}, number {number}: PUBLIC KEY is needed")
        try:
            key: object
            if label == b"CERTIFICATE":
                key = x509.load_pem_x509_certificate(pem).public_key()
            else:
                key = load_pem_public_key(pem)
        except (ValueError, UnsupportedAlgorithm):
            raise UnusableKey(f"has a key, number {number}, that cannot be read") from None
        try:
            yield public_key(key)
        except UnusableKey as bad:
            raise UnusableKey(f"has a key, number {number}, that {bad}") from None
