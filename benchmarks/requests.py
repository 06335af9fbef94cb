"""The bytes that subscribers and publishers send, for servers that speak HTTP.

In them ``~PP:SSSSSSSS`` and ``TTTTTT`` stand for publisher, number and topic; the
generator replaces them in place, so everything has a fixed length.
"""

from __future__ import annotations

from collections.abc import Mapping

MARK = "~PP:SSSSSSSS"
TOPIC = "TTTTTT"

#: Bytes of a message's data, as the JSON string that it is.
DATA_BYTES = 200


def data() -> str:
    """One message's data: a JSON string."""
    return f'"{MARK}{"x" * (DATA_BYTES - len(MARK) - 2)}"'


def head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    """A request's head."""
    lines = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def get(target: str, headers: Mapping[str, str]) -> bytes:
    """A request for an event stream."""
    return head("GET", target, {"Accept": "text/event-stream", **headers})


def upgrade(target: str, headers: Mapping[str, str]) -> bytes:
    """A WebSocket handshake."""
    return head(
        "GET",
        target,
        {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            **headers,
        },
    )


def post(target: str, headers: Mapping[str, str], body: str) -> bytes:
    """A request with a body."""
    length = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    return head("POST", target, {**length, **headers}) + body.encode()


def frame(text: str) -> bytes:
    """A client's text frame, masked with zeros, which leaves the text to be replaced in."""
    length = len(text)
    size = (
        bytes([0x80 | length]) if length < 126 else bytes([0x80 | 126]) + length.to_bytes(2, "big")
    )
    return b"\x81" + size + b"\0\0\0\0" + text.encode()


def chunk(body: bytes) -> bytes:
    """One chunk of a request's body."""
    return b"%x\r\n%b\r\n" % (len(body), body)
