"""A wire on one two-way stream of a WebTransport session.

Each line is a frame, a binary one as ``~`` and base64; a line without one is a
keepalive.  What QUIC has had acknowledged takes the place of pongs, because a page
cannot be pinged.
Rule: what `Mux` sees of it is what it sees of a WebSocket.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted
from twisted.python.failure import Failure

from takotwist.codecs.wire_forms import LINES_MUX
from takotwist.core.deadlines import Pings, Pulse
from takotwist.core.send_queue import SendQueue
from takotwist.errors import Refusal
from takotwist.flow.back_pressure import ReadHolds
from takotwist.flow.session import Session
from takotwist.states import moved
from takotwist.streams.unfinished import CLOSE_CODE, Cut, Unfinished
from takotwist.streams.webtransport import (
    StreamTransport,
    WebTransportSession,
    WebTransportStream,
    run_protocol,
)
from takotwist.transports.admission import Admission, ConnectionSlot
from takotwist.transports.webtransport_lines import Lines, Pressure
from takotwist.transports.wire import (
    LEAVING_CODES,
    TRANSITIONS,
    NullSpeaker,
    Speaker,
    WireState,
    ignore_pressure,
)

#: Seconds from the session to its stream.
STREAM_SECONDS = 5.0


class WebTransportWire(ReadHolds):
    """A wire on one stream of a session.

    :param max_line_bytes: most bytes of one frame.
    :param unfinished: counts the frame that has begun.
    :ivar on_pressure: told when the client does not keep up, and when it does again.
    :ivar ended: fires when the stream is over, with the code and the reason to close
        the session with, or `None` where the client is gone.
    """

    session: Session
    speaker: Speaker

    def __init__(
        self,
        admission: Admission,
        session: WebTransportSession,
        slot: ConnectionSlot,
        max_line_bytes: int,
        unfinished: Unfinished,
    ) -> None:
        super().__init__()
        self.state = WireState.OPENING
        self.speaker = NullSpeaker()
        self._admission = admission
        self._unfinished = unfinished
        self._max_line_bytes = max_line_bytes
        self._webtransport = session
        self._transport: StreamTransport | None = None
        self._stream: WebTransportStream | None = None
        self._lines: Lines | None = None
        self._pings: Pings | None = None
        self._written = self._acknowledged = 0
        self.on_pressure: Callable[[bool], None] = ignore_pressure
        self.send_queue: SendQueue = admission.new_send_queue()
        self.ended: Deferred[tuple[int, str] | None] = Deferred()
        self.session = slot.open("webtransport", self.send_queue, self.end)
        self.session.later("stream", admission.seconds() + STREAM_SECONDS, self._no_stream)

    def open(
        self, stream: WebTransportStream, speaker: Callable[[WebTransportWire], Speaker]
    ) -> None:
        """Speak on `stream`.

        :param speaker: makes the speaker, which may send at once.
        """
        self.session.cancel("stream")
        self._stream = stream
        self._lines = Lines(self, self._max_line_bytes, self._unfinished)
        # The stream is read only when the speaker is there.
        stream.pause()
        self._transport = transport = run_protocol(stream, self._lines)
        transport.registerProducer(Pressure(self), True)
        self.state = moved(TRANSITIONS, self.state, WireState.OPEN)
        self.send_queue.connect(LINES_MUX, self._write)
        self.speaker = speaker(self)
        stream.resume()

    def send(self, frame: bytes) -> None:
        """Write one control frame behind all that was pushed before."""
        if self._transport is not None:
            self.send_queue.flush()
            self._write(frame + b"\n")

    def send_binary(self, payload: bytes) -> None:
        """Write one binary frame behind all that was pushed before."""
        self.send(b"~" + b64encode(payload))

    @property
    def paused(self) -> bool:
        """True while the client reads slower than is written."""
        return self._stream is not None and self._stream.paused

    def later(self, name: str, when: float, action: Callable[[], None]) -> None:
        """Do something at a time, unless the connection has gone."""
        self.session.later(name, when, action)

    def abort(self, reason: str) -> None:
        """Drop the client without a word."""
        transport = self._transport
        self._over(reason, None)
        if transport is not None:
            transport.abortConnection()

    def end(self, refusal: Refusal | None) -> None:
        """Close with the refusal's code (protocol, section 5)."""
        if self.session.closed:
            return
        self.send_queue.flush()
        self._finish(*self._admission.answers.close_of(refusal))

    @property
    def left(self) -> bool:
        """True when the client has closed as one that has gone for good."""
        return self.state is WireState.LEFT

    def keep_alive(self, interval: float) -> None:
        """Say something every `interval` seconds, and drop a client that takes none of two."""
        self._pings = Pings(interval, self._admission.seconds())
        self.session.later("keepalive", self._admission.seconds() + interval, self._beat)

    # from the stream

    def heard(self) -> None:
        """The client has said something."""
        if self._pings is not None:
            self._pings.heard(self._admission.seconds())

    def received(self, line: bytes) -> None:
        """A line has come; one without a frame is a keepalive."""
        self.heard()
        if line.strip() and not self.session.closed:
            self.speaker.received(line)

    def cut_off(self, why: Cut) -> None:
        """A frame has begun and is not waited for any longer."""
        self._finish(CLOSE_CODE, why.value)

    def fell_behind(self) -> None:
        """The client takes less than is written."""
        self.send_queue.paused = True
        self.on_pressure(True)

    def caught_up(self) -> None:
        """The client has taken what was written."""
        self.heard()
        if not self.session.closed:
            self._admission.attacher.resumed(self.send_queue)
            self.on_pressure(False)

    def stream_lost(self, reason: Failure) -> None:
        """The stream, or all of the session, is over."""
        closed = self._webtransport.closed
        if closed is None and reason.check(ConnectionAborted):
            self._over("the client does not read", (1013, "overloaded"))
        elif closed is None:
            self._over("the client ended its stream", (1000, ""))
        elif closed.clean:
            left = closed.code in LEAVING_CODES
            self._over(
                f"client closed ({closed.code})",
                None,
                to=WireState.LEFT if left else WireState.ENDED,
            )
        else:
            self._over(f"connection lost ({closed.reason})", None)

    def gone(self, why: str) -> None:
        """The session is over before it had a stream."""
        self._over(why, None)

    # inside

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._written += len(data)
            self._transport.write(data)

    def _beat(self) -> None:
        assert self._pings is not None and self._stream is not None
        now = self._admission.seconds()
        acknowledged = self._written - self._stream.buffered
        if acknowledged > self._acknowledged:
            # QUIC's acknowledgements stand in for pongs: a page cannot be pinged.
            self._acknowledged = acknowledged
            self._pings.heard(now)
        pulse, again = self._pings.check(now)
        if pulse is Pulse.DROP:
            self._finish(1001, "no answer to keepalives")
            return
        if not self.send_queue.paused:
            self._write(b"\n")
        self.session.later("keepalive", again, self._beat)

    def _no_stream(self) -> None:
        self._webtransport.close(1013, "stream-missing")

    def _finish(self, code: int, reason: str) -> None:
        """End the stream after what was written; the session follows."""
        transport = self._transport
        if transport is None:
            self._webtransport.close(code, reason)
        self._over(reason, (code, reason), transport)

    def _over(
        self,
        why: str,
        closing: tuple[int, str] | None,
        ending: StreamTransport | None = None,
        to: WireState = WireState.ENDED,
    ) -> None:
        if not TRANSITIONS[self.state]:
            return
        opened, self._transport = self.state is WireState.OPEN, None
        self.state = moved(TRANSITIONS, self.state, to)
        self.session.close(why)
        if opened:
            self.speaker.lost()
        if ending is not None:
            ending.loseConnection()
        self.ended.callback(closing)

    def _pause_reading(self) -> None:
        if self.state is WireState.OPEN and self._lines is not None:
            self._lines.pauseProducing()

    def _resume_reading(self) -> None:
        if self.state is WireState.OPEN and self._lines is not None:
            self._lines.resumeProducing()
