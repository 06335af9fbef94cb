"""Streams of Twisted's HTTP/2: their connection, their send queue, and their reset."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from h2.errors import ErrorCodes
from h2.exceptions import StreamClosedError
from twisted.web.server import Request


def http2_stream(request: Request) -> object | None:
    """The stream that carries `request`, `None` where it is not on HTTP/2."""
    channel = getattr(request, "channel", None)
    return channel if hasattr(channel, "streamID") and hasattr(channel, "_conn") else None


def connection_of(channel: object) -> object:
    """The connection of a stream; `channel` itself where it is one already, as on HTTP/1.1."""
    return getattr(channel, "_conn", channel)


def reset(stream: Any) -> None:
    """End a stream in the middle, as our failure.

    The stream's own `abortConnection` says NO_ERROR, which a client may take for a body that
    was complete (RFC 9113, section 8.1).
    """
    connection, stream_id = stream._conn, stream.streamID
    with suppress(StreamClosedError):
        connection.conn.reset_stream(stream_id, error_code=ErrorCodes.INTERNAL_ERROR)
    if connection._tryToWriteControlData():
        connection._requestDone(stream_id)


def room(stream: Any, bound: int) -> int:
    """Bytes that may be queued for `stream` now, so that at most `bound` wait.

    Not more than the windows, the connection's shared one too: on a stream that has
    bytes queued and no window Twisted's sending loop turns without rest.
    """
    connection, stream_id = stream._conn, stream.streamID
    window = connection.conn.local_flow_control_window(stream_id)
    if window <= 0:
        # One byte in the queue is what makes Twisted pause us, and resume us when the
        # window opens; it does not look at a stream that has nothing to send.
        return 1
    free = connection.remainingOutboundWindow(stream_id)
    waiting = sum(
        len(chunk)
        for queue in connection._outboundStreamQueues.values()
        for chunk in queue
        if isinstance(chunk, bytes)  # the end of a stream is queued as a mark
    )
    shared = connection.conn.outbound_flow_control_window - waiting
    return int(min(bound - (window - free), free, shared))


def when_unblocked(stream: Any, call: Callable[[object], object]) -> bool:
    """Call `call` with the chain's result, which it returns, when the connection's socket drains.

    :return: `False` where the socket is not blocked, and nothing will be called.
    """
    blocked = stream._conn._consumerBlocked
    if blocked is None:
        return False
    blocked.addCallback(call)
    return True
