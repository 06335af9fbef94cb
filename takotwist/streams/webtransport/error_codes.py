"""Application error codes of WebTransport streams, within HTTP/3's own range.

draft-ietf-webtrans-http3, section "Resetting Data Streams": the 32-bit codes
are spread over a reserved range of HTTP/3 codes so that every 31st, which
HTTP/3 reserves for greasing, stays free.
"""

from __future__ import annotations

FIRST = 0x52E4A40FA8DB
LAST = 0x52E5AC983162

#: A stream or datagram came for a session that did not come in time.
BUFFERED_STREAM_REJECTED = 0x3994BD84
#: The session that the stream belonged to is over.
SESSION_GONE = 0x170D7B68

MAX_CODE = 2**32 - 1


def to_http3(code: int) -> int:
    """The HTTP/3 code that stands for an application's `code`, 0 to 2**32 - 1."""
    if not 0 <= code <= MAX_CODE:
        raise ValueError(f"an application error code is 0 to {MAX_CODE}, not {code}")
    return FIRST + code + code // 0x1E


def from_http3(code: int) -> int | None:
    """The application's code, or `None` where `code` is not one."""
    if not FIRST <= code <= LAST or (code - 0x21) % 0x1F == 0:
        return None
    shifted = code - FIRST
    return shifted - shifted // 0x1F
