"""A connection that carries frames both ways, as the protocol's speakers see it.

A speaker (`channel_speaker`, `mux`) knows frames and topics; a wire knows one
transport.  Rule: whatever leaves goes through the wire's send queue or after it,
so control frames and messages keep their order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from takotwist.codecs.websocket_frame import binary_frame, text_frame
from takotwist.codecs.wire_forms import WEBSOCKET_MUX
from takotwist.core.deadlines import Pings, Pulse
from takotwist.core.send_queue import SendQueue
from takotwist.errors import Refusal
from takotwist.flow.session import Session
from takotwist.streams.http.interface import Request
from takotwist.streams.websocket.connection import WebSocketConnection
from takotwist.streams.websocket.upgrade import WebSocketUpgrade
from takotwist.transports.admission import Admission, ConnectionSlot


class Speaker(Protocol):
    """One dialect of the protocol on one wire."""

    def received(self, text: bytes) -> None:
        """A frame has come."""

    def lost(self) -> None:
        """The connection has gone."""


class _NullSpeaker:
    """Speaks while the real speaker is being made, which may end the connection at once."""

    def received(self, text: bytes) -> None:
        """Nobody listens."""

    def lost(self) -> None:
        """Nobody has to be told."""


def ignore_pressure(blocked: bool) -> None:
    """A wire's `on_pressure` while nobody has to be told."""


class Wire(Protocol):
    """One connection.

    :ivar session: what it follows.
    """

    session: Session

    def send(self, frame: bytes) -> None:
        """Write one control frame, JSON, behind all that was pushed before."""

    def end(self, refusal: Refusal | None) -> None:
        """End the connection; `None` is its normal end, to come back at once."""

    def hold(self, full: bool) -> None:
        """Stop reading from the peer, or go on."""

    def keep_alive(self, interval: float) -> None:
        """Notice within two intervals, in seconds, that the peer is gone."""


class WebSocketWire:
    """A wire on an open WebSocket.

    :param form: the wire form of messages on it.
    """

    __slots__ = (
        "_admission",
        "_connection",
        "_early",
        "_end_reason",
        "_holds",
        "_pings",
        "left",
        "on_pressure",
        "send_queue",
        "session",
        "speaker",
    )

    session: Session
    speaker: Speaker

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self.speaker = _NullSpeaker()
        self._connection: WebSocketConnection | None = None
        self._early: list[tuple[bytes, bool]] = []
        self._pings: Pings | None = None
        self._end_reason: str | None = None
        self._holds = 0
        #: Whether the peer has closed as who has gone for good does.
        self.left = False
        self.on_pressure: Callable[[bool], None] = ignore_pressure
        self.send_queue: SendQueue = admission.new_send_queue()

    def open(
        self,
        request: Request,
        upgrade: WebSocketUpgrade,
        subprotocol: str | None,
        slot: ConnectionSlot,
        kind: str,
        form: object,
        speaker: Callable[[WebSocketWire], Speaker],
    ) -> bool:
        """Answer the handshake.

        :param slot: for the session; used also when the peer has gone.
        :param speaker: makes the speaker, which may send at once.
        :return: whether the peer is still there.
        """
        connection = upgrade.upgrade(
            request,
            on_message=self._message,
            on_closed=self._closed,
            on_pong=self._heard,
            on_pause=self._paused,
            on_resume=self._resumed,
            subprotocol=subprotocol,
        )
        if connection is None:
            return False
        self.session = slot.open(kind, self.send_queue, self.end)
        self._connection = connection
        # A connection with many topics may have something of each in one turn.
        at_once = connection.direct and form is not WEBSOCKET_MUX
        send = connection.socket_send if at_once else None
        self.send_queue.connect(form, connection.write_frames, at_once=at_once, send=send)
        connection.on_closing = self.send_queue.discard
        made = speaker(self)
        if self._connection is not None:
            # Else it has ended the connection, and would only be kept by who is gone.
            self.speaker = made
        early, self._early = self._early, []
        for payload, is_binary in early:
            self._message(payload, is_binary)
        return True

    def send(self, frame: bytes) -> None:
        """Write one control frame behind all that was pushed before."""
        if self._connection is not None:
            whole = text_frame(frame)
            # The answers to what one commit stored leave together.
            if not (self._admission.flush_batch.delivering and self.send_queue.push(whole)):
                self.send_queue.flush()
                self._connection.write_frames(whole)

    def send_binary(self, payload: bytes) -> None:
        """Write one binary frame behind all that was pushed before."""
        if self._connection is not None:
            self.send_queue.flush()
            self._connection.write_frames(binary_frame(payload))

    @property
    def paused(self) -> bool:
        """Whether the peer reads slower than is written."""
        return self._connection is not None and self._connection.paused

    def later(self, name: str, when: float, action: Callable[[], None]) -> None:
        """Do something at a time, unless the connection has gone."""
        self.session.later(name, when, action)

    def end(self, refusal: Refusal | None) -> None:
        """Close with the refusal's code (protocol, section 5)."""
        connection = self._connection
        if connection is None:
            return
        self.send_queue.flush()
        code, reason = self._admission.answers.close_of(refusal)
        self._end_reason = reason
        connection.close(code, reason)
        self._gone(reason)

    def abort(self, reason: str) -> None:
        """Drop the peer without a word."""
        if self._connection is not None:
            self._connection.abort()
            self._gone(reason)

    def hold(self, full: bool) -> None:
        """Stop reading from the peer while anything holds."""
        self._holds += 1 if full else -1
        if self._connection is not None:
            if full and self._holds == 1:
                self._connection.pause_reading()
            elif self._holds == 0:
                self._connection.resume_reading()

    def keep_alive(self, interval: float) -> None:
        """Ping every `interval` seconds, and drop a peer that answers none of two intervals."""
        self._pings = Pings(interval, self._admission.seconds())
        self.session.later("keepalive", self._admission.seconds() + interval, self._beat)

    def _beat(self) -> None:
        assert self._pings is not None and self._connection is not None
        now = self._admission.seconds()
        pulse, again = self._pings.check(now)
        if pulse is Pulse.DROP:
            self.abort("no answer to pings")
            return
        if not self._connection.paused:
            # Behind a full buffer a ping would be as late as everything else,
            # and one that comes through already proves that the peer reads.
            self._connection.ping()
        self.session.later("keepalive", again, self._beat)

    def _message(self, payload: bytes, is_binary: bool) -> None:
        connection = self._connection
        if connection is None:
            self._early.append((payload, is_binary))
            return
        self._heard(b"")
        if is_binary:
            take = getattr(self.speaker, "received_binary", None)
            if take is not None and take(payload):
                return
            self._end_reason = "binary frame"
            connection.close(1003, "text-frames-only")
            self._gone("binary frame")
            return
        self.speaker.received(payload)

    def _heard(self, _: bytes) -> None:
        if self._pings is not None:
            self._pings.heard(self._admission.seconds())

    def _paused(self) -> None:
        self.send_queue.paused = True
        self.on_pressure(True)

    def _resumed(self) -> None:
        self._heard(b"")
        if not self.session.closed:
            self._admission.attacher.resumed(self.send_queue)
            self.on_pressure(False)

    def _closed(self, code: int, reason: str, clean: bool) -> None:
        self.left = clean and code in (1000, 1001)
        self._gone(f"client closed ({code})" if clean else f"connection lost ({code})")

    def _gone(self, why: str) -> None:
        self._connection = None
        if not self.session.closed:
            self.session.close(why)
            # They know this wire, and would stay with it until Python looks for cycles.
            speaker, self.speaker = self.speaker, _NullSpeaker()
            self.on_pressure = ignore_pressure
            speaker.lost()
