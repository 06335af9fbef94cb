"""The other side of a transmission: whether it still takes bytes, and how to cut it off.

A socket with a large send buffer accepts nothing new for minutes while a slow
reader works through it.  Only the count of unacknowledged bytes tells such a
reader from a dead one, so that count is what a stall is measured by.
"""

from __future__ import annotations

import fcntl
import struct
import termios
from typing import Any

from twisted.internet.error import ConnectionAborted
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure
from twisted.web.server import Request

from takotwist.streams.files.stream_window import http2_stream, reset


def is_gone(request: Request) -> bool:
    """Whether there is nobody to answer any more."""
    return getattr(request, "channel", request) is None


def unread(request: Request) -> int:
    """Bytes in the kernel that the peer has not acknowledged yet; 0 where nobody can tell."""
    channel = getattr(request, "channel", None)
    connection = getattr(channel, "_conn", channel)  # HTTP/2: from the stream to its connection
    transport = getattr(connection, "transport", None)
    while transport is not None and not isinstance(transport, Connection):
        transport = getattr(transport, "transport", None)  # through TLS and other wrappers
    if transport is None or transport.disconnected:
        return 0
    try:
        # SIOCOUTQ of tcp(7), which has the number of the terminals' TIOCOUTQ.
        answer = fcntl.ioctl(transport.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
    except OSError:
        return 0
    (count,) = struct.unpack("i", answer)
    return int(count)


def cut_off(request: Request, reason: str) -> None:
    """End the connection, or the HTTP/2 stream, so that the body is known not to be whole."""
    channel: Any = request.channel
    if http2_stream(request) is None and channel.transport is None:
        channel.abortConnection()  # HTTP/3: resets the one stream
        return
    if http2_stream(request) is None:
        # Not loseConnection(), which would send what is queued and end in good order.
        channel.transport.abortConnection()
        return
    request.unregisterProducer()
    reset(channel)
    # Twisted forgets the stream without telling the request.
    request.connectionLost(Failure(ConnectionAborted(reason)))
