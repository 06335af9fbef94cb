"""Webhooks as they leave: bodies and signatures, in two forms.

By the Standard Webhooks form the signature is over id, time and body, so that none of them can
be changed or sent again later.  By Pusher's form it is over the body alone, as its libraries
read it.  Pure: the time is an argument.
"""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256

import attrs
import msgspec

SECRET_PREFIX = "whsec_"

#: Bytes of a secret.
LEAST_SECRET, MOST_SECRET = 24, 64


def read_secret(text: str) -> bytes:
    """The bytes of a secret, ``whsec_`` and base64.

    :raises ValueError: it is none; says what it must be.
    """
    try:
        secret = b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except NotBase64:
        secret = b""
    if not text.startswith(SECRET_PREFIX) or not LEAST_SECRET <= len(secret) <= MOST_SECRET:
        raise ValueError(
            f"must be {SECRET_PREFIX} and {LEAST_SECRET} to {MOST_SECRET} bytes in base64"
        )
    return secret


@attrs.frozen(slots=True)
class Happening:
    """One event, as it stands in the outbox.

    :ivar id: of its message in the log, which is a time in microseconds.
    :ivar type: such as ``topic.occupied``.
    :ivar data: one JSON value.
    """

    id: int
    type: str
    data: bytes


def standard(
    secrets: tuple[bytes, ...], happening: Happening, now: float
) -> tuple[bytes, Mapping[str, str]]:
    """Body and headers of a request by the Standard Webhooks form.

    :param secrets: several while one is exchanged for another; each signs.
    :param now: unix time in seconds.
    """
    at = datetime.fromtimestamp(happening.id / 1_000_000, UTC).isoformat(timespec="milliseconds")
    body = b'{"type":%b,"timestamp":%b,"data":%b}' % (
        msgspec.json.encode(happening.type),
        msgspec.json.encode(at.replace("+00:00", "Z")),
        happening.data,
    )
    name, stamp = f"msg_{happening.id}", str(int(now))
    signed = b"%b.%b.%b" % (name.encode(), stamp.encode(), body)
    signatures = " ".join(
        "v1," + b64encode(hmac.digest(secret, signed, sha256)).decode() for secret in secrets
    )
    return body, {
        "webhook-id": name,
        "webhook-timestamp": stamp,
        "webhook-signature": signatures,
    }


def of_pusher(key: str, secret: str, happening: Happening) -> tuple[bytes, Mapping[str, str]]:
    """Body and headers of a request by Pusher's form; `data` is an object."""
    rest = happening.data.removeprefix(b"{")
    body = b'{"time_ms":%d,"events":[{"name":%b%b%b]}' % (
        happening.id // 1000,
        msgspec.json.encode(happening.type),
        b"" if rest == b"}" else b",",
        rest,
    )
    signature = hmac.new(secret.encode(), body, sha256).hexdigest()
    return body, {"X-Pusher-Key": key, "X-Pusher-Signature": signature}
