"""Reads of a stream: what is there, what comes next, and whether more will ever come.

Three ways: at once (catch-up), after waiting for the next chunk (long-poll), and as an event
stream.  The latter two follow the stream's topic as subscribers of a channel do, by the same
fan-out, tails and log.  Rule: a live reader is told once that a stream has ended, and by that
it is over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import attrs
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
    offset_of,
)
from takotwist.core.replay import Gate
from takotwist.core.send_queue import SendQueue
from takotwist.core.stream_change import joined
from takotwist.errors import NotFound, Refusal, ReplayTooOld
from takotwist.facades.durable_streams.cursors import cursor
from takotwist.facades.durable_streams.events import FORM, control_event, data_event, messages
from takotwist.facades.durable_streams.fields import NOW, Reading
from takotwist.flow.authorize import Authorized
from takotwist.flow.durable_streams import Chunks, StreamService
from takotwist.flow.session import Session
from takotwist.streams.http.interface import Request
from takotwist.streams.sse.stream import EventStream
from takotwist.transports.admission import Admission
from takotwist.transports.request import header_text

#: Bytes of one answer, about.
ANSWER_BYTES = 1024 * 1024

#: Seconds between comments of an event stream in which nothing happens.
KEEPALIVE_SECONDS = 15.0

KEEPALIVE = encode(SseEvent(comment="keepalive"))

#: Said of an event stream.  ``no-store`` would do, and clients look for ``no-cache``.
EVENT_STREAM: Mapping[str, str] = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache, no-store, no-transform",
    "X-Accel-Buffering": "no",
}


class ReadTimes(Protocol):
    """Settings of the section ``streams`` of the configuration, in seconds."""

    @property
    def long_poll_seconds(self) -> float: ...
    @property
    def sse_seconds(self) -> float: ...


@attrs.define(slots=True)
class StreamReader:
    """Answers GET and HEAD.

    :ivar random: a number from 0 to 1.
    """

    admission: Admission
    streams: StreamService
    times: ReadTimes
    random: Callable[[], float]

    async def answer(self, request: Request, path: str, admitted: Authorized) -> None:
        """Answer a request that was let in.

        :raises Refusal: and then nothing has been written.
        """
        reading = Reading.of(request.uri)
        state = await self.streams.look(path)
        if state is None or state.spec is None:
            raise NotFound("There is no stream at this address.")
        spec = state.spec
        if request.method == b"HEAD":
            self._describe(request, state)
            return
        after = reading.after(state.created, state.tail)
        if after < state.created:
            raise ReplayTooOld("offset is one of an earlier stream at this address.")
        await self.streams.note_read(path, state)
        # As it is followed: with a lifecycle of its own, and with nobody told who is there.
        followed = attrs.evolve(
            admitted.asked,
            definition=attrs.evolve(
                admitted.asked.definition,
                presence=None,
                lifecycle=self.streams.bounds.lifecycle(spec),
            ),
        )
        admitted = attrs.evolve(admitted, asked=followed)
        if reading.live == "sse":
            await self._events(request, admitted, reading, state, after)
        elif reading.live == "long-poll":
            await self._poll(request, path, admitted, reading, state, after)
        else:
            await self._catch_up(request, path, reading, state, after)

    def _describe(self, request: Request, state: StreamState) -> None:
        spec = state.spec
        assert spec is not None
        headers = request.responseHeaders
        headers.setRawHeaders("Content-Type", [spec.content_type])
        headers.setRawHeaders("Stream-Next-Offset", [offset_of(state.tail)])
        headers.setRawHeaders("Cache-Control", ["no-store"])
        if spec.ttl_s is not None:
            headers.setRawHeaders("Stream-TTL", [str(spec.ttl_s)])
        if spec.expires_at is not None:
            headers.setRawHeaders("Stream-Expires-At", [spec.expires_at])
        if state.ended:
            headers.setRawHeaders("Stream-Closed", ["true"])
        request.setResponseCode(200)
        request.finish()

    async def _catch_up(
        self, request: Request, path: str, reading: Reading, state: StreamState, after: int
    ) -> None:
        chunks = await self.streams.read(path, state, after, ANSWER_BYTES)
        headers = request.responseHeaders
        if reading.offset == NOW:
            headers.setRawHeaders("Cache-Control", ["no-store"])
        else:
            closed = ":c" if state.ended and not chunks.more else ""
            tag = f'"{state.created}:{chunks.after}:{chunks.to}{closed}"'
            headers.setRawHeaders("ETag", [tag])
            # What lies before the tail never changes; at the tail it is asked for anew.
            kept = "max-age=60, stale-while-revalidate=300" if chunks.more else "no-cache"
            headers.setRawHeaders("Cache-Control", [f"private, {kept}"])
            known = header_text(request, "if-none-match") or ""
            if tag in map(str.strip, known.split(",")):
                self._place(request, state, chunks)
                request.setResponseCode(304)
                request.finish()
                return
        self._give(request, state, chunks)

    def _place(self, request: Request, state: StreamState, chunks: Chunks) -> None:
        headers = request.responseHeaders
        headers.setRawHeaders("Stream-Next-Offset", [offset_of(chunks.to)])
        if not chunks.more:
            headers.setRawHeaders("Stream-Up-To-Date", ["true"])
            if state.ended and chunks.to >= state.tail:
                headers.setRawHeaders("Stream-Closed", ["true"])

    def _give(self, request: Request, state: StreamState, chunks: Chunks) -> None:
        spec = state.spec
        assert spec is not None
        self._place(request, state, chunks)
        headers = request.responseHeaders
        body = joined(spec, chunks.data)
        headers.setRawHeaders("Content-Type", [spec.content_type])
        headers.setRawHeaders("Content-Length", [str(len(body))])
        request.setResponseCode(200)
        self.admission.answers.send(request, body)

    async def _poll(
        self,
        request: Request,
        path: str,
        admitted: Authorized,
        reading: Reading,
        state: StreamState,
        after: int,
    ) -> None:
        if after >= state.tail and not state.ended:
            with self.admission.enter(request) as slot:
                waiting = _Waiting(self.admission.new_send_queue())
                session = slot.open("sse", waiting.send_queue, waiting.end)
                request.notifyFinish().addErrback(lambda _: waiting.end(None))
                try:
                    session.later(
                        "lifetime",
                        self.admission.seconds() + self.times.long_poll_seconds,
                        lambda: waiting.end(None),
                    )
                    await session.subscribe(
                        admitted, after, False, lambda cursor, reset: None, waiting.end
                    )
                    await waiting.over
                finally:
                    session.close("answered")
            if request.gone:
                return
            now = await self.streams.look(path)
            if now is None or now.created != state.created:
                raise NotFound("There is no stream at this address any more.")
            state = now
        chunks = await self.streams.read(path, state, after, ANSWER_BYTES)
        headers = request.responseHeaders
        headers.setRawHeaders("Cache-Control", ["no-store"])
        if not (state.ended and not chunks.more):
            headers.setRawHeaders("Stream-Cursor", [self._cursor(reading)])
        if chunks.data:
            self._give(request, state, chunks)
            return
        self._place(request, state, chunks)
        request.setResponseCode(204)
        request.finish()

    async def _events(
        self,
        request: Request,
        admitted: Authorized,
        reading: Reading,
        state: StreamState,
        after: int,
    ) -> None:
        with self.admission.enter(request) as slot:
            events = _Events(self, request, reading, state, after)
            session = events.session = slot.open("sse", events.send_queue, events.end)
            events.key = admitted.asked.topic.key
            try:
                await session.subscribe(admitted, after, False, events.opened, events.end)
            except BaseException:
                session.close("refused")
                raise
            if not session.closed:
                now = self.admission.seconds()
                session.later("lifetime", now + self.times.sse_seconds, lambda: events.end(None))
                events.keep_alive()

    def _cursor(self, reading: Reading) -> str:
        return cursor(reading.cursor, self.streams.wall(), self.random)


class _Waiting:
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


class _Events:
    """One event stream, from its head to its end.

    :ivar key: of the stream's topic.
    """

    session: Session
    key: str

    def __init__(
        self,
        reader: StreamReader,
        request: Request,
        reading: Reading,
        state: StreamState,
        after: int,
    ) -> None:
        assert state.spec is not None
        self.send_queue = reader.admission.new_send_queue()
        self._reader = reader
        self._request: Request | None = request
        self._reading = reading
        self._spec: Spec = state.spec
        #: The stream as it was found: where it ended then, and whether for good.
        self._tail, self._ended = state.tail, state.ended
        self._to = after
        self._stream: EventStream | None = None
        self._comments = Comments(KEEPALIVE_SECONDS)

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

    def keep_alive(self) -> None:
        """Write a comment where nothing else was written for a while."""
        now = self._reader.admission.seconds()
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
                ended = True
            elif kind in (CREATE, DELETE):
                gone = True
                break
        if chunks or ended:
            said = data_event(self._spec, chunks) if chunks else b""
            # The end may be known before it is read, and is then said once.
            ended = ended or (self._ended and self._to >= self._tail)
            stream.write(said + self._control(ended=ended))
        if ended or gone:
            self.end(None)

    def _control(self, *, ended: bool) -> bytes:
        up_to_date = ended or (self._to >= self._tail and self._live())
        said = None if ended else self._reader._cursor(self._reading)
        return control_event(self._to, said, up_to_date=up_to_date, ended=ended)

    def _live(self) -> bool:
        """Whether it has all that there is: it is given what comes, or has what was there."""
        subscribed = self.session.subscribed.get(self.key)
        if subscribed is None or subscribed.subscription.replay.gate is Gate.OPEN:
            return True
        return self._to == self._tail

    def _paused(self) -> None:
        self.send_queue.paused = True

    def _resumed(self) -> None:
        if not self.session.closed:
            self._reader.admission.attacher.resumed(self.send_queue)
