"""Signing of tokens: for `tako token`, and for tests.

Rule: the algorithm follows from the key, by the same list as in the check.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from takotwist.adapters.token_keys import public_key, secret_key
from takotwist.codecs.token_json import write_claims
from takotwist.core.token import Claims


def private_key(path: Path) -> Any:
    """The private key of a PEM file.

    :raises ValueError: it cannot be used; names the file.
    """
    try:
        return load_pem_private_key(path.read_bytes(), None)
    except TypeError:
        raise ValueError(f"{path} is encrypted") from None
    except OSError as failure:
        raise ValueError(f"{path} cannot be read: {failure.strerror}") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(f"{path} holds no private key in PEM form") from None


def sign_claims(claims: Claims, claim: str, key: Any, kid: str | None = None) -> str:
    """A signed token.

    :param claim: the name of the claim with the permissions.
    :param key: a private key, or the bytes of a secret.
    :raises ValueError: it is for none of the algorithms.
    """
    if isinstance(key, bytes):
        algorithm = secret_key(key.decode()).algorithm
    else:
        algorithm = public_key(key.public_key()).algorithm
    head = {} if kid is None else {"kid": kid}
    token: str = jwt.PyJWS().encode(write_claims(claims, claim), key, algorithm, head)
    return token
