"""The sink for an HTTP/2 stream, with a bound of our own on what waits in it.

Twisted pauses a producer there only when the peer's flow-control window is
full, and windows of 32 MiB are usual; so much would be queued for every slow
reader.  This sink asks how much is queued and keeps it below `QUEUE`.

This file alone reaches into Twisted's `_http2`: there is no public way to ask.
`tests/streams/files/test_stream_window.py` holds what is assumed here.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from h2.errors import ErrorCodes
from h2.exceptions import StreamClosedError
from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

from takotwist.streams.files.opened import OpenedFile
from takotwist.streams.files.sinks import Flow

#: Bytes that may wait in one stream: a few turns' worth, as one frame leaves in a turn.
QUEUE = 262_144

#: The largest frame that peers take unless they say otherwise; longer writes are cut and copied.
FRAME = 16_384


def http2_stream(request: Request) -> Any | None:
    """The stream that carries `request`, `None` where it is not on HTTP/2."""
    channel = getattr(request, "channel", None)
    return channel if hasattr(channel, "streamID") and hasattr(channel, "_conn") else None


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


class StreamSink:
    """Writes frames into an HTTP/2 stream, a bounded number ahead.

    :param stream: what `http2_stream` found.
    :param clock: for going on in the next turn of the reactor.
    """

    def __init__(self, request: Request, stream: Any, clock: IReactorTime) -> None:
        self._request = request
        self._stream = stream
        self._clock = clock

    def begin(self, flow: Flow) -> None:
        """Nothing to wait for."""

    def end(self) -> None:
        """Nothing to do."""

    def write(self, flow: Flow, data: bytes) -> None:
        """Through the request."""
        self._request.write(data)

    def send(self, flow: Flow, file: OpenedFile, offset: int, count: int) -> int:
        """One frame, never beyond what the peer's windows take."""
        room = self._room()
        if room <= 0:
            self.yield_turn(flow)
            return 0
        data = file.read(offset, min(count, FRAME, room))
        self._request.write(data)
        return len(data)

    def _room(self) -> int:
        """Bytes that may be queued now.

        Not more than the windows, the connection's shared one too: on a stream that has
        bytes queued and no window Twisted's sending loop turns without rest.
        """
        connection, stream_id = self._stream._conn, self._stream.streamID
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
        return int(min(QUEUE - (window - free), free, shared))

    def yield_turn(self, flow: Flow) -> None:
        """Go on when the connection has moved: in the next turn, or when its socket drains."""
        flow.hold()
        blocked = self._stream._conn._consumerBlocked
        if blocked is None:
            self._clock.callLater(0, flow.release)
        else:
            # Nothing leaves before the socket drains; asking every turn would be a busy loop.
            blocked.addCallback(self._release_soon, flow)

    def _release_soon(self, result: object, flow: Flow) -> object:
        # A call of its own, because we are inside the connection's own chain here.
        self._clock.callLater(0, flow.release)
        return result
