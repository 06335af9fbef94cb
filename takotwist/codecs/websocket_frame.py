"""WebSocket frames as a server sends them: whole, unmasked, uncompressed.

RFC 6455, section 5.2.  A frame is built once and the same bytes go to every
connection, which is why this does not pass through a connection's own encoder.
An uncompressed frame is right on a connection with permessage-deflate too.
"""

from __future__ import annotations

import struct

#: Longest payload of a control frame (RFC 6455, section 5.5).
MAX_CONTROL_PAYLOAD = 125

#: Codes that say how a connection ended and are never sent (RFC 6455, section 7.4.1).
NEVER_SENT = frozenset({1004, 1005, 1006, 1015})

_TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x81, 0x82, 0x88, 0x89, 0x8A


def _frame(first: int, payload: bytes) -> bytes:
    length = len(payload)
    if length < 126:
        return bytes((first, length)) + payload
    if length < 65536:
        return struct.pack("!BBH", first, 126, length) + payload
    return struct.pack("!BBQ", first, 127, length) + payload


def _control(first: int, payload: bytes) -> bytes:
    if len(payload) > MAX_CONTROL_PAYLOAD:
        raise ValueError(
            f"a control frame holds at most {MAX_CONTROL_PAYLOAD} bytes, not {len(payload)}"
        )
    return _frame(first, payload)


def text_frame(payload: bytes) -> bytes:
    """A whole text message.

    :param payload: UTF-8; it is the caller's promise that it is.
    """
    return _frame(_TEXT, payload)


def binary_frame(payload: bytes) -> bytes:
    """A whole binary message."""
    return _frame(_BINARY, payload)


def ping_frame(payload: bytes = b"") -> bytes:
    """:raises ValueError: when `payload` is longer than `MAX_CONTROL_PAYLOAD`."""
    return _control(_PING, payload)


def pong_frame(payload: bytes = b"") -> bytes:
    """:raises ValueError: when `payload` is longer than `MAX_CONTROL_PAYLOAD`."""
    return _control(_PONG, payload)


def close_reason(reason: str) -> bytes:
    """`reason` as UTF-8, cut at a character so that it fits beside a close code."""
    encoded = reason.encode("utf-8", "replace")
    return encoded[: MAX_CONTROL_PAYLOAD - 2].decode("utf-8", "ignore").encode()


def close_frame(code: int | None = None, reason: str = "") -> bytes:
    """A close frame.

    :param code: 1000 to 4999 without those that are never sent; `None` for an empty frame.
    :param reason: cut to the 123 bytes that fit.
    :raises ValueError: when `code` may not be sent.
    """
    if code is None:
        return _control(_CLOSE, b"")
    check_close_code(code)
    return _control(_CLOSE, struct.pack("!H", code) + close_reason(reason))


def check_close_code(code: int) -> None:
    """:raises ValueError: when `code` may not stand in a close frame (RFC 6455, section 7.4)."""
    if not 1000 <= code <= 4999 or code in NEVER_SENT:
        raise ValueError(f"{code} is no close code that may be sent")
