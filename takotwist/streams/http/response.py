"""The way from a response to its peer: HTTP/1 or HTTP/2, with true back-pressure.

A pipe says when to pause by what really waits to be sent.  Twisted's HTTP/2
pauses a producer only when the peer's window is full, which may be 32 MiB, and
never because of the socket; so there we count what is queued for the stream.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import attrs
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IPushProducer, ITCPTransport
from twisted.python.failure import Failure
from twisted.web._http2 import H2Connection, H2Stream
from zope.interface import implementer

from takotwist.streams.http.interface import BodyRequest
from takotwist.streams.seams.request import is_gone
from takotwist.streams.seams.socket import direct_write, unsent_bytes

#: Bytes waiting for one HTTP/2 stream past which its writer is paused, the same
#: as Twisted's own for a TCP connection.
HIGH_WATER = 65536
#: Bytes waiting at which it goes on.
LOW_WATER = 16384


class ResponsePipe(Protocol):
    """The needs of an `EventStream` of an HTTP version.

    A channel of another HTTP version brings its own: a method
    ``response_pipe(request, on_pause, on_resume)`` on ``request.channel``.
    """

    transport: Any
    """The connection's own transport, where the response has it to itself; else `None`."""

    def write(self, data: bytes) -> None:
        """Send `data` as part of the body, framed for this pipe."""

    def start(self) -> None:
        """The head is written: begin to watch for pressure."""

    def release(self) -> None:
        """No more will be written: stop watching."""

    def abort(self) -> None:
        """Drop the peer without ending the response."""

    def buffered(self) -> int:
        """Bytes known to be unsent."""


@implementer(IPushProducer)
@attrs.define(slots=True, eq=False)
class Http1Pipe:
    """A response that has a connection of HTTP/1.0 or 1.1 to itself, while it lasts."""

    _request: BodyRequest | None
    _on_pause: Callable[[], None]
    _on_resume: Callable[[], None]
    transport: Any = attrs.field(init=False)
    write: Callable[[bytes], None] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        assert self._request is not None
        self.transport = self._request.channel.transport
        self.write = direct_write(self.transport)

    def start(self) -> None:
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
        if self._request is not None:
            self._request.registerProducer(self, True)

    def release(self) -> None:
        # A request whose peer has gone keeps its producer, and the two would keep each other.
        request, self._request = self._request, None
        if request is not None and not is_gone(request):
            request.unregisterProducer()

    def abort(self) -> None:
        self.transport.abortConnection()

    def buffered(self) -> int:
        return unsent_bytes(self.transport)

    def pauseProducing(self) -> None:
        self._on_pause()

    def resumeProducing(self) -> None:
        self._on_resume()

    def stopProducing(self) -> None:
        """The connection is going; `Request.notifyFinish` tells of it."""


class CountedQueue(deque[object]):
    """The bytes queued for one HTTP/2 stream, counted as they come and go.

    It takes the place of the queue that `H2Connection` keeps for the stream, of
    which only the three methods below are used.
    """

    def __init__(self, queued: Iterable[object], changed: Callable[[], None]) -> None:
        super().__init__(queued)
        self.size = sum(len(item) for item in self if isinstance(item, bytes))
        self._changed = changed

    def append(self, item: object) -> None:
        super().append(item)
        if isinstance(item, bytes):
            self.size += len(item)
            self._changed()

    def appendleft(self, item: object) -> None:
        super().appendleft(item)
        if isinstance(item, bytes):
            self.size += len(item)

    def popleft(self) -> object:
        item = super().popleft()
        if isinstance(item, bytes):
            self.size -= len(item)
            self._changed()
        return item


class Http2Pipe:
    """A response on one stream of an HTTP/2 connection."""

    transport = None

    def __init__(
        self, stream: H2Stream, on_pause: Callable[[], None], on_resume: Callable[[], None]
    ) -> None:
        self._stream = stream
        self._on_pause = on_pause
        self._on_resume = on_resume
        self._paused = False
        self._looking = False
        self._queue = CountedQueue((), self._level_changed)
        self.write = stream.write

    def start(self) -> None:
        connection, stream_id = self._stream._conn, self._stream.streamID
        queues = connection._outboundStreamQueues
        if stream_id in queues:
            self._queue = CountedQueue(queues[stream_id], self._level_changed)
            queues[stream_id] = self._queue
            _hold_open(connection)

    def release(self) -> None:
        _let_go(self._stream._conn)

    def abort(self) -> None:
        connection = self._stream._conn
        # While the whole connection is being lost its streams are told one by one,
        # and taking one out would break that round.
        if connection._stillProducing and self._stream.streamID in connection.streams:
            self._stream.abortConnection()
            # H2Connection tells the request of a reset by the peer only.
            self._stream.connectionLost(Failure(ConnectionAborted()))

    def buffered(self) -> int:
        return self._queue.size

    def _level_changed(self) -> None:
        if not self._paused:
            if self._queue.size > HIGH_WATER:
                self._paused = True
                self._on_pause()
        elif not self._looking and self._queue.size <= LOW_WATER:
            # The sending loop takes a block out and may put its rest back, so
            # the level is believed only after the loop's turn.
            self._looking = True
            self._stream._conn._reactor.callLater(0, self._look)

    def _look(self) -> None:
        self._looking = False
        if self._paused and self._queue.size <= LOW_WATER:
            self._paused = False
            self._on_resume()


#: HTTP/2 connections whose idle timeout is off: open streams and the timeout.
_held: WeakKeyDictionary[H2Connection, tuple[int, float | None]] = WeakKeyDictionary()


def _hold_open(connection: H2Connection) -> None:
    """Keep `connection` while it carries a silent response.

    HTTP/1 of Twisted stops its idle timer during a response.  HTTP/2 does not: it
    sends GOAWAY to a quiet stream, and fails at the next write to it.
    """
    streams, timeout = _held.get(connection, (0, None))
    if not streams:
        timeout = connection.setTimeout(None)
    _held[connection] = (streams + 1, timeout)


def _let_go(connection: H2Connection) -> None:
    streams, timeout = _held.pop(connection, (0, None))
    if streams > 1:
        _held[connection] = (streams - 1, timeout)
    elif streams == 1 and connection._stillProducing:
        connection.setTimeout(timeout)


def pipe_for(
    request: BodyRequest, on_pause: Callable[[], None], on_resume: Callable[[], None]
) -> ResponsePipe:
    """The pipe of `request`'s HTTP version."""
    own = getattr(request.channel, "response_pipe", None)
    if own is not None:
        pipe: ResponsePipe = own(request, on_pause, on_resume)
        return pipe
    if isinstance(request.channel, H2Stream):
        return Http2Pipe(request.channel, on_pause, on_resume)
    return Http1Pipe(request, on_pause, on_resume)
