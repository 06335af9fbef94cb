"""Reads of a stream: what is there, what comes next, and whether more will ever come.

Three ways: at once (catch-up), after waiting for the next chunk (long-poll), and as an event
stream.  The latter two follow the stream's topic as subscribers of a channel do, by the same
fan-out, tails and log.  Rule: a live reader is told once that a stream has ended, and by that
it is over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import attrs

from takotwist.core.durable_stream import End, StreamState, offset_of
from takotwist.core.stream_change import joined
from takotwist.core.topic import Topic
from takotwist.errors import NotFound, ReplayTooOld
from takotwist.facades.durable_streams.cursors import cursor
from takotwist.facades.durable_streams.fields import NOW, Reading
from takotwist.facades.durable_streams.live import LiveEvents, Waiting
from takotwist.flow.authorize import Authorized
from takotwist.flow.durable_streams import Chunks, StreamService
from takotwist.streams.http.interface import Request
from takotwist.transports.admission import Admission
from takotwist.transports.request import header_text

#: Bytes of one answer, about.
ANSWER_BYTES = 1024 * 1024


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

    async def answer(self, request: Request, admitted: Authorized) -> None:
        """Answer a request that was let in.

        :raises Refusal: and then nothing has been written.
        """
        reading = Reading.of(request.uri)
        returned = header_text(request, "last-event-id")
        topic = admitted.asked.topic
        state = await self.streams.look(topic)
        if state is None or state.spec is None:
            raise NotFound("There is no stream at this address.")
        spec = state.spec
        if request.method == b"HEAD":
            self._describe(request, state)
            return
        if spec.about is not None and returned and reading.live == "sse":
            # A browser comes back by itself, with the id that it was given last.
            reading = reading.at(returned)
        after = reading.after(state.created, state.tail)
        if after < state.created:
            raise ReplayTooOld("offset is one of an earlier stream at this address.")
        await self.streams.note_read(topic, state)
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
        if spec.about is not None and returned and state.ended and after >= state.tail:
            # Nothing else stops an EventSource.
            self._place(request, state, Chunks([], after, after, False))
            request.setResponseCode(204)
            request.finish()
        elif reading.live == "sse":
            await self._events(request, admitted, reading, state, after)
        elif reading.live == "long-poll":
            await self._poll(request, admitted, reading, state, after)
        else:
            await self._catch_up(request, topic, reading, state, after)

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
            say_end(request, state.end)
        request.setResponseCode(200)
        request.finish()

    async def _catch_up(
        self, request: Request, topic: Topic, reading: Reading, state: StreamState, after: int
    ) -> None:
        chunks = await self.streams.read(topic, state, after, ANSWER_BYTES)
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
                say_end(request, state.end)

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
        admitted: Authorized,
        reading: Reading,
        state: StreamState,
        after: int,
    ) -> None:
        if after >= state.tail and not state.ended:
            with self.admission.enter(request) as slot:
                waiting = Waiting(self.admission.new_send_queue())
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
                    waiting.forget()
            if request.gone:
                return
            now = await self.streams.look(admitted.asked.topic)
            if now is None or now.created != state.created:
                raise NotFound("There is no stream at this address any more.")
            state = now
        chunks = await self.streams.read(admitted.asked.topic, state, after, ANSWER_BYTES)
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
            events = LiveEvents(
                self.admission, request, state, after, lambda: self._cursor(reading)
            )
            session = events.session = slot.open("sse", events.send_queue, events.end)
            events.key = admitted.asked.topic.key
            try:
                await session.subscribe(admitted, after, False, events.opened, events.end)
                if events.refusal is not None:
                    raise events.refusal
            except BaseException:
                session.close("refused")
                raise
            if not session.closed:
                now = self.admission.seconds()
                session.later("lifetime", now + self.times.sse_seconds, lambda: events.end(None))
                events.keep_alive()

    def _cursor(self, reading: Reading) -> str:
        return cursor(reading.cursor, self.streams.wall(), self.random)


def say_end(request: Request, end: End | None) -> None:
    """Say that a stream has ended, and how, where that is known."""
    headers = request.responseHeaders
    headers.setRawHeaders("Stream-Closed", ["true"])
    if end is not None:
        headers.setRawHeaders("Stream-End", [end.how])
        if end.reason:
            headers.setRawHeaders("Stream-End-Reason", [end.reason])
