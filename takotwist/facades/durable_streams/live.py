"""Readers of a stream that wait for what comes: one answer, or an event stream.

Rule: a live reader is told once that a stream has ended, and by that it is over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from twisted.internet.defer import Deferred

from takotwist.codecs.sse import SseEvent, encode
from takotwist.core.deadlines import Comments, Pulse
from takotwist.core.durable_stream import (
    CREATE,
    DATA,
    DELETE,
    END,
    Spec,
    StreamState,
    read_end,
)
from takotwist.core.replay import Gate
from takotwist.core.send_queue import SendQueue
from takotwist.errors import Refusal
from takotwist.facades.durable_streams.events import FORM, control_event, data_event, messages
from takotwist.flow.session import Session
from takotwist.streams.http.interface import Request
from takotwist.streams.sse.stream import EventStream
from takotwist.transports.admission import Admission

#: Seconds between comments of an event stream in which nothing happens.
KEEPALIVE_SECONDS = 15.0

KEEPALIVE = encode(SseEvent(comment="keepalive"))

#: Said of an event stream.  ``no-store`` would do, and clients look for ``no-cache``.
EVENT_STREAM: Mapping[str, str] = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache, no-store, no-transform",
    "X-Accel-Buffering": "no",
}


class Waiting:
    """A reader that waits for anything to happen to a stream."""

    def __init__(self, send_queue: SendQueue) -> None:
        self.send_queue = send_queue
        self.over: Deferred[None] = Deferred()
        send_queue.connect(FORM, self._write)

    def _write(self, blob: bytes) -> None:
        if any(kind in (DATA, END, DELETE, CREATE) for _, kind, _ in messages(blob)):
            self.end(None)

    def end(self, refusal: Refusal | None) -> None:
        """It has waited for long enough."""
        if self.over.called:
            return
        if refusal is None:
            self.over.callback(None)
        else:
            self.over.errback(refusal)

    def forget(self) -> None:
        """Nobody asks any more how it ended: whoever waited may have left before it had begun."""
        self.over.addErrback(lambda _: None)


class LiveEvents:
    """One event stream, from its head to its end.

    :param cursor: gives the next one.
    :ivar key: of the stream's topic.
    :ivar refusal: why it was ended before it had a head, which is then the answer.
    """

    session: Session
    key: str

    def __init__(
        self,
        admission: Admission,
        request: Request,
        state: StreamState,
        after: int,
        cursor: Callable[[], str],
    ) -> None:
        assert state.spec is not None
        self.send_queue = admission.new_send_queue()
        self._admission = admission
        self._request: Request | None = request
        self._cursor = cursor
        self._spec: Spec = state.spec
        #: The stream as it was found: where it ended then, and whether for good.
        self._tail, self._ended, self._end = state.tail, state.ended, state.end
        self._to = after
        self._stream: EventStream | None = None
        self._comments = Comments(KEEPALIVE_SECONDS)
        self.refusal: Refusal | None = None

    def opened(self, cursor: int, reset: Refusal | None) -> None:
        """Send the head, and where the reader is if there is nothing else to say."""
        request, self._request = self._request, None
        assert request is not None
        headers = dict(EVENT_STREAM)
        if not self._spec.is_text:
            headers["Stream-SSE-Data-Encoding"] = "base64"
        stream = EventStream(request, headers, on_pause=self._paused, on_resume=self._resumed)
        self._stream = stream
        stream.on_closed(lambda: self.session.close("client left"))
        nothing = self._to >= self._tail
        first = self._control(ended=self._ended) if nothing else b""
        if not stream.open(first):
            return
        self.send_queue.connect(FORM, self._write)
        if nothing and self._ended:
            self.end(None)

    def end(self, refusal: Refusal | None) -> None:
        """End the response; a client that has not seen the stream's end comes again."""
        self.send_queue.flush()
        self.session.close("stream over" if refusal is None else refusal.code)
        if self._stream is not None:
            self._stream.close()
        else:
            self.refusal = refusal

    def keep_alive(self) -> None:
        """Write a comment where nothing else was written for a while."""
        now = self._admission.seconds()
        stream = self._stream
        if stream is None or stream.closed:
            return
        pulse, again = self._comments.check(now, self.send_queue.written_at)
        if pulse is Pulse.SPEAK and not stream.paused:
            stream.write(KEEPALIVE)
            self.send_queue.written_at = now
        self.session.later("keepalive", again, self.keep_alive)

    def _write(self, blob: bytes) -> None:
        stream = self._stream
        if stream is None or stream.closed:
            return
        chunks: list[bytes] = []
        ended = gone = False
        for number, kind, data in messages(blob):
            if kind == DATA:
                chunks.append(data)
                self._to = number
            elif kind == END:
                ended, self._end = True, read_end(data)
            elif kind in (CREATE, DELETE):
                gone = True
                break
        if chunks or ended:
            said = data_event(self._spec, chunks, self._to) if chunks else b""
            # The end may be known before it is read, and is then said once.
            ended = ended or (self._ended and self._to >= self._tail)
            stream.write(said + self._control(ended=ended))
        if ended or gone:
            self.end(None)

    def _control(self, *, ended: bool) -> bytes:
        up_to_date = ended or (self._to >= self._tail and self._live())
        said = None if ended else self._cursor()
        return control_event(
            self._spec,
            self._to,
            said,
            up_to_date=up_to_date,
            ended=ended,
            end=self._end if ended else None,
        )

    def _live(self) -> bool:
        """`True` once the reader has all that there was, and is given what comes."""
        subscribed = self.session.subscribed.get(self.key)
        if subscribed is None or subscribed.subscription.replay.gate is Gate.OPEN:
            return True
        return self._to == self._tail

    def _paused(self) -> None:
        self.send_queue.paused = True

    def _resumed(self) -> None:
        if not self.session.closed:
            self._admission.attacher.resumed(self.send_queue)
