"""Signatures of Pusher's: HMAC-SHA256 with the app's secret, in lower-case hexadecimal.

Rules: every comparison takes the same time whatever was sent; what is signed is what was sent,
byte for byte, and nothing that was read and printed again.
"""

from __future__ import annotations

import hmac
from hashlib import md5, sha256
from urllib.parse import unquote_to_bytes

#: So far may the clock of who asks be from ours, in seconds.
MAX_SKEW = 600


def sign(secret: str, text: str | bytes) -> str:
    """The signature of a text."""
    signed = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return hmac.new(secret.encode(), signed, sha256).hexdigest()


def matches(expected: str, given: object) -> bool:
    """`True` where what was given is the same, told in constant time."""
    return isinstance(given, str) and hmac.compare_digest(
        expected.encode(), given.encode("utf-8", "surrogatepass")
    )


def is_signed(key: str, secret: str, auth: object, text: str) -> bool:
    """`True` where `auth`, ``key:signature``, is the app's own for `text`."""
    return matches(f"{key}:{sign(secret, text)}", auth)


def of_channel(socket_id: str, channel: str, channel_data: str | None = None) -> str:
    """The signed text that lets a connection into a channel."""
    return f"{socket_id}:{channel}" + ("" if channel_data is None else f":{channel_data}")


def of_user(socket_id: str, user_data: str) -> str:
    """The signed text that ties a connection to a user."""
    return f"{socket_id}::user::{user_data}"


def of_request(method: bytes, path: bytes, fields: list[tuple[bytes, bytes]]) -> bytes:
    """The signed text of a request to the HTTP API.

    :param fields: of its query, but for the signature.
    """
    query = b"&".join(b"%b=%b" % field for field in sorted((k.lower(), v) for k, v in fields))
    return b"%b\n%b\n%b" % (method, path, query)


class Unsigned(Exception):
    """A request is not signed as it must be; says why."""


def raw_fields(query: bytes) -> list[tuple[bytes, bytes]]:
    """The fields of a query as they were sent."""
    parts = (one.partition(b"=") for one in query.split(b"&") if one)
    return [(name, value) for name, _, value in parts]


def check_request(
    secret: str, method: bytes, path: bytes, query: bytes, body: bytes, now: float
) -> None:
    """Check a request to the HTTP API.

    Libraries sign values as they are and send them percent-encoded or not, so both spellings
    count.  A signature is good for one of them.

    :param path: as it was sent, without what a proxy or the configuration puts before it.
    :param now: unix time in seconds.
    :raises Unsigned: it may not be answered.
    """
    fields = raw_fields(query)
    said = dict(fields)
    if said.get(b"auth_version") != b"1.0":
        raise Unsigned("auth_version must be 1.0.")
    stamp = said.get(b"auth_timestamp", b"")
    if not (stamp.isdigit() and len(stamp) <= 12) or abs(int(stamp) - now) > MAX_SKEW:
        raise Unsigned(f"auth_timestamp must be within {MAX_SKEW} seconds of the server's time.")
    digest = said.get(b"body_md5")
    if body or digest is not None:
        expected = md5(body, usedforsecurity=False).hexdigest()
        if not matches(expected, (digest or b"").decode("latin-1")):
            raise Unsigned("body_md5 must be the MD5 of the body.")
    given = said.get(b"auth_signature", b"").decode("latin-1")
    rest = [field for field in fields if field[0] != b"auth_signature"]
    plain = [(name, unquote_to_bytes(value)) for name, value in rest]
    good = [matches(sign(secret, of_request(method, path, one)), given) for one in (rest, plain)]
    if not any(good):
        raise Unsigned("auth_signature is not the signature of this request.")
