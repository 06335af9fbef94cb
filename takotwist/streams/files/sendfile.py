"""The sink for plaintext HTTP/1.1: `sendfile(2)`, from the page cache to the socket.

The kernel takes bytes only when nothing of ours waits in the transport's
buffer, or they would overtake it.  The proof is the order of events: the
transport resumes a paused producer exactly when its buffer has run empty, and
while this answer is under way nobody else writes.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress

from twisted.internet.interfaces import ISSLTransport
from twisted.internet.tcp import Connection
from twisted.web.http import HTTPChannel
from twisted.web.server import Request

from takotwist.streams.files.opened import FileChanged, OpenedFile
from takotwist.streams.files.sinks import Flow

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
    if getattr(request, "_encoder", None) is not None:
        return None
    return transport


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
