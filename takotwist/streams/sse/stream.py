"""A ``text/event-stream`` response, and the only writer of one in the tree.

It frames, watches the peer's pace and its leaving; it knows no events.  Rule:
after `open` nobody else writes to the request, reads its headers or finishes
it, because their memory is given back while the stream is silent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, cast

from takotwist.codecs.sse import chunk
from takotwist.streams.http.direct import DirectRequest, DirectStream
from takotwist.streams.http.interface import BodyRequest, Request
from takotwist.streams.http.response import pipe_for
from takotwist.streams.seams.request import drop_encoder, forget_head, is_gone
from takotwist.streams.seams.socket import is_direct, straight_send

#: What an event stream says of itself.  ``no-transform`` keeps proxies from
#: compressing, which buffers; ``X-Accel-Buffering`` is the same for nginx.
HEADERS: Mapping[str, str] = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
}

Framing = Literal["chunked", "raw"]


def _nothing() -> None:
    pass


class EventStream:
    """One open response of server-sent events.

    :param request: a twisted.web request of HTTP/1.0, 1.1 or 2, or a `DirectRequest`, that
        nothing was written to.
    :param headers: sent with the head; takes the place of `HEADERS`.
    :param on_pause: called when the peer reads slower than is written.  What is
        written while `paused` is queued without bound, so a caller stops.
    :param on_resume: called when what was queued has left.
    :ivar framing: how bytes stand on the connection: ``"chunked"`` on HTTP/1.1,
        ``"raw"`` otherwise.  Known after `open`.
    :ivar paused: whether the peer is slow now.
    :ivar closed: whether the stream has ended, whoever ended it.
    """

    __slots__ = (
        "_closed_callbacks",
        "_headers",
        "_on_pause",
        "_on_resume",
        "_pipe",
        "_request",
        "closed",
        "framing",
        "paused",
        "write_framed",
    )

    def __init__(
        self,
        request: Request,
        headers: Mapping[str, str] = HEADERS,
        *,
        on_pause: Callable[[], None] = _nothing,
        on_resume: Callable[[], None] = _nothing,
    ) -> None:
        self._request: Request | DirectStream | None = request
        self._headers: Mapping[str, str] | None = headers
        self._on_pause = on_pause
        self._on_resume = on_resume
        self._pipe: Any = None
        self._closed_callbacks: list[Callable[[], None]] = []
        self.framing: Framing = "raw"
        self.paused = False
        self.closed = False
        #: Write bytes that are already framed for `framing`, one block or many
        #: joined, straight to the connection.  A plain attribute that holds the
        #: method itself: a call less for each delivery.
        self.write_framed: Callable[[bytes], None] = _discard

    @property
    def transport(self) -> Any:
        """The connection's transport (`ITransport`), or `None` where streams share it."""
        return None if self.closed or self._pipe is None else self._pipe.transport

    @property
    def direct(self) -> bool:
        """True if `write_framed` goes straight to a socket, and never raises."""
        return is_direct(self.write_framed)

    @property
    def socket_send(self) -> Callable[[bytes], int] | None:
        """The socket's own ``send``, behind `write_framed`; see `seams.socket.straight_send`."""
        return straight_send(self.write_framed)

    @property
    def buffered(self) -> int:
        """Bytes written and known to be unsent."""
        return 0 if self.closed or self._pipe is None else self._pipe.buffered()

    def open(self, first: bytes = b"") -> bool:
        """Send the head.

        :param first: blocks that go out with it, if they are known already.
        :return: `False` when the peer has already gone; the stream is then closed.
        """
        request = cast("Request | None", self._request)
        if request is None or is_gone(request) or request.finished:
            self._ended(None)
            return False
        headers, self._headers = self._headers or {}, None
        if isinstance(request, DirectRequest):
            self._open_directly(request, headers, first)
        elif not self._open(cast("BodyRequest", request), headers):
            return False
        elif first:
            self.write(first)
        return not self.closed

    def _open_directly(
        self, request: DirectRequest, headers: Mapping[str, str], first: bytes
    ) -> None:
        self.framing = "chunked"
        pipe = request.stream(
            headers, chunk(first) if first else b"", self._pause, self._resume, self._ended
        )
        self._request = self._pipe = pipe
        self.write_framed = pipe.write

    def _open(self, request: BodyRequest, headers: Mapping[str, str]) -> bool:
        if request.channel is None:
            self._ended(None)
            return False
        request.setResponseCode(200)
        drop_encoder(request)
        for name, value in headers.items():
            if name.lower() == "connection" and (
                request.clientproto != b"HTTP/1.1"
                or request.responseHeaders.hasHeader(b"connection")
            ):
                # Forbidden on HTTP/2 and 3, and untrue where the client asked to close.
                continue
            request.responseHeaders.setRawHeaders(name, [value])
        request.notifyFinish().addBoth(self._ended)
        request.write(b"")
        if request.method == b"HEAD":
            request.finish()
            return False
        pipe = self._pipe = pipe_for(request, self._pause, self._resume)
        self.framing = "chunked" if request.chunked else "raw"
        self.write_framed = pipe.write
        pipe.start()
        forget_head(request)
        return True

    def write(self, block: bytes) -> None:
        """Send one or more whole blocks, as `takotwist.codecs.sse.encode` makes them."""
        self.write_framed(chunk(block) if self.framing == "chunked" else block)

    def close(self) -> None:
        """End the response; what was written is still sent.  Does nothing when closed."""
        if not self.closed and self._pipe is not None:
            pipe, self._pipe = self._pipe, None
            self.write_framed = _discard
            pipe.release()
            if self._request is not None:
                self._request.finish()
            self._ended(None)

    def abort(self) -> None:
        """Drop the peer without ending the response.  Does nothing when closed."""
        if not self.closed and self._pipe is not None:
            pipe = self._pipe
            self._ended(None)
            pipe.abort()

    def on_closed(self, callback: Callable[[], None]) -> None:
        """Call `callback` once, when the peer has left or the stream was closed; now if it has."""
        if self.closed:
            callback()
        else:
            self._closed_callbacks.append(callback)

    def _pause(self) -> None:
        if not self.paused and not self.closed:
            self.paused = True
            self._on_pause()

    def _resume(self) -> None:
        if self.paused and not self.closed:
            self.paused = False
            self._on_resume()

    def _ended(self, _: object) -> None:
        if self.closed:
            return
        self.closed = True
        self.paused = False
        self.write_framed = _discard
        # Whoever was to be told has this stream, and the two would keep each other.
        self._on_pause = self._on_resume = _nothing
        pipe, self._pipe, self._request = self._pipe, None, None
        if pipe is not None:
            pipe.release()
        callbacks, self._closed_callbacks = self._closed_callbacks, []
        for callback in callbacks:
            callback()


def _discard(_: bytes) -> None:
    """The sink of writes before `open` and after the end."""
