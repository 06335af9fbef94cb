from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import h2.events
from h2.errors import ErrorCodes
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET

from takotwist.codecs.sse import SseEvent
from takotwist.streams.sse.route import (
    Item,
    RawBlocks,
    json_event,
    last_event_id,
    last_event_id_bytes,
    sse,
)
from tests.codecs.event_source_parser import Parsed, parse
from tests.streams.exchange import Http1Exchange, Http2Exchange, dechunk


class _Source:
    """Events given by hand, and what became of the iterator."""

    def __init__(self) -> None:
        self.asked = 0
        self.closed = False
        self._next: Deferred[Item] = Deferred()

    async def events(self) -> AsyncIterator[Item]:
        try:
            while True:
                self.asked += 1
                yield await self._next
        finally:
            self.closed = True

    def give(self, item: Item) -> None:
        given, self._next = self._next, Deferred()
        given.callback(item)


class _Answer:
    """A resource that answers with `events()`."""

    def __init__(self, events: Callable[[], Any], **options: Any) -> None:
        self._events, self._options = events, options
        self.over: Deferred[None]

    def __call__(self, request: Any) -> Any:
        self.over = sse(request, self._events(), **self._options)
        return NOT_DONE_YET


class SseTests(SynchronousTestCase):
    """An async iterator as a response."""

    def setUp(self) -> None:
        self.source = _Source()

    def _open(self, **options: Any) -> Http1Exchange:
        self.answer = _Answer(self.source.events, **options)
        exchange = Http1Exchange(self.answer)
        exchange.ask()
        self.status, self.fields, rest = exchange.answer()
        self.first = dechunk(rest)[0]
        return exchange

    def _seen(self, exchange: Http1Exchange) -> Parsed:
        return parse(dechunk(exchange.transport.take())[0])

    def test_head(self) -> None:
        """S2: the headers, exactly, before the first event."""
        self._open()
        self.assertEqual(self.status, 200)
        del self.fields["date"]
        self.assertEqual(
            self.fields,
            {
                "content-type": "text/event-stream; charset=utf-8",
                "cache-control": "no-cache, no-store, must-revalidate, no-transform",
                "connection": "keep-alive",
                "x-accel-buffering": "no",
                "transfer-encoding": "chunked",
            },
        )

    def test_events_at_once(self) -> None:
        """S1: each event is on the wire in the turn in which it is given."""
        exchange = self._open()
        for item, event in [
            ("text", ("message", "text", "")),
            (b"bytes", ("message", "bytes", "")),
            (SseEvent(data="x", event="tick", id="1"), ("tick", "x", "1")),
            (json_event({"a": 1}, event="json"), ("json", '{"a":1}', "")),
            (RawBlocks(b"event: raw\ndata: y\n\n"), ("raw", "y", "")),
        ]:
            self.source.give(item)
            self.assertEqual(self._seen(exchange).events, [event])

    def test_text_is_made_safe(self) -> None:
        """S4: plain text and bytes cannot end their event either."""
        exchange = self._open()
        self.source.give("a\n\nevent: evil\ndata: b")
        self.source.give(b"a\r\n\r\nid: 7")
        self.assertEqual(
            self._seen(exchange).events,
            [("message", "a\n\nevent: evil\ndata: b", ""), ("message", "a\n\nid: 7", "")],
        )

    def test_retry_first(self) -> None:
        """The reconnection time is sent before anything else."""
        self._open(retry=2500)
        self.assertEqual(self.first, b"retry: 2500\n")

    def test_keep_alive(self) -> None:
        """S5: a comment after each silence of the period; none where events come faster."""
        exchange = self._open(keep_alive=0.25)
        exchange.clock.pump([0.125] * 10)
        self.assertEqual(self._seen(exchange).comments, [" keepalive"] * 5)
        for _ in range(10):
            exchange.clock.advance(0.125)
            self.source.give("x")
        seen = self._seen(exchange)
        self.assertEqual((len(seen.events), seen.comments), (10, []))

    def test_no_keep_alive(self) -> None:
        """Without it there is no timer at all."""
        exchange = self._open(keep_alive=None)
        self.assertEqual(exchange.clock.getDelayedCalls(), [])

    def test_client_leaves(self) -> None:
        """S6: the iterator is closed when the client leaves, in the same turn, timers too."""
        exchange = self._open()
        self.source.give("x")
        exchange.transport.hang_up()
        self.assertTrue(self.source.closed)
        self.successResultOf(self.answer.over)
        self.assertEqual(exchange.clock.getDelayedCalls(), [])

    def test_client_leaves_over_http2(self) -> None:
        """S6: the same for a stream that is reset."""
        answer = _Answer(self.source.events)
        exchange = Http2Exchange(answer)
        stream = exchange.ask()
        self.source.give("x")
        exchange.turn()
        self.assertEqual(parse(exchange.data(stream)).events, [("message", "x", "")])
        exchange.client.reset_stream(stream, ErrorCodes.CANCEL)
        exchange.turn()
        self.assertTrue(self.source.closed)
        self.successResultOf(answer.over)

    def test_client_leaves_while_paused(self) -> None:
        """S6: and while the iterator waits for the client to read."""
        exchange = self._open()
        exchange.transport.block()
        self.source.give("x" * 100000)
        exchange.transport.hang_up()
        self.assertTrue(self.source.closed)

    def test_head_request(self) -> None:
        """HEAD gets the head, and the iterator is closed without being asked."""
        exchange = Http1Exchange(_Answer(self.source.events))
        exchange.ask(method="HEAD")
        self.assertEqual(exchange.answer()[0], 200)
        self.assertEqual(self.source.asked, 0)
        self.assertEqual(exchange.clock.getDelayedCalls()[1:], [])

    def test_end(self) -> None:
        """When the iterator ends, the response does, and the connection is kept."""

        async def three() -> AsyncIterator[Item]:
            for number in range(3):
                yield str(number)

        answer = _Answer(three)
        exchange = Http1Exchange(answer)
        exchange.ask()
        body, ended = dechunk(exchange.answer()[2])
        self.assertEqual([event[1] for event in parse(body).events], ["0", "1", "2"])
        self.assertTrue(ended)
        self.successResultOf(answer.over)
        exchange.ask()
        self.assertEqual(exchange.answer()[0], 200)

    def test_failure(self) -> None:
        """When it fails, the response breaks off, so that the client knows; the log has why."""

        async def fails() -> AsyncIterator[Item]:
            yield "x"
            raise RuntimeError("secret")

        answer = _Answer(fails)
        exchange = Http1Exchange(answer)
        exchange.ask()
        self.assertTrue(exchange.transport.aborted)
        self.assertNotIn(b"secret", exchange.transport.sent)
        self.successResultOf(answer.over)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_slow_client(self) -> None:
        """S9: the iterator is not asked for more while the client does not read."""
        made: list[int] = []

        async def endless() -> AsyncIterator[Item]:
            while True:
                made.append(len(made))
                yield "x" * 10000

        exchange = Http1Exchange(_Answer(endless))
        exchange.transport.block()
        exchange.ask()
        before = len(made)
        self.assertLess(before, 10)
        exchange.clock.advance(14)
        self.assertEqual(len(made), before)
        exchange.transport.hang_up()
        self.assertEqual(exchange.clock.getDelayedCalls(), [])

    def test_slow_client_over_http2(self) -> None:
        """S9: nor over HTTP/2, however large the client's window is."""
        made: list[int] = []

        async def endless() -> AsyncIterator[Item]:
            while True:
                made.append(len(made))
                yield "x" * 10000

        exchange = Http2Exchange(_Answer(endless), window=1 << 30)
        exchange.client.increment_flow_control_window(1 << 29)
        exchange.transport.block()
        exchange.ask()
        exchange.turn()
        self.assertLess(len(made), 30)
        exchange.transport.hang_up()

    def test_end_while_slow(self) -> None:
        """A response that ends while the client is slow still comes whole."""

        async def large() -> AsyncIterator[Item]:
            for _ in range(20):
                yield "x" * 10000

        exchange = Http1Exchange(_Answer(large))
        exchange.transport.block()
        exchange.ask()
        exchange.transport.unblock()
        body, ended = dechunk(exchange.answer()[2])
        self.assertEqual((len(parse(body).events), ended), (20, True))

    def test_time_in_the_source(self) -> None:
        """A source that waits on the reactor's time is driven by it."""

        def answer(request: Any) -> Any:
            async def ticks() -> AsyncIterator[Item]:
                for number in range(2):
                    await deferLater(exchange.clock, 1)
                    yield str(number)

            sse(request, ticks())
            return NOT_DONE_YET

        exchange = Http1Exchange(answer)
        exchange.ask()
        exchange.answer()
        exchange.clock.advance(1)
        self.assertEqual(self._seen(exchange).events, [("message", "0", "")])
        exchange.clock.advance(1)
        self.assertEqual(dechunk(exchange.transport.take())[1], True)

    def test_cancelled_by_the_router(self) -> None:
        """Whoever cancels the answer drops the client and closes the iterator."""
        exchange = self._open()
        self.answer.over.cancel()
        self.assertTrue(exchange.transport.aborted)
        self.assertTrue(self.source.closed)
        self.successResultOf(self.answer.over)

    def test_silence_over_http2(self) -> None:
        """S8: with keep-alive a stream outlives the site's idle timeout."""
        exchange = Http2Exchange(_Answer(self.source.events))
        stream = exchange.ask()
        for _ in range(20):
            exchange.clock.advance(15)
            exchange.turn()
        self.assertEqual(len(parse(exchange.data(stream)).comments), 20)
        self.assertFalse(exchange.has(h2.events.ConnectionTerminated))


class LastEventIdTests(SynchronousTestCase):
    """S7: what a returning client has seen."""

    def _of(self, *lines: str) -> tuple[str | None, bytes | None]:
        seen: list[Any] = []

        def answer(request: Any) -> bytes:
            seen.append((last_event_id(request), last_event_id_bytes(request)))
            return b""

        Http1Exchange(answer).ask("/", *lines)
        pair: tuple[str | None, bytes | None] = seen[0]
        return pair

    def test_text_and_bytes(self) -> None:
        """As text where it is text, as bytes in any case; blank is empty text and no bytes."""
        self.assertEqual(self._of(), (None, None))
        self.assertEqual(self._of("Last-Event-ID:  42 "), ("42", b"42"))
        self.assertEqual(self._of("Last-Event-ID: "), ("", None))
        self.assertEqual(self._of("Last-Event-ID: \xff\xfe"), (None, b"\xff\xfe"))
        grüße = "grüße".encode().decode("latin-1")
        self.assertEqual(self._of(f"Last-Event-ID: {grüße}"), ("grüße", "grüße".encode()))
