"""Plain HTTP/3 requests for the resources of a `twisted.web.server.Site`.

A `RequestStream` is to a `twisted.web` request what an HTTP/1 connection or an
HTTP/2 stream is: its channel.  So every resource, Klein app, event stream and
file response is served as it is; `clientproto` is ``b"HTTP/3"``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

from aioquic.h3.connection import ErrorCode
from twisted.internet.error import ConnectionAborted, ConnectionLost
from twisted.internet.interfaces import IAddress, IPullProducer, IPushProducer
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.server import Site

from takotwist.streams.http.host import is_host_field
from takotwist.streams.http.interface import Request
from takotwist.streams.http.limits import HttpLimits
from takotwist.streams.http.request import StreamRequest
from takotwist.streams.http.site import HttpSite, json_error
from takotwist.streams.http3.config import Http3Config
from takotwist.streams.http3.link import Header, Link
from takotwist.streams.http3.response import ResponseBody

#: Fields of one connection of HTTP/1, which make an HTTP/3 message malformed
#: (RFC 9114 section 4.2).
CONNECTION_FIELDS = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")
)


def serve_request(
    link: Link, stream_id: int, headers: list[Header], site: Site, config: Http3Config
) -> None:
    """Begin one request; a malformed one is answered at once."""
    fields = dict(headers)
    path = fields.get(b":path", b"")
    length = fields.get(b"content-length", b"0")
    limits: HttpLimits = getattr(site, "limits", HttpLimits())
    # Cookies may each have a field of their own, and make one line.
    lines = sum(name != b"cookie" and not name.startswith(b":") for name, _ in headers)
    if not (path.startswith(b"/") or path == b"*"):
        refuse(link, stream_id, site, 400, "The request's target is no path.")
    elif not is_host_field(fields.get(b":authority", b" ")):
        refuse(link, stream_id, site, 400, "The request's authority names no host.")
    elif lines + (b"cookie" in fields) > limits.max_headers:
        refuse(link, stream_id, site, 431, "The request's head has too many lines.")
    elif int(length) > config.max_body_bytes and not isinstance(site, HttpSite):
        refuse(link, stream_id, site, 413, body_too_large(config))
    else:
        stream = RequestStream(link, stream_id, headers, site, config)
        link.serve(stream_id, stream)
        stream.begin()


def refuse(link: Link, stream_id: int, site: Site, status: int, sentence: str) -> None:
    """Answer a request in the form of the site's errors, and want no more of it."""
    content_type, body = getattr(site, "error_body", json_error)(status, sentence)
    fields = [
        (b":status", b"%d" % status),
        (b"content-type", content_type),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    link.send_headers(stream_id, fields, ended=False)
    link.send_data(stream_id, body, ended=True)
    link.stop(stream_id, ErrorCode.H3_NO_ERROR)


def body_too_large(config: Http3Config) -> str:
    """The sentence of a 413."""
    return f"A body may have {config.max_body_bytes} bytes here."


class RequestStream:
    """One request and its response.

    Provides `StreamReceiver` for the connection, and what twisted.web asks of a channel.

    :ivar site: where the resources are, as `twisted.web.server.Request` asks.
    :ivar factory: the same, for its access log.
    """

    #: As on HTTP/2: a response has no transport to itself.
    transport = None

    def __init__(
        self, link: Link, stream_id: int, headers: list[Header], site: Site, config: Http3Config
    ) -> None:
        self._link, self._stream_id = link, stream_id
        self.site = self.factory = site
        self._room, self._config = config.max_body_bytes, config
        self._body = ResponseBody(
            link,
            stream_id,
            high_water=config.high_water,
            low_water=config.low_water,
            answers=site.unfinished.answers if isinstance(site, HttpSite) else None,
            cut=self.abortConnection,
        )
        fields = dict(headers)
        self._method, self._path = fields[b":method"], fields[b":path"]
        self._received = False  # the whole request
        self._request: Any = cast(Any, site.requestFactory)(self, False)
        self._request.requestHeaders = _request_headers(headers)
        stated = fields.get(b"content-length")
        bodiless = self._method in (b"GET", b"HEAD") and stated is None
        self._length = 0 if bodiless else stated and int(stated)
        self._request.gotLength(self._length)
        self._request.parseCookies()
        #: Received bytes for which the client gets no credit, because nobody takes them now.
        self._held, self._paused = 0, False
        #: Whether the request judges its head, and bounds its body.
        self._judges = isinstance(self._request, StreamRequest)
        continues = fields.get(b"expect", b"").lower() == b"100-continue"
        if self._judges:
            self._request.head_received(self._method, self._path, b"HTTP/3", self._length)
            continues = self._request.awaits_continue
        if continues:
            self._send100Continue()

    def begin(self) -> None:
        """Answer at the head what can be answered there; the stream is served."""
        if self._judges:
            self._request.begin(self._length)

    # StreamReceiver

    def data_received(self, data: bytes, ended: bool) -> None:
        """The next bytes of the request's body."""
        request = self._request
        if request is None or self._received:
            return
        self._room -= len(data)
        if self._room < 0 and not self._judges:
            self._refuse_body()
            return
        if data:
            request.handleContentChunk(data)
            if self._paused and self._request is request:
                self._held += len(data)
                self._link.hold(self._stream_id, len(data))
        if ended and self._request is request:
            self._received = True
            self._release()
            request.requestReceived(self._method, self._path, b"HTTP/3")

    def reset_received(self, code: int) -> None:
        """The client gave up its request before it was whole."""
        self._link.reset(self._stream_id, ErrorCode.H3_REQUEST_CANCELLED)
        self._lose(ConnectionLost(f"request reset with code {code:#x}"))

    def stop_received(self, code: int) -> None:
        """The client wants no more of the response."""
        self._lose(ConnectionLost(f"response stopped with code {code:#x}"))

    def connection_lost(self, reason: str) -> None:
        """The connection is over."""
        self._lose(ConnectionLost(reason))

    def _lose(self, reason: Exception) -> None:
        request, self._request = self._request, None
        self._release()
        self._link.forget(self._stream_id)
        self._body.stop_producer()
        if request is not None and request.channel is not None:
            request.connectionLost(Failure(reason))

    def _refuse_body(self) -> None:
        request = self._request
        if request.startedWriting:
            self._link.reset(self._stream_id, ErrorCode.H3_EXCESSIVE_LOAD)
            self._link.stop(self._stream_id, ErrorCode.H3_NO_ERROR)
        else:
            refuse(self._link, self._stream_id, self.site, 413, body_too_large(self._config))
        self._lose(ConnectionAborted("request body too large"))

    # What twisted.web asks of a channel

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:
        """Send the head of the response."""
        fields = [(b":status", code)]
        for name, values in headers.getAllRawHeaders():
            name = name.lower()
            if name not in CONNECTION_FIELDS:
                fields.extend((name, value.strip()) for value in values)
        self._link.send_headers(self._stream_id, fields, ended=False)

    def write(self, data: bytes) -> None:
        """Send a part of the body."""
        self._body.write(data)

    def writeSequence(self, parts: Iterable[bytes]) -> None:
        """Send some parts of the body."""
        self._body.write(b"".join(parts))

    def pauseProducing(self) -> None:
        """Let the client send no more of the body than its window has room for."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Let it send more."""
        self._paused = False
        self._release()

    def _release(self) -> None:
        held, self._held = self._held, 0
        if held:
            self._link.release(self._stream_id, held)

    def _send100Continue(self) -> None:
        # The name is twisted.web's.
        self._link.send_headers(self._stream_id, [(b":status", b"100")], ended=False)

    def requestDone(self, request: object) -> None:
        """The response is whole."""
        self._request = None
        self._release()
        self._body.release()
        self._link.send_data(self._stream_id, b"", ended=True)
        if not self._received:
            self._link.stop(self._stream_id, ErrorCode.H3_NO_ERROR)
        self._link.forget(self._stream_id)

    def registerProducer(self, producer: IPushProducer | IPullProducer, streaming: bool) -> None:
        """Drive `producer` at the client's pace."""
        self._body.register(producer, streaming)

    def unregisterProducer(self) -> None:
        """It is done."""
        self._body.release()

    def response_pipe(
        self, request: Request, on_pause: Callable[[], None], on_resume: Callable[[], None]
    ) -> Http3Pipe:
        """The way of an `EventStream` to its client."""
        return Http3Pipe(self, self._body, on_pause, on_resume)

    def loseConnection(self) -> None:
        """End the response, whatever it lacks."""
        self._link.send_data(self._stream_id, b"", ended=True)

    def abortConnection(self) -> None:
        """Drop this response; the connection's other streams go on."""
        self._link.reset(self._stream_id, ErrorCode.H3_INTERNAL_ERROR)
        if not self._received:
            self._link.stop(self._stream_id, ErrorCode.H3_INTERNAL_ERROR)
        self._lose(ConnectionAborted())

    forceAbortClient = abortConnection

    def _respondToBadRequestAndDisconnect(self) -> None:
        # The name is twisted.web's, which calls it for a malformed multipart body.
        refuse(self._link, self._stream_id, self.site, 400, "The request's body is malformed.")
        self._lose(ConnectionAborted("malformed request body"))

    def getPeer(self) -> IAddress:
        """The client's address."""
        return self._link.peer

    def getHost(self) -> IAddress:
        """Ours."""
        return self._link.host

    def isSecure(self) -> bool:
        """QUIC is TLS, always."""
        return True


class Http3Pipe:
    """`takotwist.streams.http.response.ResponsePipe` on one request stream."""

    transport = None

    def __init__(
        self,
        stream: RequestStream,
        body: ResponseBody,
        on_pause: Callable[[], None],
        on_resume: Callable[[], None],
    ) -> None:
        self._stream, self._body = stream, body
        self._on_pause, self._on_resume = on_pause, on_resume
        self.write = body.write

    def start(self) -> None:
        """Begin to watch for pressure."""
        self._body.watch(self._on_pause, self._on_resume)

    def release(self) -> None:
        """Stop watching."""
        self._body.release()

    def abort(self) -> None:
        """Drop the client without ending the response."""
        self._stream.abortConnection()

    def buffered(self) -> int:
        """Bytes not acknowledged."""
        return self._body.buffered


def _request_headers(headers: list[Header]) -> Headers:
    """An HTTP/1 view of the fields: ``Host``, and one ``Cookie`` (RFC 9114 section 4.2.1)."""
    result = Headers()
    cookies: list[bytes] = []
    for name, value in headers:
        if name == b"cookie":
            cookies.append(value)
        elif name == b":authority":
            result.setRawHeaders(b"host", [value])
        elif not name.startswith(b":") and name != b"host":
            result.addRawHeader(name, value)
    if cookies:
        result.setRawHeaders(b"cookie", [b"; ".join(cookies)])
    return result
