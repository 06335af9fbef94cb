"""A request that is answered without twisted.web, and its stream: a plain GET.

`DirectRequest` has of twisted.web's request what a long answer needs and nothing beside:
the head to read, an answer that is sent whole, or a stream (`streams.sse.stream`), or an
upgrade (`streams.websocket.upgrade`).  Rule: a handler that answers a twisted.web request
in one of these ways answers this one the same, and no client sees which it was.

`DirectStream` is the response pipe of such a stream, and all that stays of the request:
between two blocks a connection holds its socket and its writer, and nothing of how it
began.  Rule: everything is framed as HTTP/1.1 chunks (RFC 9112, section 7.1), so the
connection can go on when the stream has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from http import HTTPStatus
from time import time
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, ISSLTransport
from twisted.python.failure import Failure
from twisted.web.http import datetimeToString
from twisted.web.http_headers import Headers
from zope.interface import implementer

from takotwist.streams.http.head import HeadFields, RequestHead
from takotwist.streams.seams.socket import direct_write, unsent_bytes
from takotwist.streams.unread import Unread, Waiting

#: What ends a response (RFC 9112, section 7.1).
LAST_CHUNK = b"0\r\n\r\n"


@implementer(IPushProducer)
class DirectStream:
    """One open response; see `streams.http.response.ResponsePipe`.

    :param on_gone: called when the client goes before the end.
    """

    __slots__ = (
        "_connection",
        "_log",
        "_on_gone",
        "_on_pause",
        "_on_resume",
        "_unread",
        "_waiting",
        "transport",
        "write",
    )

    def __init__(
        self,
        connection: Any,
        waiting: list[Deferred[None]],
        log: Callable[[], object] | None,
        on_pause: Callable[[], object],
        on_resume: Callable[[], object],
        on_gone: Callable[[object], object],
    ) -> None:
        self._connection = connection
        self._waiting = waiting
        self._log = log
        self._on_pause = on_pause
        self._on_resume = on_resume
        self._on_gone = on_gone
        self._unread: Waiting | None = None
        self.transport = connection.transport
        self.write = direct_write(self.transport)

    def start(self) -> None:
        """Begin to watch for pressure."""
        self.transport.registerProducer(self, True)

    def release(self) -> None:
        """No more will be written."""
        self._taken()
        self.transport.unregisterProducer()

    def finish(self) -> None:
        """End the response, and let the connection go on."""
        self.write(LAST_CHUNK)
        if self._log is not None:
            self._log()
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(None)
        self._connection.answered()

    def abort(self) -> None:
        """Drop the client."""
        self.transport.abortConnection()

    def buffered(self) -> int:
        """Bytes known to be unsent."""
        return unsent_bytes(self.transport)

    def lost(self, reason: Failure) -> None:
        """The client has gone."""
        self._taken()
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.errback(reason)
        self._on_gone(None)

    def _answers(self) -> Unread:
        answers: Unread = self._connection.site.unfinished.answers
        return answers

    def _taken(self) -> None:
        unread, self._unread = self._unread, None
        if unread is not None:
            self._answers().forget(unread)

    def pauseProducing(self) -> None:
        """Of `IPushProducer`."""
        if self._unread is None:
            self._unread = self._answers().watch(self.buffered, self.abort)
        self._on_pause()

    def resumeProducing(self) -> None:
        """Of `IPushProducer`."""
        self._taken()
        self._on_resume()

    def stopProducing(self) -> None:
        """The connection is going; `lost` follows."""


@lru_cache(maxsize=1)
def _date_line_of(second: int) -> bytes:
    return b"Date: %b\r\n" % datetimeToString(second)


def _date_line() -> bytes:
    return _date_line_of(int(time()))


@lru_cache(maxsize=64)
def _status_line(code: int) -> bytes:
    return b"HTTP/1.1 %d %b\r\n" % (code, HTTPStatus(code).phrase.encode("ascii"))


@lru_cache(maxsize=64)
def _encoded(fields: tuple[tuple[str, str], ...]) -> bytes:
    """Lines of the fields of a stream, which has no length."""
    headers = Headers({b"Transfer-Encoding": [b"chunked"]})
    for name, value in fields:
        headers.setRawHeaders(name, [value])
    return b"".join(b"%b: %b\r\n" % (name, one[0]) for name, one in headers.getAllRawHeaders())


class DirectRequest:
    """One request; see `streams.http.interface.Request`.

    :param channel: `streams.http.connection.HttpConnection`.
    :ivar requestHeaders: to be read like `twisted.web.http_headers.Headers`.
    """

    method = b"GET"
    clientproto = b"HTTP/1.1"

    __slots__ = (
        "_body",
        "_cookies",
        "_headers",
        "channel",
        "code",
        "finished",
        "gone",
        "notifications",
        "path",
        "requestHeaders",
        "sentLength",
        "startedWriting",
        "uri",
    )

    def __init__(self, channel: Any, head: RequestHead) -> None:
        self.channel = channel
        self.uri = head.target
        self.path = head.target.partition(b"?")[0]
        self.requestHeaders: HeadFields = head.fields
        self.notifications: list[Deferred[None]] = []
        self.code = 200
        self.finished = 0
        self.startedWriting = 0
        self.sentLength = 0
        self.gone = False
        self._body = b""
        self._headers: Headers | None = None
        self._cookies: dict[bytes, bytes] | None = None

    # who asks, and what

    @property
    def client(self) -> object:
        """Address of the socket's other end."""
        return self.channel.transport.getPeer()

    def getHost(self) -> object:
        """Address of ours."""
        return self.channel.transport.getHost()

    def isSecure(self) -> bool:
        """True if it came over TLS."""
        return ISSLTransport.providedBy(self.channel.transport)

    def getHeader(self, name: str) -> str | None:
        """The last line of that name."""
        values = self.requestHeaders.getRawHeaders(name.encode("ascii"))
        return values[-1].decode("utf-8") if values else None

    @property
    def received_cookies(self) -> Mapping[bytes, bytes]:
        """All cookies."""
        cookies = self._cookies
        if cookies is None:
            cookies = self._cookies = {}
            for line in self.requestHeaders.getRawHeaders(b"cookie") or ():
                for cookie in line.split(b";"):
                    name, equals, value = cookie.lstrip().partition(b"=")
                    if equals:
                        cookies[name] = value
        return cookies

    def getCookie(self, name: bytes) -> bytes | None:
        """One of them."""
        return self.received_cookies.get(name)

    # an answer that is sent whole

    @property
    def responseHeaders(self) -> Headers:
        """Fields of the answer."""
        if self._headers is None:
            self._headers = Headers()
        return self._headers

    def setHeader(self, name: str | bytes, value: str | bytes) -> None:
        """One of them."""
        self.responseHeaders.setRawHeaders(name, [value])

    def setResponseCode(self, code: int, message: bytes | None = None) -> None:
        """The status of the answer, which has its own phrase."""
        self.code = code

    def write(self, data: bytes) -> None:
        """Add to the body, which is sent when it is finished."""
        self._body += data

    def finish(self) -> None:
        """Send the answer."""
        if self.gone:
            return
        body, self._body = self._body, b""
        self.responseHeaders.setRawHeaders(b"Content-Length", [b"%d" % len(body)])
        self.channel.transport.write(self._head(b"") + body)
        self.sentLength = len(body)
        self.finished = 1
        self.channel.site.log(self)
        waiting, self.notifications = self.notifications, []
        for one in waiting:
            one.callback(None)
        self.channel.answered()

    def _head(self, more: bytes) -> bytes:
        self.startedWriting = 1
        parts = [_status_line(self.code), _date_line(), more]
        if self._headers is not None:
            for name, values in self._headers.getAllRawHeaders():
                parts += [b"%b: %b\r\n" % (name, value) for value in values]
        parts.append(b"\r\n")
        return b"".join(parts)

    # an answer that goes on

    def stream(
        self,
        fields: Mapping[str, str],
        first: bytes,
        on_pause: Callable[[], object],
        on_resume: Callable[[], object],
        on_gone: Callable[[object], object],
    ) -> DirectStream:
        """Send a head and the first blocks, and be done; the stream goes on.

        :param fields: of the head, beside `responseHeaders`.
        :param first: framed already.
        """
        site = self.channel.site
        waiting, self.notifications = self.notifications, []
        log = None if site.on_access is None else partial(site.log, self)
        stream = DirectStream(self.channel, waiting, log, on_pause, on_resume, on_gone)
        self.channel.answering = stream
        site.connections.discard(self.channel)
        stream.start()
        stream.write(self._head(_encoded(tuple(fields.items()))) + first)
        self.finished = 1
        return stream

    # the end

    def notifyFinish(self) -> Deferred[None]:
        """Fires with `None` when the answer is sent, and fails when the client goes before."""
        waiting: Deferred[None] = Deferred()
        self.notifications.append(waiting)
        return waiting

    def loseConnection(self) -> None:
        """Break off."""
        self.channel.transport.loseConnection()

    def lost(self, reason: Failure) -> None:
        """The client has gone."""
        self.gone = True
        waiting, self.notifications = self.notifications, []
        for one in waiting:
            one.errback(reason)
