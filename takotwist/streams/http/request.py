"""A twisted.web request that is judged at its head, bounded, and streamed where wanted.

Twisted reads a whole body before anybody is asked, and answers what it does
not like in HTML.  Here a request is refused as soon as its head or its body
is too much, in the site's own form, and the client still gets to read the answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from io import BytesIO
from typing import Any, cast
from urllib.parse import unquote_to_bytes

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import server
from twisted.web.error import UnsupportedMethod
from twisted.web.http import HTTPChannel, datetimeToString, parse_qs

from takotwist.streams.http.body import BodyReceiver, RequestBody
from takotwist.streams.http.body_framing import MAX_BODY_LENGTH
from takotwist.streams.http.host import is_host_field
from takotwist.streams.http.http1 import Http1Channel
from takotwist.streams.http.interface import FastAnswer
from takotwist.streams.http.limits import Body
from takotwist.streams.unfinished import REFUSED, Cut, Incoming

_log = Logger()

_KNOWN = frozenset(map(int, HTTPStatus))

#: Twisted's class is untyped in most of what is used of it here.
_Request: Any = server.Request


class StreamRequest(_Request):  # type: ignore[misc]
    """A request of `streams.http.site.make_site`; see `streams.http.interface.BodyRequest`."""

    defaultContentType = b"text/plain; charset=utf-8"

    prepath: list[bytes]
    postpath: list[bytes]

    #: Bytes that the body will have, where the client says it.
    stated_length: int | None = None

    _limit: int | None = None
    """Bytes that the body may have; `None` when it is streamed."""
    _head_known = False
    body_complete = False
    _received = 0
    _refusal: tuple[int, str] | None = None
    _body: RequestBody | None = None
    _lingering: IDelayedCall | None = None
    _done = False
    #: Whether the body may be quiet for as long as its receiver allows.
    quiet = False
    #: The body, while it is gathered here.
    _incoming: Incoming | None = None
    _awaits_continue = False
    """True if the client sends its body only when it is told to (RFC 9110, section 10.1.1)."""

    # the head

    def head_received(
        self,
        method: bytes,
        uri: bytes,
        version: bytes,
        length: int | None,
        refusal: tuple[int, str] | None = None,
    ) -> None:
        """Judge the head.  The channel calls `begin` next, when it is ready for an answer.

        :param length: of the body, or `None` when the client does not say.
        :param refusal: the status and sentence with which the channel refuses it.
        """
        fault = self._host_fault(version)
        self._set_head(method, uri, version)
        rule = self.site.body_rule(method, self.path)
        self._limit = None if rule is Body.STREAMED else rule
        if length is not None and length >= MAX_BODY_LENGTH:
            self._refusal = (413, "The stated length is larger than any body.")
        elif length is not None and self._limit is not None and length > self._limit:
            self._refusal = (413, f"A body may have {self._limit} bytes here.")
        fault = fault or self._target_fault()
        if refusal is not None or fault:
            self._refusal = refusal or (400, fault)
        if self._refusal is not None or self._limit is None:
            # Else the client would be told to go on, and then refused: by us, or by whoever
            # takes the body, who has it told then (`stream_body`).
            self._awaits_continue = self.awaits_continue
            self.requestHeaders.removeHeader(b"expect")

    @property
    def awaits_continue(self) -> bool:
        """True if the client is to be told to go on by the channel, at the head."""
        expected = self.requestHeaders.getRawHeaders(b"expect") or ()
        return [one.lower() for one in expected[:1]] == [b"100-continue"]

    def _set_head(self, method: bytes, uri: bytes, version: bytes) -> None:
        self._head_known = True
        self.site = self.channel.site
        if uri.lower().startswith((b"http://", b"https://")):
            # The absolute form; its authority wins (RFC 9112, section 3.2.2).
            authority, slash, rest = uri.split(b"://", 1)[1].partition(b"/")
            self.requestHeaders.setRawHeaders(b"host", [authority])
            uri = slash + rest or b"/"
        self.method, self.uri, self.clientproto = method, uri, version
        self.path, _, query = uri.partition(b"?")
        self.args = _arguments(query) if query else {}

    def _host_fault(self, version: bytes) -> str:
        hosts = self.requestHeaders.getRawHeaders(b"host") or ()
        if not self._on_http1:
            # The authority, which may be said again as a field.
            hosts = tuple(set(hosts))
        if len(hosts) > 1 or (not hosts and version == b"HTTP/1.1"):
            return "A request has exactly one Host header."
        return "" if all(map(is_host_field, hosts)) else "The Host header names no host."

    def _target_fault(self) -> str:
        if not self.path.startswith(b"/") and self.path != b"*":
            return "The request's target is no path."
        # Of an absolute target the authority is the host now.
        hosts = self.requestHeaders.getRawHeaders(b"host") or ()
        return "" if all(map(is_host_field, hosts)) else "The request's target names no host."

    def begin(self, length: int | None) -> None:
        """Answer at the head what can be answered there.

        :param length: of the body, or `None` when the client does not say.
        """
        if self._refusal is not None:
            self.refuse(*self._refusal)
        elif self._limit is None:
            self._body = RequestBody(self._pause, self._resume)
            self.process()
        elif length != 0:
            self.expect_body()

    # the body

    def expect_body(self) -> None:
        """A body is to come, and to be gathered here: it has its pace to keep."""
        self._incoming = self.site.unfinished.begin(self._cut_off)

    def _cut_off(self, why: Cut) -> None:
        self._incoming = None
        self.content = BytesIO()
        self.refuse(*REFUSED[why])

    def gotLength(self, length: int | None) -> None:
        # Always memory: the limit bounds it, and Twisted's temporary file is a
        # system call for every body of unknown length.
        self.content = BytesIO()
        self.stated_length = length

    def handleContentChunk(self, data: bytes) -> None:
        if self._done:
            return
        self._received += len(data)
        if self._lingering is not None:
            if self._received > self.site.limits.linger_bytes:
                self._lingering.reset(0)
        elif self._body is not None:
            self._body.came(data)
        elif self.finished:
            return
        elif self._limit is not None and self._received > self._limit:
            self.refuse(413, f"A body may have {self._limit} bytes here.")
        else:
            self.content.write(data)
            if self._incoming is not None:
                self._incoming.holds(self._received)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        if not self._head_known:
            # A channel that shows no head.
            self._set_head(command, path, version)
        self.body_complete = True
        self._forget_body()
        if self._lingering is not None:
            self._settle()
        elif self._body is not None:
            self._body.ended()
        elif not self.finished:
            self.content.seek(0)
            self.process()

    def stream_body(self, receiver: BodyReceiver) -> None:
        """Take the body as it comes.

        For a resource whose body rule is `Body.STREAMED`; elsewhere it gets the
        whole body at once.  `pause_body` and `resume_body` set the pace.
        """
        if self._done:
            receiver.body_lost()
            return
        if self._awaits_continue:
            self._awaits_continue = False
            if not (self._received or self.body_complete or self._disconnected):
                self.channel._send100Continue()
        if self._body is None:
            self._body = RequestBody(self._pause, self._resume)
            whole = self.content.read()
            if whole:
                self._body.came(whole)
            self._body.ended()
        self._body.take(receiver)

    def let_body_be_quiet(self) -> None:
        """Whoever takes the body says how long it may be quiet: no idle timeout ends it."""
        self.quiet = True
        if isinstance(self.channel, Http1Channel):
            self.channel.let_body_be_quiet()

    def pause_body(self) -> None:
        """Ask for no more of the body now."""
        if self._body is not None:
            self._body.hold()

    def resume_body(self) -> None:
        """Take more of the body."""
        if self._body is not None:
            self._body.go_on()

    def _pause(self) -> None:
        if not self.body_complete and not self._disconnected and not self._done:
            self.channel.pauseProducing() if not self._on_http1 else self.channel.pause_body()

    def _resume(self) -> None:
        if not self.body_complete and not self._disconnected and not self._done:
            self.channel.resumeProducing() if not self._on_http1 else self.channel.resume_body()

    @property
    def leaves_body(self) -> bool:
        """True if an answer that begins now is the last on its connection of HTTP/1.1.

        Its client was never told to send its body, or has more of it to send than is read
        for nothing.
        """
        if self.body_complete or (self._body is not None and self._body.is_taken):
            return False
        left = (self.stated_length or 0) - self._received
        return self._awaits_continue or left > self.site.limits.linger_bytes

    # the answer

    @property
    def _on_http1(self) -> bool:
        return isinstance(self.channel, HTTPChannel)

    def process(self) -> None:
        self.setHeader(b"Date", datetimeToString())
        self.prepath = []
        self.postpath = [unquote_to_bytes(part) for part in self.path[1:].split(b"/")]
        try:
            if self.path == b"*":
                self._handleStar()
            else:
                self.render(self.site.getResourceFor(self))
        except Exception:
            self.processingFailed(Failure())

    def render(self, resrc: Any) -> None:
        try:
            body = resrc.render(self)
        except UnsupportedMethod as unsupported:
            allowed = cast("Iterable[bytes]", unsupported.allowedMethods)
            if self.method == b"HEAD" and b"GET" in allowed:
                super().render(resrc)
                return
            allow = b", ".join(allowed).decode("ascii")
            self.refuse(405, "This method is not allowed here.", (("Allow", allow),))
            return
        if body is server.NOT_DONE_YET:
            return
        if not isinstance(body, bytes):
            raise TypeError(f"{resrc!r} rendered {type(body).__name__}, not bytes")
        self.setHeader(b"Content-Length", b"%d" % len(body))
        self.write(b"" if self.method == b"HEAD" else body)
        self.finish()

    def setResponseCode(self, code: int, message: bytes | None = None) -> None:
        if message is None and code in _KNOWN:
            # Twisted's own table ends before 426.
            message = HTTPStatus(code).phrase.encode("ascii")
        super().setResponseCode(code, message)

    def refuse(self, status: int, sentence: str, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Answer with an error, in the form of the site."""
        content_type, body = self.site.error_body(status, sentence)
        self.setResponseCode(status)
        self.setHeader(b"Date", datetimeToString())
        self.setHeader(b"Content-Type", content_type)
        self.setHeader(b"Content-Length", b"%d" % len(body))
        for name, value in headers:
            self.setHeader(name, value)
        if self._on_http1 and not self.body_complete:
            self.setHeader(b"Connection", b"close")
            self.close_after()
        self.write(body)
        self.finish()

    def close_after(self) -> None:
        """Let no other request follow on this connection, where it is one of HTTP/1."""
        if self._on_http1:
            self.channel.persistent = 0

    def remember(self, answer: FastAnswer) -> None:
        """Have requests with the same head answered by `answer` from now on.

        The same is one that may differ in its target, its length, and the values of fields
        that `make_site` was not told of.  Nothing where the HTTP version has no such way.
        """
        if isinstance(self.channel, Http1Channel):
            self.channel.remember(self, answer)

    def processingFailed(self, reason: Failure) -> Failure:
        _log.failure("A request failed", failure=reason)
        if self._disconnected or self.finished:
            return reason
        if not self.startedWriting:
            self.refuse(500, "The server failed; its log has the reason.")
        elif self._on_http1:
            # A part of the answer is out.  Only a broken end says that it is one.
            self.channel.transport.abortConnection()
        else:
            self.channel.abortConnection()
        return reason

    # the end

    @property
    def gone(self) -> bool:
        """True if the client has left before the end of the answer."""
        return bool(self._disconnected)

    def _forget_body(self) -> None:
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            incoming.end()

    def _cleanup(self) -> None:
        self._forget_body()
        if self._body is not None:
            self._body.drop()
        if self.body_complete or not self._on_http1:
            self._settle()
            return
        # The answer is out and the body is not all in.  Closing now would make the
        # kernel send a reset, which may destroy the answer in the client's hands;
        # reading on as if it was the next request would be worse.
        self._received = 0
        self._lingering = self.site.reactor.callLater(
            self.site.limits.linger_timeout, self._give_up
        )
        self._resume()

    def _give_up(self) -> None:
        self._lingering = None
        self.close_after()
        self._settle()

    def _settle(self) -> None:
        lingering, self._lingering = self._lingering, None
        if lingering is not None:
            lingering.cancel()
        self._done = True
        super()._cleanup()
        self._let_go()

    def connectionLost(self, reason: Failure) -> None:
        lingering, self._lingering = self._lingering, None
        if lingering is not None:
            lingering.cancel()
        self._done = True
        self._forget_body()
        super().connectionLost(reason)
        if self._body is not None:
            self._body.lost()
        self._let_go()

    def _let_go(self) -> None:
        """It is over.  Klein's closures keep it until Python looks for cycles, and it would keep
        the transport with all that its client has not read."""
        self.transport = self._body = None


def _arguments(query: bytes) -> dict[bytes, list[bytes]]:
    """The parts of a query, with those that are a name alone, which `parse_qs` leaves out."""
    named = [one if b"=" in one else one + b"=" for one in query.split(b"&") if one]
    arguments: dict[bytes, list[bytes]] = parse_qs(b"&".join(named), True)
    return arguments
