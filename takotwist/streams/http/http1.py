"""HTTP/1.1 on Twisted's channel, with deadlines and refusals of our own.

Twisted's idle timer starts anew at every byte, so a head may take hours; what it refuses
it answers with an empty 400; and it takes heads that others read in another way.  All
three are mended here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IDelayedCall
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.http_headers import Headers

from takotwist.streams.http.body_framing import Chunks, bounded_length, is_transfer_coding
from takotwist.streams.http.interface import FastAnswer, Request
from takotwist.streams.http.known_heads import Known, may_be_known
from takotwist.streams.http.limits import HttpLimits
from takotwist.streams.seams.socket import direct_write, unsent_bytes
from takotwist.streams.unfinished import REFUSED, Cut, Incoming
from takotwist.streams.unread import Waiting

#: Bytes that may wait behind a request that is being answered.
MAX_HELD = 16 * 1024

#: Pieces that they are held in: two bytes in one of their own take forty.
MAX_PIECES = 16

#: Untyped, as Twisted's class is in most of what is used of it here.
_Channel: Any = HTTPChannel


class Http1Channel(_Channel):  # type: ignore[misc]
    """One connection of HTTP/1.0 or 1.1, of a site of `streams.http.site`."""

    #: A client that we let go and that neither reads nor goes is dropped after this long.
    abortTimeout = 15
    requests: list[Any]
    _dataBuffer: list[bytes]

    #: The head of the request under way, where it may be remembered.
    _head = b""
    #: A request with a known head is being answered.
    _answering_fast = False
    _write: Callable[[bytes], None] | None = None
    #: Whether the body under way may be quiet.
    _quiet = False
    #: What came behind that one, or the part of one that is here.
    _held = b""
    #: Until when, and how much so far, is dropped of a body that was refused in its middle.
    _lingering: IDelayedCall | None = None
    _dropped = 0
    #: The head of that part, and how it is known.
    _found: tuple[bytes, Known] | None = None
    #: That part, or what came behind a request that is answered for long.
    _incoming: Incoming | None = None
    #: What the client does not take.
    _waiting: Waiting | None = None

    def __init__(self, site: Any) -> None:
        super().__init__()
        limits: HttpLimits = site.limits
        self.site = self.factory = site
        self.requestFactory = site.requestFactory
        self.callLater = site.reactor.callLater
        # Not the idle timeout: nothing was asked yet, and TLS may still be at it.
        self.timeOut = limits.head_timeout
        self.MAX_LENGTH = limits.max_line
        self.totalHeadersSize = limits.max_head
        self.maxHeaders = limits.max_headers
        self._head_begun = True
        self._head_read = False
        self._reading_paused = False
        self._let_go = False
        self._unsent = -1
        site.connections.add(self)

    def is_answering(self) -> bool:
        """Implement `Answering`."""
        under_way = self.requests or self._buffer or self._held or self._answering_fast
        return bool(under_way) or unsent_bytes(self.transport) > 0

    def leave(self) -> None:
        """Implement `Answering`: HTTP/1.1 says it in an answer (`HttpSite.keeps`)."""

    def given_away(self) -> None:
        """The connection is another protocol's from now on."""
        self.site.connections.discard(self)

    def waits(self, seconds: float | None) -> None:
        """Let the connection, which did not begin with this channel, wait for a head.

        :param seconds: until the head is due; `None` where requests were answered before.
        """
        self._head_begun = seconds is not None
        self.setTimeout(self.site.limits.idle_timeout if seconds is None else seconds)

    def dataReceived(self, data: bytes) -> None:
        if self._lingering is not None:
            self._dropped += len(data)
            if self._dropped > self.site.limits.linger_bytes:
                self._stop_lingering()
                self.loseConnection()
            return
        if self._let_go:
            # TLS still delivers, until the client closes its side too.
            return
        if self._held or self._answering_fast:
            data, self._held = self._held + data, b""
            if self._answering_fast:
                self._hold(data)
                return
        # Such an answer does not say that the connection ends with it.
        fast = self.site.keeps and not self.requests and not self._buffer
        if fast and data.startswith(b"POST ") and self._answer_fast(data):
            return
        if self._head_read:
            self.resetTimeout()
        elif not self._head_begun:
            if not self.site.keeps and data.startswith((b"GET ", b"HEAD ")):
                self._end_unasked()
                return
            self._head_begun = True
            self.setTimeout(self.site.limits.head_timeout)
        LineReceiver.dataReceived(self, data)
        if self._dataBuffer:
            self._count_behind()

    def _end_unasked(self) -> None:
        """Close a kept connection as if that had been done a moment sooner.

        Whoever has it, such as a proxy, asks again elsewhere; an answer, 503, it would have to
        pass on, and a browser's EventSource would give up for it.  A POST it may not repeat by
        itself, so that is answered.
        """
        self._let_go = True
        self.loseConnection()

    def _count_behind(self) -> None:
        """Bytes behind a request that is being answered are held, and nobody reads them."""
        if len(self._dataBuffer) > MAX_PIECES:
            self._dataBuffer = [b"".join(self._dataBuffer)]
        held = sum(map(len, self._dataBuffer))
        if held:
            if self._incoming is None:
                self._incoming = self.site.unfinished.begin(self._cut_off)
                # No time passes for it: that it is not read is our wish.
                self._incoming.wait()
            self._incoming.holds(held)

    def lineReceived(self, line: bytes) -> None:
        if line[:1] in (b" ", b"\t"):
            # A folded line.  What stands between us and the client may have read two, and
            # refusing is what RFC 9112, section 5.2, offers besides joining them.
            self._refuse(400, "A line of the request's head is folded.")
        else:
            super().lineReceived(line)

    def _maybeChooseTransferDecoder(self, header: bytes, data: bytes) -> bool:
        # The name is Twisted's, as are those of the fields.
        if header == b"Content-Length":
            data = bounded_length(data)
        elif header == b"Transfer-Encoding" and not is_transfer_coding(data, self._version):
            return bool(self._failChooseTransferDecoder())
        chosen = bool(super()._maybeChooseTransferDecoder(header, data))
        if chosen and header == b"Transfer-Encoding":
            request: Any = self.requests[-1]
            self._transferDecoder = Chunks(request.handleContentChunk, self._finishRequestBody)
        return chosen

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:
        if self.requests[0].leaves_body or not self.site.keeps:
            self.persistent = 0
            headers.setRawHeaders(b"Connection", [b"close"])
        super().writeHeaders(version, code, reason, headers)

    def allHeadersReceived(self) -> None:
        request: Any = self.requests[-1]
        self._head_read = True
        self._quiet = False
        self.setTimeout(self.site.limits.idle_timeout)
        request.head_received(self._command, self._path, self._version, self.length)
        length = self.length
        super().allHeadersReceived()
        request.begin(length)

    def requestDone(self, request: object) -> None:
        # Requests that came in the same read have other heads.
        self._head = b""
        self._head_begun = self._head_read = False
        self._savedTimeOut = self.site.limits.idle_timeout
        self._let_in()
        super().requestDone(request)

    def lineLengthExceeded(self, line: bytes) -> None:
        self._refuse(431, "A line of the request's head is too long.")

    def _respondToBadRequestAndDisconnect(self) -> None:
        if (
            self._receivedHeaderSize > self.totalHeadersSize
            or self._receivedHeaderCount > self.maxHeaders
        ):
            self._refuse(431, "The request's head is too large.")
        else:
            self._refuse(400, "The request is malformed.")

    def _refuse(self, status: int, sentence: str, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Answer before there is a request that could, and close."""
        if self.transport is None or self.transport.disconnecting:
            return
        requests, self.requests = self.requests, []
        if not any(request.startedWriting for request in requests):
            content_type, body = self.site.error_body(status, sentence)
            self.transport.write(
                b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n%b"
                b"Connection: close\r\n\r\n%b"
                % (
                    status,
                    HTTPStatus(status).phrase.encode("ascii"),
                    content_type,
                    len(body),
                    b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in headers),
                    body,
                )
            )
        if self._head_read and not self._handlingRequest:
            # Within a body.  Closing now would make the kernel send a reset, which may destroy
            # the answer in the client's hands.
            self._lingering = self.callLater(self.site.limits.linger_timeout, self._lingered)
        else:
            self.loseConnection()
        for request in requests:
            # Whoever is at work on it must not answer behind our answer.
            request.connectionLost(Failure(ConnectionAborted()))

    def _lingered(self) -> None:
        self._lingering = None
        self.loseConnection()

    def _stop_lingering(self) -> None:
        lingering, self._lingering = self._lingering, None
        if lingering is not None:
            lingering.cancel()

    def timeoutConnection(self) -> None:
        if self._answering_fast:
            self.setTimeout(self.timeOut)
        elif self.requests or self._buffer or self._held:
            self._refuse(408, "The request took too long to come.")
        else:
            self.loseConnection()

    def loseConnection(self) -> None:
        if not self._let_go:
            self._let_go = True
            self._abortingCall = self.callLater(self.abortTimeout, self.forceAbortClient)
        super().loseConnection()

    def forceAbortClient(self) -> None:
        self._abortingCall = None
        before, self._unsent = self._unsent, unsent_bytes(self.transport)
        if self._unsent and self._unsent != before:
            # It reads what it was sent, at its pace.
            self._abortingCall = self.callLater(self.abortTimeout, self.forceAbortClient)
        else:
            self.transport.abortConnection()

    # requests whose head is known

    def remember(self, request: Request, answer: FastAnswer) -> None:
        """Answer requests with a head like that of `request`, which was answered, by `answer`."""
        head, self._head = self._head, b""
        if head and self.persistent and may_be_known(request):
            self.site.known_heads.remember(head, answer)

    def _answer_fast(self, data: bytes) -> bool:
        """Answer the request that `data` begins with, where its head is known."""
        found, self._found = self._found, None
        if found is None:
            end = data.find(b"\r\n\r\n") + 4
            head, known_heads = data[:end], self.site.known_heads
            known = known_heads.get(head) if 4 <= end <= known_heads.longest else None
            if known is None:
                # An access log wants to see every request.
                remembers = 4 <= end <= known_heads.longest and self.site.on_access is None
                self._head = head if remembers else b""
                return False
            found = head, known
        if self._head_begun:
            self._head_begun = False
            self.setTimeout(self.site.limits.idle_timeout)
        else:
            self.resetTimeout()
        head, (answer, target, length) = found
        end = len(head)
        whole = end + length
        if len(data) < whole:
            self._held, self._found = data, found
            if self._incoming is None:
                self._incoming = self.site.unfinished.begin(self._cut_off)
            self._incoming.holds(len(data))
            return True
        if self._incoming is not None:
            self._let_in()
        self._answering_fast = True
        self._held = data[whole:]
        if answer(head, target, data[end:whole], self._answered_fast):
            return True
        self._answering_fast = False
        self._held = b""
        self._head = head
        self._head_begun = True
        return False

    def _let_in(self) -> None:
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            incoming.end()

    def _cut_off(self, why: Cut) -> None:
        self._incoming = None
        if self.requests:
            # What came behind a request that is answered for long, and cannot be answered.
            self.transport.abortConnection()
        else:
            self._held = b""
            self._refuse(*REFUSED[why])

    def _answered_fast(self, answer: bytes) -> None:
        if self._write is None:
            self._write = direct_write(self.transport)
        self._write(answer)
        self._answering_fast = False
        held, self._held = self._held, b""
        if held:
            if len(held) > MAX_HELD and not self._waitingForTransport:
                self._networkProducer.resumeProducing()
            self.dataReceived(held)

    def _hold(self, data: bytes) -> None:
        self._held = data
        if len(data) > MAX_HELD:
            self._networkProducer.pauseProducing()

    def connectionLost(self, reason: object = None) -> None:
        # What came behind a request that is being answered was never begun.
        self._held = b""
        self.site.connections.discard(self)
        self._let_in()
        self._taken()
        self._stop_lingering()
        super().connectionLost(reason)

    # a body at the pace of its receiver

    def let_body_be_quiet(self) -> None:
        """No idle timeout ends the body under way."""
        self._quiet = True
        self.setTimeout(None)

    def pause_body(self) -> None:
        """Stop reading.  It is our wish, so the client is not timed out for it."""
        self._reading_paused = True
        self.setTimeout(None)
        self._networkProducer.pauseProducing()

    def resume_body(self) -> None:
        """Read on."""
        if self._reading_paused:
            self._reading_paused = False
            self.setTimeout(None if self._quiet else self.site.limits.idle_timeout)
            if not self._waitingForTransport:
                self._networkProducer.resumeProducing()

    def pauseProducing(self) -> None:
        super().pauseProducing()
        answers = self.site.unfinished.answers
        if self._waiting is None or self._waiting not in answers:
            self._waiting = answers.watch(
                lambda: unsent_bytes(self.transport), self.transport.abortConnection
            )

    def _taken(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self.site.unfinished.answers.forget(waiting)

    def resumeProducing(self) -> None:
        self._taken()
        super().resumeProducing()
        if self._reading_paused:
            self._networkProducer.pauseProducing()
