"""Autobahn's server protocol, slimmed and silent, feeding a `WebSocketConnection`.

The handshake was judged and answered before (`streams.websocket.upgrade`), so this
begins with the first frame.  Rule: a thin adapter; what is decided here is only what
Autobahn leaves no other place for.

Autobahn copies 27 options to every connection, sets 35 attributes and pretty-prints
them for a log line that is off; that is most of its handshake's time.  `AutobahnDefaults`
holds them once.  Rule: what stands there is the same for all connections, or differs for
only some and late.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from autobahn.twisted.websocket import WebSocketServerProtocol
from autobahn.websocket.compress import PerMessageDeflate, PerMessageDeflateOfferAccept
from autobahn.websocket.protocol import TrafficStats
from autobahn.websocket.utf8validator import Utf8Validator
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from takotwist.streams.unfinished import CLOSE_CODE, Cut, Incoming
from takotwist.streams.websocket.connection import WebSocketConnection


class _Silence:
    """Takes the place of Autobahn's logger: every end is told to the caller instead."""

    def debug(self, *_: object, **__: object) -> None:
        pass

    info = warn = error = trace = failure = critical = debug


class _Unobserved:
    """Takes the place of Autobahn's future of the end, which nobody awaits."""

    def callback(self, _: object) -> None:
        pass


class AutobahnDefaults:
    """Stands before Autobahn's class among the bases of ours."""

    CONFIG_ATTRS = ()
    log = _Silence()
    is_closed = _Unobserved()

    # options

    logOctets = logFrames = trackTimings = False
    utf8validateIncoming = applyMask = requireMaskedClientFrames = True
    maskServerFrames = serveFlashSocketPolicy = failByDrop = False
    echoCloseCodeReason = True
    autoFragmentSize = autoPingInterval = autoPingTimeout = 0
    autoPingRestartOnAnyTraffic = False
    #: Off, as all of Autobahn's timers: they are on txaio's loop, not on our reactor.
    openHandshakeTimeout = closeHandshakeTimeout = 0

    # where a connection stands when it is open

    state = WebSocketServerProtocol.STATE_OPEN
    data = b""
    current_frame: Any = None
    inside_message = False
    websocket_version = 13
    send_state = WebSocketServerProtocol.SEND_STATE_GROUND
    send_queue = ()
    triggered = False
    trackedTimings = None
    trafficStats = TrafficStats()
    _perMessageCompress: Any = None
    _transport_details = None

    # how it ends

    wasMaxFramePayloadSizeExceeded = False
    wasMaxMessagePayloadSizeExceeded = False
    closedByMe = False
    failedByMe = False
    droppedByMe = False
    wasClean = False
    wasNotCleanReason = None
    wasServerConnectionDropTimeout = False
    wasOpenHandshakeTimeout = False
    wasCloseHandshakeTimeout = False
    wasServingFlashSocketPolicyFile = False
    localCloseCode = None
    localCloseReason = None
    remoteCloseCode = None
    remoteCloseReason = None

    # timers that are never begun

    openHandshakeTimeoutCall = None
    closeHandshakeTimeoutCall = None
    autoPingTimeoutCall = None
    autoPingPending = None
    autoPingPendingCall = None
    autoPingPendingSeq = 0
    autoPingPendingSent = None


_log = Logger()

#: Steps of the parser, of which a frame takes two, in one turn of the reactor.  A read of
#: 64 KiB may hold ten thousand small frames, and each may cost a tenth of a millisecond.
STEPS_A_TURN = 100

#: Pings and pongs that may come within so many seconds.  Clients send one in each keepalive.
CONTROL_FRAMES, CONTROL_SECONDS = 1000, 10.0

#: Bytes of a message that count as a step: compressed, a read may hold a hundred megabytes.
STEP_BYTES = 4096


class AutobahnProtocol(AutobahnDefaults, WebSocketServerProtocol):  # type: ignore[misc]
    """One connection's parser, open from the beginning."""

    message_data: Any
    frame_data: Any = ()
    control_frame_data: Any = ()

    #: The message, or the frame, that has begun.
    _incoming: Incoming | None = None
    #: Whether the transport was lost, and why.
    _gone = False
    _why: object = None
    #: When the rest of what came is taken, where it was too much for one turn.
    _turn: IDelayedCall | None = None
    #: Steps that are left in this turn.
    _steps = 0
    #: Pings and pongs since a moment.
    _control_frames, _control_since = 0, 0.0

    def __init__(self, connection: WebSocketConnection) -> None:
        self._connection = connection

    @property
    def maxFramePayloadSize(self) -> int:
        size: int = self.factory.maxFramePayloadSize
        return size

    @property
    def maxMessagePayloadSize(self) -> int:
        size: int = self.factory.maxMessagePayloadSize
        return size

    @cached_property
    def utf8validator(self) -> Utf8Validator:
        """Made with the first text that comes."""
        return Utf8Validator()

    # from the transport

    def connectionMade(self) -> None:
        """The handshake is answered by who makes the connection."""

    def dataReceived(self, data: bytes) -> None:
        if self.state == self.STATE_CLOSED:
            return
        self.data += data
        if self._turn is None:
            self._consume()
        else:
            # Somebody asked for more while there is enough.
            self.transport.pauseProducing()

    def _consume(self) -> None:
        """Take frames, but not so many that others wait for it."""
        waited, self._turn = self._turn is not None, None
        self._steps, more = STEPS_A_TURN, True
        while more and self._steps > 0:
            self._steps -= 1
            more = self.state != self.STATE_CLOSED and self.processData()
        if more:
            if self._turn is None:
                self._turn = self._connection.next_turn(self._consume)
            self.transport.pauseProducing()
        if self.data or self.inside_message or self.current_frame is not None:
            self._unfinished()
        elif self._incoming is not None:
            self._finished()
        if self._turn is not None:
            return
        if self._gone:
            self._ended()
        elif waited and self._connection.reading:
            self.transport.resumeProducing()

    # what has begun and is not whole

    def _unfinished(self) -> None:
        if self.state != self.STATE_OPEN:
            # It has the time that a close has, and what comes is passed over.
            self._finished()
            return
        if self._incoming is None:
            self._incoming = self.factory.unfinished.begin(self._cut_off)
            # It came in one read with what made us stop reading.
            self.read_on(self._connection.reading)
        held = len(self.data)
        if self.current_frame is not None:
            of_frame = self.frame_data if self.current_frame.opcode < 8 else self.control_frame_data
            held += sum(map(len, of_frame))
        if self.inside_message:
            held += sum(map(len, self.message_data or ()))
        self._incoming.holds(held)

    def _finished(self) -> None:
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            incoming.end()

    def _cut_off(self, why: Cut) -> None:
        self._incoming = None
        self.frame_data = []
        self.message_data = []
        self._fail_connection(CLOSE_CODE, why.value)

    def read_on(self, reading: bool) -> None:
        """True if the client is read; while it is not, it has no pace to keep."""
        if self._incoming is not None:
            if reading:
                self._incoming.go_on()
            else:
                self._incoming.wait()

    def connectionLost(self, reason: object = None) -> None:
        self._why = reason
        self._gone = True
        if self._turn is not None and self._connection.open:
            # What it sent before it went is taken first, in its turns.
            return
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        self._ended()

    def _ended(self) -> None:
        self._finished()
        self.state = self.STATE_CLOSED
        self.onClose(self.wasClean, self.remoteCloseCode, self.remoteCloseReason)

    def compress_by(self, accepted: PerMessageDeflateOfferAccept) -> None:
        """Compress as was agreed."""
        self._perMessageCompress = PerMessageDeflate.create_from_offer_accept(True, accepted)

    # from the parser

    # After a failure the close frame has gone out and the client's own is waited
    # for.  Autobahn would stay inside the frame that failed and never see it, so
    # from there on data is passed over, frame by frame.

    def onFrameData(self, payload: bytes) -> None:
        if not (self.failedByMe and self.current_frame.opcode < 8):
            super().onFrameData(payload)

    def onFrameEnd(self) -> None:
        if self.failedByMe and self.current_frame.opcode < 8:
            self.inside_message = not self.current_frame.fin
            self.current_frame = None
        else:
            super().onFrameEnd()

    def _max_message_size_exceeded(self, size: int, limit: int, reason: str) -> None:
        self._fail_connection(1009, "message-too-large")

    # Autobahn keeps the pieces of a message in a list: two bytes in a fragment or in a
    # segment of their own take forty there, and an empty fragment eight, without an end.

    def onMessageFrameData(self, payload: bytes) -> None:
        if not self.failedByMe:
            _gather(self.frame_data, payload)

    def onMessageFrame(self, payload: list[bytes]) -> None:
        if not self.failedByMe:
            for piece in payload:
                _gather(self.message_data, piece)

    def onMessageEnd(self) -> None:
        if self._incoming is not None:
            # What comes behind it has a window of its own.
            self._finished()
        if not self.failedByMe:
            message = b"".join(self.message_data)
            self._steps -= len(message) // STEP_BYTES
            try:
                self._connection.message_received(message, self.message_is_binary)
            except Exception:
                _log.failure("A WebSocket message could not be taken")
                self._fail_connection(1011, "internal-error")
        self.message_data = None

    def onPing(self, payload: bytes) -> None:
        if self.state == self.STATE_OPEN and self._may_come():
            self._connection.ping_received(payload)

    def onPong(self, payload: bytes) -> None:
        if self._may_come():
            self._connection.pong_received(payload)

    def _may_come(self) -> bool:
        now = self._connection.seconds()
        if now - self._control_since > CONTROL_SECONDS:
            self._control_since, self._control_frames = now, 0
        self._control_frames += 1
        if self._control_frames > CONTROL_FRAMES:
            self._fail_connection(1008, "too many pings")
        return self._control_frames <= CONTROL_FRAMES

    def onClose(self, clean: bool, code: int | None, reason: str | None) -> None:
        # 1005: a close frame without a code.  1006: no close frame (RFC 6455, section 7.4.1).
        connection, why = self._connection, self._why
        if clean:
            connection.lost(1005 if code is None else code, reason or "", True, why)
        else:
            connection.lost(1006, "", False, why)

    def sendCloseFrame(
        self, code: int | None = None, reasonUtf8: bytes | None = None, isReply: bool = False
    ) -> None:
        was_open = self.state == self.STATE_OPEN
        super().sendCloseFrame(code, reasonUtf8, isReply)
        if was_open:
            self._finished()
            self._connection.closing()

    def _closeConnection(self, abort: bool = False) -> None:
        # Autobahn aborts after a close that it began, and a reset may overtake
        # what the client has yet to read.
        self.transport.loseConnection()
        self._connection.closing()

    # compression

    def compresses(self, payload: bytes) -> bool:
        """True if `payload` is to be compressed on this connection."""
        return self._perMessageCompress is not None and len(payload) >= self.factory.compress_from

    def send_compressed(self, payload: bytes, is_binary: bool) -> None:
        """Send a message compressed (RFC 7692, section 7.2.1)."""
        deflate = self._perMessageCompress
        deflate.start_compress_message()
        compressed = deflate.compress_message_data(payload) + deflate.end_compress_message()
        self.sendFrame(opcode=2 if is_binary else 1, payload=compressed, rsv=4)


def _gather(pieces: list[bytes | bytearray], piece: bytes | bytearray) -> None:
    """Put `piece` to the others, of which there is never more than one in the list."""
    if not pieces:
        pieces.append(piece)
    elif piece:
        if not isinstance(pieces[0], bytearray):
            pieces[0] = bytearray(pieces[0])
        pieces[0] += piece
