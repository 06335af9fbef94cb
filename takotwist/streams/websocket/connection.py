"""One open WebSocket connection, on Autobahn's protocol.

Autobahn parses frames, unmasks, inflates and answers closes; everything that
takes time or goes out in bulk is here.  Rule: no timer of Autobahn's runs
(they are on txaio's global loop), and nothing but this file touches it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from zope.interface import implementer

from takotwist.codecs.websocket_frame import (
    binary_frame,
    check_close_code,
    close_reason,
    ping_frame,
    pong_frame,
    text_frame,
)
from takotwist.streams.seams.socket import direct_write, is_direct, straight_send, unsent_bytes
from takotwist.streams.unread import Unread, Waiting


def _nothing(*_: object) -> None:
    pass


@implementer(IPushProducer)
class WebSocketConnection:
    """One open connection.  Made by `WebSocketUpgrade`.

    :ivar paused: whether the client reads slower than is written.  What is written
        meanwhile is queued without bound, so a caller stops.
    :ivar closed: whether the connection has gone.
    :ivar reading: whether what the client sends is read.
    :ivar open: whether messages can still be sent: a close was neither sent nor received.
    :ivar subprotocol: the one agreed on, or `None`.
    :ivar transport: the connection's own (`ITransport`), for who writes frames directly.
    """

    __slots__ = (
        "_answers",
        "_close_timeout",
        "_on_closed",
        "_on_message",
        "_on_pause",
        "_on_pong",
        "_on_resume",
        "_protocol",
        "_reactor",
        "_timer",
        "_unanswered_ping",
        "_unread",
        "_waiting",
        "closed",
        "on_closing",
        "open",
        "paused",
        "reading",
        "subprotocol",
        "transport",
        "write_frames",
    )

    def __init__(
        self,
        reactor: IReactorTime,
        close_timeout: float,
        waiting: list[Deferred[None]],
        answers: Unread,
        *,
        subprotocol: str | None,
        on_message: Callable[[bytes, bool], object],
        on_closed: Callable[[int, str, bool], object] = _nothing,
        on_pong: Callable[[bytes], object] = _nothing,
        on_pause: Callable[[], object] = _nothing,
        on_resume: Callable[[], object] = _nothing,
    ) -> None:
        self._reactor = reactor
        self._close_timeout = close_timeout
        self._waiting = waiting
        self._on_message = on_message
        self._on_closed = on_closed
        self._on_pong = on_pong
        self._on_pause = on_pause
        self._on_resume = on_resume
        self._timer: IDelayedCall | None = None
        self._unanswered_ping: bytes | None = None
        self._unread: Waiting | None = None
        self._answers = answers
        self.reading = True
        self._protocol: Any = None
        self.transport: Any = None
        self.subprotocol = subprotocol
        self.open = False
        self.paused = False
        self.closed = False
        #: Write frames that are already encoded, one or many joined, straight to
        #: the connection.  A plain attribute that holds the method itself: a call
        #: less for each delivery.
        self.write_frames: Callable[[bytes], None] = _nothing
        #: For whoever keeps that method: no data may follow a close frame (RFC 6455,
        #: section 5.5.1), so it is told when one is sent or has come.
        self.on_closing: Callable[[], object] = _nothing

    # what the caller does

    def send_text(self, payload: bytes) -> None:
        """Send a text message; compressed, where that was agreed.

        :param payload: UTF-8; it is the caller's promise that it is.
        """
        self._send(payload, False)

    def send_binary(self, payload: bytes) -> None:
        """Send a binary message; compressed, where that was agreed."""
        self._send(payload, True)

    def _send(self, payload: bytes, is_binary: bool) -> None:
        if self.open and self._protocol.compresses(payload):
            self._protocol.send_compressed(payload, is_binary)
        else:
            self.write_frames((binary_frame if is_binary else text_frame)(payload))

    def ping(self, payload: bytes = b"") -> None:
        """Ask for a pong.

        :raises ValueError: when `payload` is longer than 125 bytes.
        """
        self.write_frames(ping_frame(payload))

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Begin the closing handshake; the client has the config's `close_timeout` to answer.

        Does nothing when a close was already sent or received.

        :param reason: cut to the 123 bytes that fit.
        :raises ValueError: when `code` may not be sent.
        """
        check_close_code(code)
        if self.open:
            self._protocol.sendCloseFrame(code, close_reason(reason) or None, isReply=False)

    def abort(self) -> None:
        """Drop the client without a word.  `on_closed` gets 1006."""
        if not self.closed:
            self._stop_sending()
            self.transport.unregisterProducer()
            self.transport.abortConnection()

    def pause_reading(self) -> None:
        """Leave what the client sends in its socket.  Pongs and its leaving go unseen meanwhile."""
        if self.open and self.reading:
            self.reading = False
            self.transport.pauseProducing()
            self._protocol.read_on(False)

    def resume_reading(self) -> None:
        """Read on."""
        if not self.closed and not self.reading:
            self.reading = True
            self._protocol.read_on(True)
            self.transport.resumeProducing()

    @property
    def direct(self) -> bool:
        """True if `write_frames` goes straight to a socket, and never raises."""
        return is_direct(self.write_frames)

    @property
    def socket_send(self) -> Callable[[bytes], int] | None:
        """The socket's own ``send``, behind `write_frames`; see `seams.socket.straight_send`."""
        return straight_send(self.write_frames)

    @property
    def buffered(self) -> int:
        """Bytes written and known to be unsent."""
        return 0 if self.closed else unsent_bytes(self.transport)

    # what the protocol tells

    def opened(self, protocol: Any) -> None:
        self._protocol = protocol
        self.transport = protocol.transport
        self.write_frames = direct_write(protocol.transport)
        self.open = True

    def next_turn(self, action: Callable[[], object]) -> IDelayedCall:
        """Do something in the reactor's next turn, when others have had theirs."""
        return self._reactor.callLater(0, action)

    def seconds(self) -> float:
        """The time of the reactor."""
        return self._reactor.seconds()

    def message_received(self, payload: bytes, is_binary: bool) -> None:
        if self.open:
            self._on_message(payload, is_binary)

    def ping_received(self, payload: bytes) -> None:
        if self.paused:
            # A client that pings and never reads would fill our memory with pongs.
            # Answering the latest ping is enough (RFC 6455, section 5.5.3).
            self._unanswered_ping = payload
        else:
            self.write_frames(pong_frame(payload))

    def pong_received(self, payload: bytes) -> None:
        self._on_pong(payload)

    def closing(self) -> None:
        """A close frame was sent, or the connection is being let go: it has until the timeout."""
        self._stop_sending()
        # The client's own close can be seen only by reading.
        self.resume_reading()
        if self._timer is None and not self.closed:
            self._timer = self._reactor.callLater(self._close_timeout, self._overdue)

    def lost(self, code: int, reason: str, clean: bool, why: Any) -> None:
        if self.closed:
            return
        self.closed = True
        self._stop_sending()
        self._protocol = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        on_closed, self._on_closed = self._on_closed, _nothing
        self._on_message = self._on_pong = self._on_pause = self._on_resume = _nothing
        waiting, self._waiting = self._waiting, []
        # First the framework that routed the request, so that it does not answer
        # it when the handler's end comes to it.
        for finished in waiting:
            finished.errback(why)
        on_closed(code, reason, clean)

    def _overdue(self) -> None:
        self._timer = None
        self.abort()

    def _taken(self) -> None:
        unread, self._unread = self._unread, None
        if unread is not None:
            self._answers.forget(unread)

    def _stop_sending(self) -> None:
        self._taken()
        self.open = False
        self.paused = False
        self._unanswered_ping = None
        self.write_frames = _nothing
        on_closing, self.on_closing = self.on_closing, _nothing
        on_closing()

    # IPushProducer, towards the transport

    def pauseProducing(self) -> None:
        if self.open and not self.paused:
            self.paused = True
            self._unread = self._answers.watch(lambda: self.buffered, self.abort)
            self._on_pause()

    def resumeProducing(self) -> None:
        if self.paused:
            self.paused = False
            self._taken()
            ping, self._unanswered_ping = self._unanswered_ping, None
            if ping is not None:
                self.write_frames(pong_frame(ping))
            self._on_resume()

    def stopProducing(self) -> None:
        """The connection is going; `lost` follows."""
