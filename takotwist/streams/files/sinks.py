"""Write sinks for the bytes of a file: plain socket, HTTP/2 stream, and any request.

`transmission` decides what goes next and a sink knows how it goes.  A sink that cannot take
more stops the transmission and sees that it goes on.

`SocketSink`, plaintext HTTP/1.1: `sendfile(2)`, from the page cache to the socket.  The kernel
takes bytes only when nothing of ours waits in the transport's buffer, or they would overtake
it.  The proof is the order of events: the transport resumes a paused producer exactly when its
buffer has run empty, and while this answer is under way nobody else writes.

`StreamSink`, HTTP/2, with a bound of our own on its send queue.  Twisted pauses a producer
there only when the peer's flow-control window is full, and windows of 32 MiB are usual; so much
would be queued for every slow reader.  This sink asks how much is queued and keeps it below
`QUEUE`.  `tests/streams/files/test_sinks.py` holds what is assumed of Twisted here.

`WrittenSink`, every request: read a chunk, `request.write` it.  Over HTTP/1.1 with TLS the
transport pauses us when 64 KiB wait in its buffer; small bodies take this way on any
connection, because the head and the body then leave in one send.

Reading is done on the reactor's thread.  For a local file it costs a copy from the page cache
(some 5 µs for a chunk), less than handing the work to a thread and back; for a file on a slow
network share it blocks everyone, and the how-to says so.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import Protocol

from twisted.internet.interfaces import IReactorTime, ISSLTransport
from twisted.internet.tcp import Connection
from twisted.web.http import HTTPChannel
from twisted.web.server import Request

from takotwist.streams.files.opened import FileChanged, OpenedFile
from takotwist.streams.seams.http2 import room, when_unblocked
from takotwist.streams.seams.request import has_encoder


class Flow(Protocol):
    """The transmission, as its sink sees it.

    A pause is ended by the request's own consumer, a hold by the sink.  They
    are kept apart because HTTP/2 needs both at once: going on after a hold
    while the peer's window is still full would queue without end.
    """

    def pauseProducing(self) -> None:
        """Nothing more can go until the consumer resumes its producer."""

    def hold(self) -> None:
        """Nothing more can go until `release`."""

    def release(self) -> None:
        """As far as the sink is concerned it can go on."""


class Sink(Protocol):
    """Destination of the bytes.

    The flow is told with each call and never kept: a sink and a transmission that hold each
    other would be left to the garbage collector, once for every small file.
    """

    def begin(self, flow: Flow) -> None:
        """The head of the answer has been written; bytes follow."""

    def end(self) -> None:
        """Everything has been taken."""

    def write(self, flow: Flow, data: bytes) -> None:
        """Take all of `data`, which is small."""

    def send(self, flow: Flow, file: OpenedFile, offset: int, count: int) -> int:
        """Take up to `count` bytes of `file` from `offset`.

        :return: how many were taken.  0 means that `flow` is paused or held now.
        :raises FileChanged: the file is not what it was.
        :raises OSError: the file cannot be read, or the other side is gone.
        """

    def yield_turn(self, flow: Flow) -> None:
        """Enough for this turn of the reactor: stop `flow`, and see that it goes on in the next."""


# Plain socket

_TCP_CORK: int | None = getattr(socket, "TCP_CORK", None)


def plain_socket(request: Request) -> Connection | None:
    """The connection to send on directly, `None` where bytes must go through the layers above."""
    channel = getattr(request, "channel", None)
    if not isinstance(channel, HTTPChannel):
        return None  # HTTP/2, HTTP/3, or a request that somebody wrapped
    transport = channel.transport
    if not isinstance(transport, Connection) or ISSLTransport.providedBy(transport):
        return None
    # Under STARTTLS the transport stays the same object and TLS sits inside of it.
    if transport.TLS or transport.producer is not channel:
        return None
    # Somebody's encoder (twisted.web's own gzip) has to see the bytes.
    return None if has_encoder(request) else transport


class SocketSink:
    """Sends from the file's descriptor to the socket's.

    :param transport: what `plain_socket` found.
    """

    def __init__(self, request: Request, transport: Connection) -> None:
        self._request = request
        self._transport = transport

    def begin(self, flow: Flow) -> None:
        """Wait until the head of the answer has left."""
        self._cork(True)
        self._wait(flow)

    def end(self) -> None:
        """Push out what is left of the last segment."""
        self._cork(False)

    def write(self, flow: Flow, data: bytes) -> None:
        """Through the transport's buffer, and wait until it has left."""
        self._request.write(data)
        self._wait(flow)

    def send(self, flow: Flow, file: OpenedFile, offset: int, count: int) -> int:
        """As much as the socket takes now."""
        try:
            sent = os.sendfile(self._transport.fileno(), file.descriptor, offset, count)
        except BlockingIOError:
            self._wait(flow)
            return 0
        if sent == 0:
            raise FileChanged(f"the file ends at {offset}, {count} bytes early")
        file.check_unchanged()
        # For the access log, which would otherwise say that nothing was sent.
        self._request.sentLength += sent
        if sent < count:
            # The socket is full; asking it again only to hear so costs a system call.
            self._wait(flow)
        return sent

    def yield_turn(self, flow: Flow) -> None:
        """By the same way as for a full socket: it will be writable in the next turn."""
        self._wait(flow)

    def _cork(self, on: bool) -> None:
        # Twisted's HTTP sets TCP_NODELAY, under which the kernel pushes half-full segments all
        # through a sendfile: a quarter of the throughput.  The cork overrules it meanwhile.
        if _TCP_CORK is not None:
            with suppress(OSError):  # a Unix socket has none
                self._transport.socket.setsockopt(socket.IPPROTO_TCP, _TCP_CORK, on)

    def _wait(self, flow: Flow) -> None:
        flow.pauseProducing()
        # What FileDescriptor.write() does on a full buffer.  The reactor reports the socket
        # writable, doWrite() empties the buffer, finds a paused producer and resumes it.
        self._transport.producerPaused = True
        self._transport.startWriting()


# Any request

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


# HTTP/2 stream

#: Bytes that may wait in one stream: a few turns' worth, as one frame leaves in a turn.
QUEUE = 262_144

#: The largest frame that peers take unless they say otherwise; longer writes are cut and copied.
FRAME = 16_384


class StreamSink(WrittenSink):
    """Writes frames into an HTTP/2 stream, a bounded number ahead.

    :param stream: what `http2_stream` found.
    :param clock: for going on in the next turn of the reactor.
    """

    def __init__(self, request: Request, stream: object, clock: IReactorTime) -> None:
        super().__init__(request, clock)
        self._stream = stream

    def send(self, flow: Flow, file: OpenedFile, offset: int, count: int) -> int:
        """One frame, never beyond what the peer's windows take."""
        free = room(self._stream, QUEUE)
        if free <= 0:
            self.yield_turn(flow)
            return 0
        data = file.read(offset, min(count, FRAME, free))
        self._request.write(data)
        return len(data)

    def yield_turn(self, flow: Flow) -> None:
        """Go on when the connection has moved: in the next turn, or when its socket drains."""
        flow.hold()
        # Nothing leaves before a blocked socket drains; asking every turn would be a busy loop.
        if not when_unblocked(self._stream, lambda result: self._release_soon(result, flow)):
            self._clock.callLater(0, flow.release)

    def _release_soon(self, result: object, flow: Flow) -> object:
        # A call of its own, because we are inside the connection's own chain here.
        self._clock.callLater(0, flow.release)
        return result
