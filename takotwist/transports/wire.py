"""Connection adapters: one transport below, a speaker of the protocol above.

A speaker (`channel_speaker`, `mux`) knows frames and topics; a wire knows one
transport.  Rule: whatever leaves goes through the wire's send queue or after it,
so control frames and messages keep their order.

Lifecycle of a wire (`TRANSITIONS`):

    OPENING  handshake answered -> OPEN; client gone before that -> ENDED
    OPEN     client closed with 1000 or 1001 -> LEFT; closed or dropped by us, client closed
             with another code, connection lost -> ENDED
    LEFT, ENDED   final

A client that left is not one that was lost: live objects wait for the second to come back.
Rule: the connection, the session and the speaker are a wire's exactly while it is OPEN, and
whatever comes in a final state is dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Protocol

from takotwist.codecs.websocket_frame import binary_frame, text_frame
from takotwist.codecs.wire_forms import WEBSOCKET_MUX
from takotwist.core.deadlines import Pings, Pulse
from takotwist.core.send_queue import SendQueue
from takotwist.errors import Refusal
from takotwist.flow.back_pressure import ReadHolds
from takotwist.flow.session import Session
from takotwist.states import Transitions, moved
from takotwist.streams.http.interface import Request
from takotwist.streams.websocket.connection import WebSocketConnection
from takotwist.streams.websocket.upgrade import WebSocketUpgrade
from takotwist.transports.admission import Admission, ConnectionSlot


class WireState(Enum):
    """State of a wire's lifecycle."""

    #: The handshake is being answered; frames that come behind it are kept.
    OPENING = "opening"
    OPEN = "open"
    #: The client closed as one that has gone for good.
    LEFT = "left"
    #: Closed or dropped by the server, or lost.
    ENDED = "ended"


TRANSITIONS: Transitions[WireState] = {
    WireState.OPENING: frozenset({WireState.OPEN, WireState.ENDED}),
    WireState.OPEN: frozenset({WireState.LEFT, WireState.ENDED}),
    WireState.LEFT: frozenset(),
    WireState.ENDED: frozenset(),
}

#: Close codes of a client that has gone for good: normal closure, going away.
LEAVING_CODES = frozenset({1000, 1001})


class Speaker(Protocol):
    """One dialect of the protocol on one wire."""

    def received(self, text: bytes) -> None:
        """A frame has come."""

    def lost(self) -> None:
        """The connection has gone."""


class NullSpeaker:
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


class WebSocketWire(ReadHolds):
    """A wire on a WebSocket."""

    __slots__ = (
        "_admission",
        "_connection",
        "_early",
        "_pings",
        "on_pressure",
        "send_queue",
        "session",
        "speaker",
        "state",
    )

    session: Session
    speaker: Speaker

    def __init__(self, admission: Admission) -> None:
        super().__init__()
        self.state = WireState.OPENING
        self._admission = admission
        self.speaker = NullSpeaker()
        #: There exactly while the wire is open: to read it is cheaper than to read the state.
        self._connection: WebSocketConnection | None = None
        self._early: list[tuple[bytes, bool]] = []
        self._pings: Pings | None = None
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

        :param slot: for the session; left unused when the peer has gone.
        :param form: the wire form of messages.
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
        if connection is None or connection.closed:
            self.state = moved(TRANSITIONS, self.state, WireState.ENDED)
            return False
        self.session = slot.open(kind, self.send_queue, self.end)
        self._connection = connection
        self.state = moved(TRANSITIONS, self.state, WireState.OPEN)
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
        """True while the peer reads slower than is written."""
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
        connection.close(code, reason)
        self._gone(reason)

    def abort(self, reason: str) -> None:
        """Drop the peer without a word."""
        if self._connection is not None:
            self._connection.abort()
            self._gone(reason)

    @property
    def left(self) -> bool:
        """True when the peer has closed as one that has gone for good."""
        return self.state is WireState.LEFT

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
            if self.state is WireState.OPENING:
                self._early.append((payload, is_binary))
            return
        self._heard(b"")
        if is_binary:
            take = getattr(self.speaker, "received_binary", None)
            if take is not None and take(payload):
                return
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
        if self.state is WireState.OPEN:
            self._admission.attacher.resumed(self.send_queue)
            self.on_pressure(False)

    def _closed(self, code: int, reason: str, clean: bool) -> None:
        left = clean and code in LEAVING_CODES
        self._gone(
            f"client closed ({code})" if clean else f"connection lost ({code})",
            WireState.LEFT if left else WireState.ENDED,
        )

    def _gone(self, why: str, to: WireState = WireState.ENDED) -> None:
        if self.state is not WireState.OPEN:
            # The client's answer to our close, or its end within the handshake (`open`).
            return
        self.state = moved(TRANSITIONS, self.state, to)
        self._connection = None
        self.session.close(why)
        # They know this wire, and would stay with it until Python looks for cycles.
        speaker, self.speaker = self.speaker, NullSpeaker()
        self.on_pressure = ignore_pressure
        speaker.lost()

    def _pause_reading(self) -> None:
        if self._connection is not None:
            self._connection.pause_reading()

    def _resume_reading(self) -> None:
        if self._connection is not None:
            self._connection.resume_reading()
