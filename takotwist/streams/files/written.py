"""The sink that fits every request: read a chunk, `request.write` it.

Over HTTP/1.1 with TLS the transport pauses us when 64 KiB wait in its buffer;
small bodies take this way on any connection, because the head and the body
then leave in one send.

Reading is done on the reactor's thread.  For a local file it costs a copy
from the page cache (some 5 µs for a chunk), less than handing the work to a
thread and back; for a file on a slow network share it blocks everyone, and
the how-to says so.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

from takotwist.streams.files.opened import OpenedFile
from takotwist.streams.files.sinks import Flow

#: Bytes read and written at a time: the size at which Twisted's transports say "full".
CHUNK = 65536


class WrittenSink:
    """Writes chunks into the request.

    :param clock: for going on in the next turn of the reactor.
    """

    def __init__(self, request: Request, clock: IReactorTime) -> None:
        self._request = request
        self._clock = clock

    def begin(self, flow: Flow) -> None:
        """Nothing to wait for."""

    def end(self) -> None:
        """Nothing to do."""

    def write(self, flow: Flow, data: bytes) -> None:
        """Through the request."""
        self._request.write(data)

    def send(self, flow: Flow, file: OpenedFile, offset: int, count: int) -> int:
        """One chunk; a full transport pauses us from inside `write`."""
        data = file.read(offset, min(count, CHUNK))
        self._request.write(data)
        return len(data)

    def yield_turn(self, flow: Flow) -> None:
        """By a call in the next turn."""
        flow.hold()
        self._clock.callLater(0, flow.release)
