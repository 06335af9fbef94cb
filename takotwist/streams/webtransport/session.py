"""One WebTransport session: its datagrams, its streams, and its close, which comes once.

A handler holds it; the connection knows its CONNECT stream (`StreamReceiver`).
Whoever closes, the streams are reset, the iterators end, and the connection
stays for its other sessions.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from aioquic.h3.connection import ErrorCode
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.logger import Logger
from twisted.web.http_headers import Headers

from takotwist.streams.http3.link import Link
from takotwist.streams.webtransport.capsules import (
    CapsuleError,
    CapsuleParser,
    CloseSession,
    Datagrams,
    encode_close,
    encode_drain,
)
from takotwist.streams.webtransport.config import WebTransportConfig
from takotwist.streams.webtransport.errors import (
    BUFFERED_STREAM_REJECTED,
    MAX_CODE,
    SessionClosed,
    TooManyStreams,
)
from takotwist.streams.webtransport.protocol import Work
from takotwist.streams.webtransport.receiving import Arrivals
from takotwist.streams.webtransport.request import SessionRequest
from takotwist.streams.webtransport.stream import WebTransportStream


class WebTransportSession:
    """A session.

    :ivar id: the id of its CONNECT stream, unique on the connection.
    :ivar request: how it was asked for.
    :ivar protocol: the application protocol agreed on, or `None`.
    :ivar datagrams: see `Datagrams`.
    :ivar incoming_uni: one-way streams that the client opens; an asynchronous iterator.
    :ivar incoming_bidi: two-way streams that the client opens; likewise.
    :ivar draining: whether the session was asked, by either side, to come to its end.
    """

    log = Logger()

    def __init__(
        self,
        link: Link,
        session_id: int,
        request: SessionRequest,
        config: WebTransportConfig,
        protocol: str | None,
        on_closed: Callable[[WebTransportSession], None],
        on_idle: Callable[[WebTransportSession], None],
    ) -> None:
        self._link, self.id, self.request = link, session_id, request
        self._config, self.protocol = config, protocol
        self._on_closed = on_closed
        self.datagrams = Datagrams(link, session_id, config.max_datagrams)
        self.incoming_uni: Arrivals[WebTransportStream] = Arrivals(config.max_streams)
        self.incoming_bidi: Arrivals[WebTransportStream] = Arrivals(config.max_streams)
        self.draining = False
        self._accepted = False
        self._theirs: set[WebTransportStream] = set()
        self._ours: set[WebTransportStream] = set()
        self._capsules = CapsuleParser()
        self._closed: SessionClosed | None = None
        self._waiting: list[Deferred[None]] = []
        self._work = Work(
            link.clock,
            config.handler_grace,
            lambda: self.close(1011, "internal-error"),
            lambda: on_idle(self),
        )

    @property
    def path(self) -> str:
        """The path asked for, without the query."""
        return self.request.path

    @property
    def headers(self) -> Headers:
        """The request's header fields."""
        return self.request.headers

    @property
    def peer(self) -> IAddress:
        """The client's address."""
        return self._link.peer

    @property
    def closed(self) -> SessionClosed | None:
        """The close of the session; `None` while it is open."""
        return self._closed

    async def wait_closed(self) -> SessionClosed:
        """Wait for the end; returns code and reason, raises nothing."""
        while self._closed is None:
            await self._change()
        return self._closed

    def open_uni(self) -> WebTransportStream:
        """Open a stream to the client.

        :raises TooManyStreams: `WebTransportConfig.max_streams` of ours are open.
        :raises SessionClosed: the session is over.
        """
        return self._open(one_way=True)

    def open_bidi(self) -> WebTransportStream:
        """Open a stream to the client and back; raises what `open_uni` does."""
        return self._open(one_way=False)

    def close(self, code: int = 0, reason: str = "") -> None:
        """Close the session; all its streams are reset.  Does nothing when it is closed.

        :param code: the application's, 0 to 2**32 - 1.
        :param reason: cut to 1024 bytes of UTF-8.
        """
        if not 0 <= code <= MAX_CODE:
            raise ValueError(f"a close code is 0 to {MAX_CODE}, not {code}")
        if self._closed is None:
            self._link.send_data(self.id, encode_close(code, reason), ended=True)
            # The client ends its direction in answer; nothing in it matters any more.
            self._end(SessionClosed(code, reason))

    def drain(self) -> None:
        """Ask the client to bring the session to its end (a hint; nothing is closed)."""
        if self._closed is None and not self.draining:
            self.draining = True
            if self._accepted:
                self._link.send_data(self.id, encode_drain(), ended=False)
            self._changed()

    async def wait_draining(self) -> None:
        """Wait until the session should come to its end, or has."""
        while not self.draining and self._closed is None:
            await self._change()

    def start(self, work: Coroutine[Deferred[object], object, object]) -> None:
        """Run a coroutine beside the handler.

        What it raises is logged and closes the session with 1011; when the
        session ends it has `WebTransportConfig.handler_grace` to do the same.
        """
        self._work.start(work)

    @property
    def working(self) -> bool:
        """True while the handler, or something it started, has not returned yet."""
        return bool(self._work)

    def cancel(self) -> None:
        """Cancel whatever still works; its grace is over."""
        self._work.cancel()

    # From the table

    def refuse(self, status: int) -> None:
        """Answer the request by `status` instead of accepting it."""
        if self._closed is None:
            self._link.send_headers(self.id, [(b":status", b"%d" % status)], ended=True)
            self._link.stop(self.id, ErrorCode.H3_NO_ERROR)
            self._end(SessionClosed(clean=False))

    def accepted(self) -> None:
        """The 200 is on its way."""
        self._accepted = True

    def serve(self, handler: Callable[[WebTransportSession], object]) -> None:
        """Run the handler; the session lasts no longer than it."""
        self.start(self._run(handler))

    def stream_arrived(self, stream_id: int, data: bytes, ended: bool) -> WebTransportStream:
        """The client opened a stream."""
        one_way = bool(stream_id & 2)
        stream = WebTransportStream(
            self._link,
            stream_id,
            self._config,
            readable=True,
            writable=not one_way,
            on_over=self._theirs.discard,
        )
        self._link.attach(stream_id, stream)
        arrivals = self.incoming_uni if one_way else self.incoming_bidi
        if len(self._theirs) >= self._config.max_streams or arrivals.full:
            stream.reject(BUFFERED_STREAM_REJECTED, SessionClosed(clean=False))
            stream.data_received(b"", ended)
        else:
            self._theirs.add(stream)
            stream.data_received(data, ended)
            arrivals.put(stream)
        return stream

    # From the connection: the CONNECT stream

    def data_received(self, data: bytes, ended: bool) -> None:
        """The next capsules."""
        if self._closed is not None:
            return
        try:
            for capsule in self._capsules.feed(data):
                if isinstance(capsule, CloseSession):
                    self._answer_close(SessionClosed(capsule.code, capsule.reason))
                    return
                self.draining = True
                self._changed()
            if ended:
                self._capsules.finish()
                self._answer_close(SessionClosed())
        except CapsuleError as error:
            self.reset_received(ErrorCode.H3_MESSAGE_ERROR)
            self.log.debug("WebTransport session reset: {error}", error=error)

    def reset_received(self, code: int) -> None:
        """The session ended without a close."""
        self._link.reset(self.id, code)
        self._link.stop(self.id, code)
        self._end(SessionClosed(0, "", clean=False))

    stop_received = reset_received

    def connection_lost(self, reason: str) -> None:
        """The connection is over."""
        self._end(SessionClosed(0, reason, clean=False))

    # Inside

    def _open(self, *, one_way: bool) -> WebTransportStream:
        if self._closed is not None:
            raise self._closed
        if len(self._ours) >= self._config.max_streams:
            raise TooManyStreams(f"{len(self._ours)} streams are open already")
        stream = WebTransportStream(
            self._link,
            self._link.open_stream(self.id, one_way=one_way),
            self._config,
            readable=not one_way,
            writable=True,
            on_over=self._ours.discard,
        )
        self._ours.add(stream)
        self._link.attach(stream.id, stream)
        return stream

    async def _run(self, handler: Callable[[WebTransportSession], Any]) -> None:
        await handler(self)
        for stream in [*self._ours, *self._theirs]:
            if stream.finishing:
                await stream.delivered()
        self.close()

    def _answer_close(self, closed: SessionClosed) -> None:
        self._link.send_data(self.id, b"", ended=True)
        self._end(closed)

    def _end(self, closed: SessionClosed) -> None:
        if self._closed is not None:
            return
        self._closed = closed
        self._work.end()  # first: what fails from here on fails because of the end
        self._link.forget(self.id)
        self._on_closed(self)
        for stream in [*self._ours, *self._theirs]:
            stream.session_closed(closed)
        self._ours.clear()
        self._theirs.clear()
        self.datagrams.close(closed)
        self.incoming_uni.end(closed)
        self.incoming_bidi.end(closed)
        self._changed()

    def _changed(self) -> None:
        waiting, self._waiting = self._waiting, []
        for turn in waiting:
            if not turn.called:
                turn.callback(None)

    async def _change(self) -> None:
        turn: Deferred[None] = Deferred()
        self._waiting.append(turn)
        try:
            await turn
        finally:
            if turn in self._waiting:
                self._waiting.remove(turn)
