"""What ends a WebTransport read, write or session, as one tree.

WebTransportError
├── SessionClosed      the session is over; code and reason of the close
├── StreamReset        the peer gave up sending; nothing more can be read
├── StreamStopped      the peer reads no more; nothing more can be written
├── StreamFinished     our own doing: written after `finish`, read after `stop`
├── BufferFull         written past the bound without heeding the pause
├── DatagramTooLarge   no packet can carry it
└── TooManyStreams     the session's bound of streams of ours is reached
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
