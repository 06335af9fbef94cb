"""Errors that end a WebTransport read, write or session, as one tree.

WebTransportError
├── SessionClosed      the session is over; code and reason of the close
├── StreamReset        the peer gave up sending; nothing more can be read
├── StreamStopped      the peer reads no more; nothing more can be written
├── StreamFinished     our own doing: written after `finish`, read after `stop`
├── BufferFull         written past the bound without heeding the pause
├── DatagramTooLarge   no packet can carry it
└── TooManyStreams     the session's bound of streams of ours is reached

Application error codes are 32-bit numbers within HTTP/3's own range: they are spread over a
reserved range of HTTP/3 codes so that every 31st, which HTTP/3 reserves for greasing, stays
free (draft-ietf-webtrans-http3, section "Resetting Data Streams").
"""

from __future__ import annotations


class WebTransportError(Exception):
    """The root."""


class SessionClosed(WebTransportError):
    """The session is over.

    :ivar code: the application's close code, 0 to 2**32 - 1.
    :ivar reason: its reason, at most 1024 bytes of UTF-8.
    :ivar clean: whether somebody closed it; `False` where the connection was lost.
    """

    def __init__(self, code: int = 0, reason: str = "", *, clean: bool = True) -> None:
        super().__init__(f"session closed with code {code} {reason!r}")
        self.code, self.reason, self.clean = code, reason, clean


class StreamReset(WebTransportError):
    """The peer gave up sending on the stream.

    :ivar code: the application's error code, or `None` where the reset was not
        the application's.
    """

    def __init__(self, code: int | None) -> None:
        super().__init__(f"stream reset by the peer with code {code}")
        self.code = code


class StreamStopped(WebTransportError):
    """The peer wants no more of the stream.

    :ivar code: as for `StreamReset`.
    """

    def __init__(self, code: int | None) -> None:
        super().__init__(f"stream stopped by the peer with code {code}")
        self.code = code


class StreamFinished(WebTransportError):
    """This side has ended this direction of the stream itself, or never had it."""


class BufferFull(WebTransportError):
    """More was written than may wait; wait for `send`, or heed the pause."""


class DatagramTooLarge(WebTransportError):
    """The datagram fits no packet.

    :ivar limit: the largest that does now, in bytes.
    """

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"a datagram of {size} bytes is over the limit of {limit}")
        self.limit = limit


class TooManyStreams(WebTransportError):
    """As many streams of ours are open as the session may have."""


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
