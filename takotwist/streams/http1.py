"""HTTP/1.1 on Twisted's channel, with deadlines and refusals of our own.

Twisted's idle timer starts anew at every byte, so a head may take hours; and
what it refuses it answers with an empty 400.  Both are mended here.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from twisted.internet.error import ConnectionAborted
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel

from takotwist.streams.http_limits import HttpLimits
from takotwist.streams.unsent import unsent_bytes

#: Untyped, as Twisted's class is in most of what is used of it here.
_Channel: Any = HTTPChannel


class Http1Channel(_Channel):  # type: ignore[misc]
    """One connection of HTTP/1.0 or 1.1.

    :param site: of `streams.site`.
    """

    #: A client that we let go and that neither reads nor goes is dropped after this long.
    abortTimeout = 15
    requests: list[Any]

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

    def dataReceived(self, data: bytes) -> None:
        if self._let_go:
            # TLS still delivers, until the client closes its side too.
            return
        if self._head_read:
            self.resetTimeout()
        elif not self._head_begun:
            self._head_begun = True
            self.setTimeout(self.site.limits.head_timeout)
        LineReceiver.dataReceived(self, data)

    def allHeadersReceived(self) -> None:
        request: Any = self.requests[-1]
        self._head_read = True
        self.setTimeout(self.site.limits.idle_timeout)
        request.head_received(self._command, self._path, self._version, self.length)
        super().allHeadersReceived()
        request.begin()

    def requestDone(self, request: Any) -> None:
        self._head_begun = self._head_read = False
        self._savedTimeOut = self.site.limits.idle_timeout
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

    def _refuse(self, status: int, sentence: str) -> None:
        """Answer before there is a request that could, and close."""
        if self.transport is None or self.transport.disconnecting:
            return
        requests, self.requests = self.requests, []
        if not any(request.startedWriting for request in requests):
            content_type, body = self.site.error_body(status, sentence)
            self.transport.write(
                b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n"
                b"Connection: close\r\n\r\n%b"
                % (status, HTTPStatus(status).phrase.encode("ascii"), content_type, len(body), body)
            )
        self.loseConnection()
        for request in requests:
            # Whoever is at work on it must not answer behind our answer.
            request.connectionLost(Failure(ConnectionAborted()))

    def timeoutConnection(self) -> None:
        if self.requests or self._buffer:
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

    # a body at the pace of its receiver

    def pause_body(self) -> None:
        """Stop reading.  It is our wish, so the client is not timed out for it."""
        self._reading_paused = True
        self.setTimeout(None)
        self._networkProducer.pauseProducing()

    def resume_body(self) -> None:
        """Read on."""
        if self._reading_paused:
            self._reading_paused = False
            self.setTimeout(self.site.limits.idle_timeout)
            if not self._waitingForTransport:
                self._networkProducer.resumeProducing()

    def resumeProducing(self) -> None:
        super().resumeProducing()
        if self._reading_paused:
            self._networkProducer.pauseProducing()
