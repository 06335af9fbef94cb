"""Transmission of one body, and the refusals sent in its place.

`Transmission` is a push producer over a `Sink`, at the reader's pace.  It holds at most what
the sink holds, gives the descriptor back whatever happens, and never pads: a file that changes
while it is sent ends the connection, so that nobody takes half of it for all.

A stall is measured by the count of unacknowledged bytes.  A socket with a large send buffer
accepts nothing new for minutes while a slow reader works through it, and only that count tells
such a reader from a dead one.

A refusal is a status, one plain line, and the headers that go with it.  An app may bring its
own pages by an `ErrorRenderer`; when that fails the plain line is sent, so an error page can
never hide the error.
"""

from __future__ import annotations

import fcntl
import struct
import termios
from collections import deque
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.tcp import Connection
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Request
from zope.interface import implementer

from takotwist.streams.files.answer import Piece, Span
from takotwist.streams.files.opened import FileChanged, OpenedFile
from takotwist.streams.files.sinks import Sink
from takotwist.streams.seams.http2 import connection_of, http2_stream, reset


def is_gone(request: Request) -> bool:
    """True once there is nobody to answer any more."""
    return getattr(request, "channel", request) is None


def unread(request: Request) -> int:
    """Bytes in the kernel that the peer has not acknowledged yet; 0 where nobody can tell."""
    transport = getattr(connection_of(getattr(request, "channel", None)), "transport", None)
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


#: Bytes for one reader in one turn of the reactor; the others come next.
TURN = 2_097_152


@implementer(IPushProducer)
class Transmission:
    """Sends `pieces` of `file` and finishes the request.

    :param pieces: ready bytes and pieces of the file, in order.
    :param stall_timeout: seconds after which a reader that takes nothing is dropped.
    """

    _log = Logger()

    def __init__(
        self,
        request: Request,
        file: OpenedFile,
        pieces: Iterable[Piece],
        sink: Sink,
        clock: IReactorTime,
        stall_timeout: float,
    ) -> None:
        self._request = request
        self._file = file
        self._pieces = deque(pieces)
        self._sink = sink
        self._clock = clock
        self._stall_timeout = stall_timeout
        self._paused = False
        self._held = False
        self._pumping = False
        self._over = False
        self._complete = False
        self._moved = 0
        self._watch: IDelayedCall | None = None
        self._last_seen: tuple[int, int] = (-1, -1)

    def start(self) -> bool:
        """Write the head, become the request's producer, begin.

        :return: whether that was all: the body has gone and the request is finished.
        """
        self._request.write(b"")
        self._request.registerProducer(self, True)
        self._sink.begin(self)
        self._pump()
        if self._complete:
            return True
        if not self._over:
            # Most bodies are gone by now and need no clock.
            self._last_seen = self._progress()
            self._watch = self._clock.callLater(self._stall_timeout, self._look)
        return False

    def pauseProducing(self) -> None:
        """Nothing more can go now."""
        self._paused = True

    def resumeProducing(self) -> None:
        """It can go on."""
        self._paused = False
        self._pump()

    def hold(self) -> None:
        """The sink needs a moment."""
        self._held = True

    def release(self) -> None:
        """The sink had it."""
        self._held = False
        self._pump()

    def stopProducing(self) -> None:
        """The consumer is gone."""
        self.lost()

    def lost(self) -> None:
        """The connection or stream is gone; let go of everything."""
        self._over = True
        self._file.close()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def abort(self, reason: str) -> None:
        """Cut the reader off, so that it knows the body is not whole."""
        if self._over:
            return
        self._log.warn(
            "file transmission aborted after {moved} bytes: {reason}",
            reason=reason,
            moved=self._moved,
        )
        self.lost()
        cut_off(self._request, reason)

    def _pump(self) -> None:
        # A sink may resume us while we are inside of it.
        if self._pumping:
            return
        self._pumping = True
        try:
            self._move()
        except FileChanged as changed:
            self.abort(f"the file changed: {changed}")
        except OSError as error:
            # The reader's end, or a disk that fails; neither can be mended here.
            self.abort(error.strerror or "input/output error")
        finally:
            self._pumping = False

    def _move(self) -> None:
        limit = self._moved + TURN
        while not (self._paused or self._held or self._over):
            if not self._pieces:
                self._finish()
            elif self._moved >= limit:
                self._sink.yield_turn(self)
            else:
                self._move_piece(self._pieces.popleft(), limit)

    def _move_piece(self, piece: Piece, limit: int) -> None:
        if isinstance(piece, bytes):
            self._sink.write(self, piece)
            self._moved += len(piece)
            return
        count = min(len(piece), limit - self._moved)
        taken = self._sink.send(self, self._file, piece.start, count)
        self._moved += taken
        if taken < len(piece):
            self._pieces.appendleft(Span(piece.start + taken, piece.stop))

    def _finish(self) -> None:
        # Only here, when the last write did not leave us paused: the next request of a
        # pipeline is read when this one is finished, so this is what holds it back.
        self._complete = True
        self.lost()
        self._sink.end()
        self._request.unregisterProducer()
        self._request.finish()

    def _look(self) -> None:
        self._watch = None
        seen = self._progress()
        if seen == self._last_seen:
            self.abort(f"the reader took nothing for {self._stall_timeout:g} seconds")
            return
        self._last_seen = seen
        self._watch = self._clock.callLater(self._stall_timeout, self._look)

    def _progress(self) -> tuple[int, int]:
        return self._moved, unread(self._request)


# Refusals

#: Makes a page: (request, status) -> (content type, body).
ErrorRenderer = Callable[[Request, int], tuple[str, bytes]]

_log = Logger()


def send_refusal(
    request: Request,
    status: int,
    headers: Iterable[tuple[bytes, bytes]] = (),
    render_error: ErrorRenderer | None = None,
) -> None:
    """Send the whole answer and finish the request.

    It is not to be stored (a 404 in the middle of a deployment is gone a
    second later), whatever `headers` say of the file itself.
    """
    content_type, body = _page(request, status, render_error)
    request.setResponseCode(status)
    for name, value in headers:
        request.setHeader(name, value)
    request.setHeader(b"Cache-Control", b"no-store")
    request.setHeader(b"X-Content-Type-Options", b"nosniff")
    request.setHeader(b"Content-Type", content_type.encode("ascii"))
    request.setHeader(b"Content-Length", b"%d" % len(body))
    request.write(body)
    request.finish()


def _page(request: Request, status: int, render_error: ErrorRenderer | None) -> tuple[str, bytes]:
    if render_error is not None:
        try:
            return render_error(request, status)
        except Exception:
            _log.failure("the error page for {status} could not be rendered", status=status)
    line = f"{status} {HTTPStatus(status).phrase}\n"
    return "text/plain; charset=utf-8", line.encode("ascii")
