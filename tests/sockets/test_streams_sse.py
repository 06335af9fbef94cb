"""Server-sent events to curl, over HTTP/1.0, 1.1 and 2, and to a client that does not read."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from takotwist.streams.sse.route import Item, sse
from takotwist.streams.sse.stream import EventStream
from tests.sockets.streams_site import PATIENCE, Curl, listen


class Source(Resource):
    """Answers with events that are given by hand."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self._given: DeferredQueue[Item | None] = DeferredQueue()
        self.asked: Deferred[None] = Deferred()
        self.closed: Deferred[None] = Deferred()

    def render(self, request: Any) -> Any:
        sse(request, self._events())
        self.asked.callback(None)
        return NOT_DONE_YET

    async def _events(self) -> AsyncIterator[Item]:
        try:
            while (item := await self._given.get()) is not None:
                yield item
        finally:
            self.closed.callback(None)

    def give(self, item: Item | None) -> None:
        """The next event; `None` ends the response."""
        self._given.put(item)


class OverHttp1(TestCase):
    """HTTP/1.1 in plaintext."""

    tls = False
    arguments: tuple[str, ...] = ("--http1.1",)
    status = b"HTTP/1.1 200"
    timeout = PATIENCE

    def setUp(self) -> None:
        self.source = Source()
        port = listen(self, self.source, tls=self.tls)
        scheme = "https" if self.tls else "http"
        self.curl = Curl(self, *self.arguments, f"{scheme}://127.0.0.1:{port}/")

    async def test_each_event_at_once(self) -> None:
        """S1, S2: each event is there before the next is made, under the right head."""
        await self.source.asked
        # curl itself holds the head back until there is some body.
        self.source.give("first")
        await self.curl.hear(b"data: first\n\n")
        head = self.curl.heard.lower()
        self.assertTrue(self.curl.heard.startswith(self.status))
        self.assertIn(b"content-type: text/event-stream", head)
        self.assertEqual(b"transfer-encoding" in head, self.arguments[0] == "--http1.1")
        self.assertEqual(b"connection:" in head, self.arguments[0] == "--http1.1")
        for number in range(3):
            self.source.give(f"event {number}")
            await self.curl.hear(b"data: event %d\n\n" % number)
        self.source.give(None)
        await self.curl.ended
        await self.source.closed

    async def test_client_leaves(self) -> None:
        """S6: when the client goes, the iterator is closed."""
        await self.source.asked
        self.source.give("x")
        await self.curl.hear(b"data: x\n\n")
        await self.curl.stop()
        await self.source.closed


class OverHttp10(OverHttp1):
    """HTTP/1.0, which knows no chunks."""

    arguments = ("--http1.0",)
    status = b"HTTP/1.0 200"


class OverTls(OverHttp1):
    """HTTP/1.1 over TLS."""

    tls = True


class OverHttp2(OverHttp1):
    """HTTP/2, agreed on by ALPN."""

    tls = True
    arguments = ("--http2",)
    status = b"HTTP/2 200"


class Flood(Resource):
    """Writes until the client is slow."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.written = 0
        self.paused: Deferred[int] = Deferred()
        self.resumed: Deferred[int] = Deferred()

    def render(self, request: Any) -> Any:
        self.stream = EventStream(
            request,
            on_pause=lambda: self.paused.callback(self.stream.buffered),
            on_resume=lambda: self.resumed.callback(self.stream.buffered),
        )
        self.stream.open()
        self._write()
        return NOT_DONE_YET

    def _write(self) -> None:
        if not self.stream.paused and not self.stream.closed:
            self.stream.write(b"data: " + b"x" * 9992 + b"\n\n")
            self.written += 10000
            reactor.callLater(0, self._write)  # type: ignore[attr-defined]


class SlowReaderTests(TestCase):
    """S9: a client that does not read, on a real socket."""

    timeout = PATIENCE

    async def test_paused_and_resumed(self) -> None:
        """The stream pauses with a bounded rest in memory, and goes on when the client reads."""
        flood = Flood()
        port = listen(self, flood)
        client = socket.socket()
        self.addCleanup(client.close)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await deferToThread(client.connect, ("127.0.0.1", port))
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        waiting = await flood.paused
        self.assertLess(waiting, 65536 + 20000)
        written = flood.written

        def read() -> None:
            left = written
            while left > 0:
                left -= len(client.recv(65536))

        await deferToThread(read)
        self.assertEqual(await flood.resumed, 0)
        gone: Deferred[None] = Deferred()
        flood.stream.on_closed(lambda: gone.callback(None))
        client.close()
        await gone
