"""The common face of requests: all that a handler may use of one.

Three classes serve requests: `StreamRequest` (HTTP/1.0, 1.1, 2 and 3, by way of
twisted.web), `DirectRequest` (a plain GET, without twisted.web) and, for its head
alone, the extended CONNECT that opens a WebTransport session.  A handler takes a
`Request` and cannot tell which it was; one that reads a body takes a `BodyRequest`.
The names are those of `twisted.web.http.Request`, where it has one.  (Its interface
`IRequest` was the alternative: it asks for sessions, which no request here has, and
has neither the end of the client nor the body as a stream.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import IO, Any, Protocol

from twisted.internet.defer import Deferred
from twisted.web.http_headers import Headers
from twisted.web.iweb import IRequest
from twisted.web.server import Request as TwistedRequest

from takotwist.streams.http.body import BodyReceiver
from takotwist.streams.unfinished import Unfinished


class Fields(Protocol):
    """The fields of a head, read like `twisted.web.http_headers.Headers`."""

    def getRawHeaders(self, name: bytes, /) -> Sequence[bytes] | None:
        """The values of all lines of that name, in order; `None` where there is none."""

    def hasHeader(self, name: bytes, /) -> bool:
        """True if there is such a line."""

    def getAllRawHeaders(self) -> Iterable[tuple[bytes, Sequence[bytes]]]:
        """All fields."""


class ReadableRequest(Protocol):
    """The reading part of a request: its target, its fields, its peer."""

    @property
    def uri(self) -> bytes:
        """Path and query."""

    @property
    def requestHeaders(self) -> Fields:
        """The fields of the head."""

    @property
    def client(self) -> object:
        """Address of the socket's other end; it has a ``host`` unless the socket is a Unix one."""

    def getHost(self) -> object:
        """Address of ours, likewise."""

    def getHeader(self, name: str) -> str | None:
        """The value of the last line of that name."""

    def isSecure(self) -> bool:
        """True if it came over TLS."""


class Request(ReadableRequest, Protocol):
    """One request, and its answer."""

    @property
    def method(self) -> bytes:
        """In capitals."""

    @property
    def path(self) -> bytes:
        """The target without its query, percent-encoded."""

    @property
    def clientproto(self) -> bytes:
        """The HTTP version, such as ``HTTP/1.1``."""

    @property
    def received_cookies(self) -> Mapping[bytes, bytes]:
        """All cookies."""

    @property
    def channel(self) -> Any:
        """The connection, or the stream of one.  For the streaming primitives alone."""

    # the answer

    @property
    def code(self) -> int:
        """Its status."""

    @property
    def sentLength(self) -> int:
        """Bytes of its body that were written."""

    @property
    def responseHeaders(self) -> Headers:
        """Its fields."""

    def setHeader(self, name: str | bytes, value: str | bytes) -> None:
        """Set one of them."""

    def setResponseCode(self, code: int, message: bytes | None = None) -> None:
        """Set the status; the phrase is the usual one where `message` is absent."""

    def write(self, data: bytes) -> None:
        """Send a part of the body."""

    def finish(self) -> None:
        """End the answer."""

    # the end

    @property
    def startedWriting(self) -> int:
        """True if the head of the answer is out."""

    @property
    def finished(self) -> int:
        """True if the answer is whole."""

    @property
    def gone(self) -> bool:
        """True if the client has left before that."""

    notifications: list[Deferred[None]]
    """Those of `notifyFinish` that have not fired.  Whoever takes the connection over takes them
    along."""

    def notifyFinish(self) -> Deferred[None]:
        """Fires with `None` when the answer is sent, and fails when the client goes before."""

    def loseConnection(self) -> None:
        """Break off the answer."""


#: Answers one more request with a known head: its head, its target, its body, and what to
#: call once with the whole answer.  `False` where it cannot; then nothing has happened.
FastAnswer = Callable[[bytes, bytes, bytes, Callable[[bytes], None]], bool]


class BodySite(Protocol):
    """The site of a `BodyRequest`."""

    @property
    def unfinished(self) -> Unfinished:
        """Counts what is not whole yet, over all requests."""


class BodyRequest(Request, Protocol):
    """A request by way of twisted.web: it may have a body, and its answer a producer."""

    @property
    def site(self) -> BodySite:
        """The site that it arrived at."""

    @property
    def args(self) -> Mapping[bytes, Sequence[bytes]]:
        """The fields of the query, decoded."""

    @property
    def content(self) -> IO[bytes]:
        """The whole body, where the body rule is not `Body.STREAMED`."""

    @property
    def stated_length(self) -> int | None:
        """Bytes that the body will have, where the client says it."""

    def stream_body(self, receiver: BodyReceiver) -> None:
        """Take the body as it comes."""

    def let_body_be_quiet(self) -> None:
        """Have no idle timeout end the body."""

    def pause_body(self) -> None:
        """Ask for no more of the body now."""

    def resume_body(self) -> None:
        """Take more of the body."""

    def close_after(self) -> None:
        """Let no other request follow on this connection, where it is one of HTTP/1."""

    @property
    def chunked(self) -> int:
        """True if the answer is framed in chunks; known when its head is out."""

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """Drive `producer` at the client's pace."""

    def unregisterProducer(self) -> None:
        """It is done."""

    def remember(self, answer: FastAnswer) -> None:
        """Have requests with the same head answered by `answer` from now on."""

    def render(self, resrc: object) -> None:
        """Have a resource answer."""


#: What a public entrance takes: a request of ours, or of another site of twisted.web.
AnyRequest = Request | IRequest | TwistedRequest
