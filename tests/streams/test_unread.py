"""Readers that take nothing."""

from __future__ import annotations

from typing import Any

import h2.events
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET

from takotwist.streams.http.site import make_site
from takotwist.streams.sse.stream import EventStream
from takotwist.streams.unread import Unread, Waiting
from tests.settings import change_limits, limited
from tests.streams.exchange import Answering, Http1Exchange, Http2Exchange
from tests.streams.http3.wire import Net, UdpClock
from tests.streams.websocket_client import WebSocketExchange

LARGE = b"x" * 1_000_000


class UnreadTests(SynchronousTestCase):
    """60 s, and 1,000 bytes in all."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.settings = limited(unread_seconds=60, max_unread_bytes=1000)
        self.all = Unread(self.clock, self.settings)
        self.sizes: dict[str, int] = {}
        self.cut: list[str] = []

    def watch(self, name: str, size: int) -> Waiting:
        self.sizes[name] = size
        return self.all.watch(lambda: self.sizes[name], lambda: self.cut.append(name))

    def pass_time(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.advance(1)

    def test_stalled(self) -> None:
        """Who takes nothing for a minute is cut, and not a look sooner."""
        self.watch("first", 100)
        self.pass_time(14)
        self.watch("second", 100)
        self.pass_time(45)
        self.assertEqual(self.cut, [])
        self.pass_time(1)
        self.assertEqual(self.cut, ["first"])
        self.pass_time(15)
        self.assertEqual(self.cut, ["first", "second"])
        self.assertEqual((self.all.held, self.clock.getDelayedCalls()), (0, []))

    def test_slow(self) -> None:
        """Who takes a byte now and then is waited for; who has taken all is not watched."""
        one = self.watch("a", 20)
        for _ in range(19):
            self.pass_time(50)
            self.sizes["a"] -= 1
        self.assertEqual(self.cut, [])
        self.sizes["a"] = 0
        self.pass_time(15)
        self.assertNotIn(one, self.all)
        self.assertEqual((self.all.held, self.clock.getDelayedCalls()), (0, []))

    def test_gone(self) -> None:
        """Who has gone is not watched."""
        one = self.watch("a", 20)
        self.all.forget(one)
        self.all.forget(one)
        self.assertEqual((self.all.held, self.clock.getDelayedCalls()), (0, []))

    def test_busy_reactor(self) -> None:
        """Time in which the reactor had none for anybody does not count."""
        self.watch("a", 20)
        self.clock.advance(300)
        self.assertEqual(self.cut, [])
        self.pass_time(44)
        self.assertEqual(self.cut, [])
        self.pass_time(16)
        self.assertEqual(self.cut, ["a"])

    def test_change(self) -> None:
        """Other bounds hold from now on, for who is watched already too."""
        self.watch("a", 20)
        self.pass_time(20)
        change_limits(self.settings, unread_seconds=20, max_unread_bytes=100)
        self.assertEqual(self.cut, [])
        self.pass_time(10)
        self.assertEqual(self.cut, ["a"])
        self.watch("b", 101)
        self.clock.advance(0)
        self.assertEqual(self.cut, ["a", "b"])

    def test_too_much(self) -> None:
        """Past the bound those with the most are cut, until there is room; first it is measured
        who has taken what meanwhile."""
        for name, size in (("a", 300), ("b", 200), ("c", 400)):
            self.watch(name, size)
        self.sizes["c"] = 50
        self.watch("d", 200)
        self.clock.advance(0)
        self.assertEqual(self.cut, [])
        self.watch("e", 260)
        self.assertEqual(self.cut, [])
        self.clock.advance(0)
        self.assertEqual(self.cut, ["a"])
        self.assertEqual(self.all.held, 200 + 50 + 200 + 260)
        self.watch("f", 2000)
        self.clock.advance(0)
        self.assertEqual(self.cut, ["a", "f"])


class ReaderTests(SynchronousTestCase):
    """Over each protocol, an answer of a megabyte, and a stream without an end."""

    def setUp(self) -> None:
        self.closed = 0

    def answer(self, request: Any) -> Any:
        if request.path == b"/large":
            return LARGE
        stream = EventStream(request)
        stream.open()
        stream.on_closed(self._closed)
        while not stream.paused:
            stream.write(b"x" * 5000)
        return NOT_DONE_YET

    def _closed(self) -> None:
        self.closed += 1

    def pass_time(self, exchange: Any, seconds: int) -> None:
        for _ in range(seconds):
            exchange.clock.advance(1)

    def test_http1(self) -> None:
        """Of HTTP/1.1, where the request is answered directly too."""
        for path, direct in (("/large", False), ("/events", False), ("/events", True)):
            exchange = Http1Exchange(self.answer)
            if direct:
                exchange.site.direct = lambda path: lambda request: bool(self.answer(request))
            exchange.transport.block()
            exchange.ask(path)
            answers = exchange.site.unfinished.answers
            self.assertGreater(answers.held, 60_000)
            self.pass_time(exchange, 59)
            self.assertTrue(exchange.transport.connected)
            self.pass_time(exchange, 20)
            self.assertFalse(exchange.transport.connected)
            self.assertEqual(answers.held, 0)
            self.assertEqual(exchange.clock.getDelayedCalls(), [])
        self.assertEqual(self.closed, 2)

    def test_let_go(self) -> None:
        """A request that is over does not keep what its client has not read."""
        requests = []

        def answer(request: Any) -> bytes:
            requests.append(request)
            return LARGE

        exchange = Http1Exchange(answer)
        exchange.transport.block()
        exchange.ask()
        self.assertIsNone(requests[0].transport)

    def test_http1_reads(self) -> None:
        """Who reads in time is not cut, and the connection goes on."""
        exchange = Http1Exchange(self.answer)
        exchange.transport.block()
        exchange.ask("/large")
        self.pass_time(exchange, 50)
        exchange.transport.unblock()
        self.assertEqual(len(exchange.answer()[2]), len(LARGE))
        self.assertEqual(exchange.site.unfinished.answers.held, 0)
        exchange.ask("/large")
        self.assertEqual(exchange.answer()[0], 200)

    def test_http2(self) -> None:
        """A stream of HTTP/2 that is not read is reset; others of its connection go on."""
        exchange = Http2Exchange(self.answer, window=1000)
        exchange.read_windows = False
        streams = [exchange.ask("/large"), exchange.ask("/events")]
        answers = exchange.site.unfinished.answers
        self.assertGreater(answers.held, len(LARGE))
        self.pass_time(exchange, 80)
        exchange.turn()
        for stream in streams:
            self.assertTrue(exchange.has(h2.events.StreamReset, stream))
        self.assertEqual((answers.held, self.closed), (0, 1))
        self.assertFalse(exchange.has(h2.events.ConnectionTerminated))
        self.assertEqual(exchange.headers(exchange.ask("/large"))[":status"], "200")

    def test_http2_socket(self) -> None:
        """Who does not read the connection at all loses it."""
        exchange = Http2Exchange(self.answer, window=10_000_000)
        exchange.client.increment_flow_control_window(10_000_000)
        exchange.turn()
        exchange.transport.block()
        exchange.ask("/large")
        self.pass_time(exchange, 80)
        self.assertFalse(exchange.transport.connected)
        self.assertEqual(exchange.site.unfinished.answers.held, 0)

    def test_http3(self) -> None:
        """A stream of HTTP/3 that is not read is reset; its connection goes on."""
        clock = UdpClock()
        site = make_site(Answering(self.answer), clock)  # type: ignore[arg-type]
        net = Net(site=site, clock=clock)
        client = net.client(max_stream_data=1000)
        client.quic._write_stream_limits = lambda *_, **__: None  # type: ignore[method-assign]
        streams = [client.request("/large"), client.request("/events")]
        net.pump()
        answers = site.unfinished.answers
        self.assertGreater(answers.held, len(LARGE) - 1000)
        net.pump(80, 0.05)
        self.assertEqual((answers.held, self.closed), (0, 1))
        for stream in streams:
            self.assertFalse(client.ended(stream))
        self.assertEqual(len(net.server.protocol.connections), 1)

    def test_websocket(self) -> None:
        """A WebSocket that is not read is dropped, whatever it sends."""

        async def handler(ws: Any) -> None:
            while True:
                await ws.send(b"x" * 5000)

        exchange = WebSocketExchange(handler, connect=False)
        exchange.transport.block()
        exchange.ask_upgrade()
        self.assertFalse(exchange.transport.aborted)
        for _ in range(80):
            exchange.clock.advance(1)
        self.assertTrue(exchange.transport.aborted)
