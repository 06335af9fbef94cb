"""The mux over SSE: an event stream downstream, POSTs upstream.

For places where WebSocket is blocked (protocol, live objects, section 3).  Each
event's data is one frame as a line; each line of a POST is one frame.  Rule:
what `Mux` sees of it is what it sees of a WebSocket.
"""

from __future__ import annotations

import secrets
from base64 import b64encode
from collections.abc import Callable

import attrs
import msgspec
from twisted.internet.defer import Deferred

from takotwist.codecs.sse import SseEvent, encode
from takotwist.codecs.wire_forms import SSE_MUX_CHUNKED, SSE_MUX_RAW
from takotwist.core.deadlines import Comments, Pulse
from takotwist.core.send_queue import SendQueue
from takotwist.errors import BodyInvalid, MethodNotAllowed, NotFound, Refusal, refusal_for
from takotwist.flow.back_pressure import ReadHolds
from takotwist.flow.session import Session
from takotwist.live.peers import Lines, NodeGone, Peers, ask, name_on, node_of
from takotwist.states import moved
from takotwist.streams.http.interface import BodyRequest, Request
from takotwist.streams.sse.stream import EventStream
from takotwist.transports.admission import Admission, ConnectionSlot
from takotwist.transports.live.functions import UnsupportedType
from takotwist.transports.mux.mux import Mux
from takotwist.transports.request import read_all_presented
from takotwist.transports.wire import (
    TRANSITIONS,
    NullSpeaker,
    Speaker,
    WireState,
    ignore_pressure,
)

KEEPALIVE = encode(SseEvent(comment="keepalive"))

#: What a POST is told whose stream has ended.
ENDED = "This connection has ended."

#: The content type of a POST upstream.
LINES = "application/x-ndjson"


class EventStreamWire(ReadHolds):
    """Connection adapter of an open event stream; `WireState` is its lifecycle.

    An event stream has no close codes, so none of them is LEFT: a page says that it leaves
    in a POST.

    :param forget: called when it has ended.
    :ivar key: names it for the POSTs of its client; a secret.
    :ivar ended_for: why it was ended, where there was a reason.
    """

    session: Session

    def __init__(
        self, admission: Admission, request: Request, key: str, forget: Callable[[], object]
    ) -> None:
        super().__init__()
        self.key = key
        self.state = WireState.OPENING
        self.speaker: Speaker = NullSpeaker()
        self._forget = forget
        self.on_pressure: Callable[[bool], None] = ignore_pressure
        self.ended_for: Refusal | None = None
        self._admission = admission
        self._stream = EventStream(request, on_pause=self._paused, on_resume=self._resumed)
        self._comments: Comments | None = None
        self._free: dict[Deferred[None], None] = {}
        self.send_queue: SendQueue = admission.new_send_queue()

    def open(self, slot: ConnectionSlot, speaker: Callable[[EventStreamWire], Speaker]) -> None:
        """Send the head, and start the speaker."""
        self.session = slot.open("mux-sse", self.send_queue, self.end)
        if not self._stream.open():
            self._gone("client left")
            return
        form = SSE_MUX_CHUNKED if self._stream.framing == "chunked" else SSE_MUX_RAW
        self.send_queue.connect(form, self._stream.write_framed)
        self.state = moved(TRANSITIONS, self.state, WireState.OPEN)
        made = speaker(self)
        if self.state is not WireState.ENDED:
            # Else it has ended the connection, and would only be kept by who is gone.
            self.speaker = made
        self._stream.on_closed(lambda: self._gone("client left"))

    # called by `Mux` and by live objects

    @property
    def left(self) -> bool:
        """True when the peer has closed as one that has gone for good."""
        return self.state is WireState.LEFT

    @property
    def paused(self) -> bool:
        """Back-pressure: the client reads slower than is written."""
        return self._stream.paused

    @property
    def held(self) -> bool:
        """Back-pressure upstream: no more is to be read."""
        return self._holds > 0

    def send(self, frame: bytes) -> None:
        """Write one frame behind all that was pushed before."""
        self.send_queue.flush()
        self._write(b"data: " + frame + b"\n\n")

    def send_binary(self, payload: bytes) -> None:
        """Write one binary frame."""
        self.send(b"~" + b64encode(payload))

    def later(self, name: str, when: float, action: Callable[[], None]) -> None:
        """Do something at a time, unless the connection has gone."""
        self.session.later(name, when, action)

    def end(self, refusal: Refusal | None) -> None:
        """Say why and end the response."""
        if self.state is not WireState.OPEN:
            return
        code, reason = self._admission.answers.close_of(refusal)
        if refusal is not None:
            self.ended_for = refusal
        self.send(msgspec.json.encode({"op": "close", "code": code, "reason": reason}))
        self._gone(reason)
        self._stream.close()

    def abort(self, reason: str) -> None:
        """Drop the client without a word."""
        if self.state is WireState.OPEN:
            self._gone(reason)
            self._stream.abort()

    def free(self) -> Deferred[None]:
        """A Deferred that fires when reading may go on."""
        # Who waits and leaves is forgotten: a client may come as often as it likes meanwhile.
        waiting: Deferred[None] = Deferred(lambda one: self._free.pop(one, None))
        if self._holds and self.state is WireState.OPEN:
            self._free[waiting] = None
        else:
            waiting.callback(None)
        return waiting

    def keep_alive(self, interval: float) -> None:
        """Write a comment whenever nothing was written for `interval` seconds."""
        self._comments = Comments(interval)
        self._beat()

    # private

    def _write(self, block: bytes) -> None:
        self._stream.write(block)
        self.send_queue.written_at = self._admission.seconds()

    def _beat(self) -> None:
        assert self._comments is not None
        pulse, again = self._comments.check(self._admission.seconds(), self.send_queue.written_at)
        if pulse is Pulse.SPEAK and not self._stream.paused:
            self._write(KEEPALIVE)
        self.session.later("keepalive", again, self._beat)

    def _paused(self) -> None:
        self.send_queue.paused = True
        self.on_pressure(True)

    def _resumed(self) -> None:
        if self.state is WireState.OPEN:
            self._admission.attacher.resumed(self.send_queue)
            self.on_pressure(False)

    def _gone(self, why: str) -> None:
        if not TRANSITIONS[self.state]:
            return
        self.state = moved(TRANSITIONS, self.state, WireState.ENDED)
        self.session.close(why)
        # It knows this wire, and the two would stay until Python looks for cycles.
        speaker, self.speaker = self.speaker, NullSpeaker()
        self.on_pressure = ignore_pressure
        speaker.lost()
        self._forget()
        self._let_go()

    def _pause_reading(self) -> None:
        """The answers of POSTs are held back: see `free`."""

    def _resume_reading(self) -> None:
        self._let_go()

    def _let_go(self) -> None:
        free, self._free = self._free, {}
        for waiting in free:
            waiting.callback(None)


@attrs.define(slots=True)
class LiveSse:
    """Answers GETs that open an event stream, and the POSTs that go with them.

    :ivar max_batch_bytes: of one POST.
    :ivar peers: the other nodes: a POST may come to one that does not have its stream.
    """

    admission: Admission
    max_batch_bytes: int
    peers: Peers | None = None
    _wires: dict[str, EventStreamWire] = attrs.field(factory=dict, init=False, repr=False)

    async def open(self, request: Request) -> None:
        """Open a stream.

        :param request: `twisted.web.iweb.IRequest`, nothing written yet.
        :raises Refusal: and then nothing has been written.
        """
        admission = self.admission
        presented = read_all_presented(request)
        admission.check_origin(request)
        if request.method != b"GET":
            raise MethodNotAllowed
        with admission.enter(request) as slot:
            admission.answers.cors(request)
            key = secrets.token_urlsafe(24)
            if self.peers is not None:
                key = name_on(self.peers.name, key)
            wire = EventStreamWire(admission, request, key, lambda: self._wires.pop(key, None))
            self._wires[key] = wire
            more = {"upstream": wire.key, "maxBatchBytes": self.max_batch_bytes}
            wire.open(slot, lambda wire: Mux(wire, admission, presented, more))

    async def post(self, request: BodyRequest, key: str) -> None:
        """Take frames.

        :raises Refusal: and then nothing has been written.
        """
        admission = self.admission
        admission.check_origin(request)
        if request.method != b"POST":
            raise MethodNotAllowed(allow=("POST", "OPTIONS"))
        content_type = (request.getHeader("content-type") or "").partition(";")[0].strip().lower()
        await self._take_anywhere(key, content_type, request.content.read())
        admission.answers.cors(request)
        request.setResponseCode(204)
        request.finish()

    async def _take_anywhere(self, key: str, content_type: str, body: bytes) -> None:
        node = node_of(key)
        if self.peers is None or node in (None, self.peers.name):
            await self.take(key, content_type, body)
            return
        assert node is not None
        try:
            outcome = await ask(self.peers, Lines(node, key, content_type, body))
        except NodeGone:
            raise NotFound(ENDED) from None
        if outcome.status == UnsupportedType.http_status:
            raise UnsupportedType(outcome.sentence)
        if outcome.code:
            raise refusal_for(outcome.code, outcome.sentence)

    async def take(self, key: str, content_type: str, body: bytes) -> None:
        """Take the frames of one POST for a stream that is here.

        :raises Refusal: as the client is told.
        """
        wire = self._wires.get(key)
        if wire is None or wire.state is not WireState.OPEN:
            raise NotFound(ENDED)
        if content_type != LINES:
            unreadable = UnsupportedType(f"Content-Type must be {LINES} here.")
            wire.end(unreadable)
            raise unreadable
        for line in body.split(b"\n"):
            if line.strip():
                wire.speaker.received(line)
        if isinstance(wire.ended_for, BodyInvalid):
            raise wire.ended_for
        await wire.free()
