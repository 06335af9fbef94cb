"""Bodies and messages that begin and do not end, over each protocol."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import h2.events
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET

from takotwist.streams.http.limits import Body, HttpLimits
from takotwist.streams.http.site import make_site
from takotwist.streams.unfinished import Unfinished
from takotwist.streams.websocket.config import WebSocketConfig
from takotwist.streams.websocket.upgrade import WebSocketUpgrade
from tests.codecs.websocket_reader import client_frame
from tests.settings import change_limits, limited
from tests.streams.exchange import Answering, Http1Exchange, Http2Exchange
from tests.streams.http3.wire import Net, UdpClock
from tests.streams.websocket_client import KEY

LIMITS = HttpLimits(max_body=5000)


def echo(request: Any) -> bytes:
    """What was sent."""
    return bytes(request.content.read())


class Http1Tests(SynchronousTestCase):
    """Over HTTP/1.1."""

    def setUp(self) -> None:
        self.exchange = Http1Exchange(echo, LIMITS)
        self.settings = limited()
        self.all = Unfinished(self.exchange.clock, self.settings)
        self.exchange.site.unfinished = self.all

    def post(self, body: bytes, length: int = 4000) -> None:
        self.exchange.ask("/", f"Content-Length: {length}", method="POST", body=body)

    def test_whole(self) -> None:
        """A body that comes on is answered, and nothing is counted then."""
        self.post(b"x" * 3000)
        self.assertEqual(self.all.held, 3000)
        self.exchange.clock.advance(29)
        self.exchange.transport.deliver(b"y" * 1000)
        self.assertEqual(self.exchange.answer()[0], 200)
        self.assertEqual((self.all.held, self.all.waited_for), (0, 0))

    def test_stalled(self) -> None:
        """One that stops, or never begins, is told, and its connection ends."""
        for begun in (b"", b"x" * 3000):
            self.setUp()
            self.post(begun)
            self.exchange.clock.advance(30)
            status, fields, body = self.exchange.answer()
            self.assertEqual((status, fields["connection"]), (408, "close"))
            self.assertIn("too slowly", json.loads(body)["error"])
            self.exchange.clock.advance(2)
            self.assertTrue(self.exchange.transport.disconnecting)
            self.assertEqual(self.all.held, 0)

    def test_trickling(self) -> None:
        """A byte a second is no sign of life, nor in chunks."""
        for field in ("Content-Length: 4000", "Transfer-Encoding: chunked"):
            self.setUp()
            self.exchange.ask("/", field, method="POST")
            for _ in range(30):
                self.exchange.clock.advance(1)
                piece = b"x" if "Length" in field else b"1\r\nx\r\n"
                self.exchange.transport.deliver(piece)
            self.assertEqual(self.exchange.answer()[0], 408)

    def test_too_much(self) -> None:
        """Past what is held in all, the body that is largest is told when it may come again."""
        change_limits(self.settings, max_unfinished_bytes=3500)
        self.post(b"x" * 3000)
        small = self.all.begin(lambda why: self.fail(why))
        small.holds(600)
        status, fields, body = self.exchange.answer()
        self.assertEqual((status, fields["retry-after"]), (503, "2"))
        self.assertIn("unfinished", json.loads(body)["error"])
        self.assertEqual(self.all.held, 600)

    def test_leaves(self) -> None:
        """Who leaves in the middle is counted no longer."""
        self.post(b"x" * 3000)
        self.exchange.transport.hang_up()
        self.assertEqual((self.all.held, self.all.waited_for), (0, 0))

    def test_behind_an_answer(self) -> None:
        """What comes behind a request that is answered for long is counted, for no time."""
        for direct in (True, False):
            exchange = Http1Exchange(lambda _: NOT_DONE_YET)
            settings = limited()
            exchange.site.unfinished = Unfinished(exchange.clock, settings)
            if direct:
                exchange.site.direct = lambda path: lambda request: True
            exchange.ask()
            for _ in range(100):
                exchange.transport.deliver(b"x" * 100)
            self.assertEqual(exchange.site.unfinished.held, 10_000)
            exchange.clock.advance(1000)
            self.assertTrue(exchange.transport.connected)
            change_limits(settings, max_unfinished_bytes=9_000)
            exchange.transport.deliver(b"x")
            self.assertFalse(exchange.transport.connected)
            self.assertEqual(exchange.site.unfinished.held, 0)


class Http2Tests(SynchronousTestCase):
    """Over HTTP/2."""

    def setUp(self) -> None:
        self.exchange = Http2Exchange(echo, LIMITS)

    def test_stalled(self) -> None:
        """A stream that stalls is told; another of the same connection is answered."""
        exchange = self.exchange
        stalled = exchange.ask(method="POST", ended=False)
        exchange.client.send_data(stalled, b"x" * 2000)
        exchange.turn()
        self.assertEqual(exchange.site.unfinished.held, 2000)
        exchange.clock.advance(30)
        exchange.turn()
        self.assertEqual(exchange.headers(stalled)[":status"], "408")
        self.assertEqual(exchange.headers(exchange.ask())[":status"], "200")
        self.assertEqual(
            (exchange.site.unfinished.held, exchange.site.unfinished.waited_for), (0, 0)
        )

    def test_reset(self) -> None:
        """A stream that is given up is counted no longer."""
        exchange = self.exchange
        stream = exchange.ask(method="POST", ended=False)
        exchange.client.send_data(stream, b"x" * 2000)
        exchange.turn()
        exchange.client.reset_stream(stream)
        exchange.turn()
        self.assertEqual(
            (exchange.site.unfinished.held, exchange.site.unfinished.waited_for), (0, 0)
        )
        self.assertFalse(exchange.has(h2.events.ConnectionTerminated))


class Http3Tests(SynchronousTestCase):
    """Over HTTP/3."""

    def setUp(self) -> None:
        clock = UdpClock()
        settings = limited(input_seconds=10, input_rate=100, max_unfinished_bytes=50_000)
        self.all = Unfinished(clock, settings)
        site = make_site(Answering(echo), clock, unfinished=self.all)  # type: ignore[arg-type]
        self.net = Net(site=site, clock=clock, unfinished=self.all)
        self.client = self.net.client()

    def test_stalled_body(self) -> None:
        """A body that stalls is told; another stream of the connection is answered."""
        stalled = self.client.request("/", "POST", b"x" * 2000, end=False)
        self.net.pump()
        self.assertEqual(self.all.held, 2000)
        self.net.pump(21, 0.1)
        self.assertEqual(self.client.status(stalled), 408)
        other = self.client.request()
        self.net.pump()
        self.assertEqual(self.client.status(other), 200)
        self.assertEqual((self.all.held, self.all.waited_for), (0, 0))

    def test_stalled_head(self) -> None:
        """A head that is never whole ends its connection."""
        stream = self.client.quic.get_next_available_stream_id()
        self.client.quic.send_stream_data(stream, b"\x01\x40\xc8" + b"x" * 50)
        self.net.pump()
        self.assertEqual(self.all.waited_for, 1)
        self.net.pump(11, 0.1)
        self.assertEqual(self.net.server.connections, 0)
        self.assertEqual((self.all.held, self.all.waited_for), (0, 0))

    def test_gap(self) -> None:
        """Data behind a gap is counted, until the gap is closed or its stream is reset."""
        quic = self.client.quic
        for closes in (True, False):
            stream = self.client.request("/", "POST", b"", end=False)
            self.net.pump()
            self.client.h3.send_data(stream, b"x" * 900, end_stream=False)
            lost = quic.datagrams_to_send(now=self.net.clock.seconds())
            self.client.h3.send_data(stream, b"y" * 900, end_stream=True)
            for data, _ in quic.datagrams_to_send(now=self.net.clock.seconds()):
                self.net.server.protocol.datagramReceived(data, self.client.address)
            self.assertGreater(self.all.held, 1800)
            if closes:
                for data, _ in lost:
                    self.net.server.protocol.datagramReceived(data, self.client.address)
                self.net.pump()
                self.assertEqual(len(self.client.body(stream)), 1800)
            else:
                quic._streams[stream].sender._send_highest = 0
                quic.reset_stream(stream, 0x10C)
                self.net.pump()
            self.assertEqual((self.all.held, self.all.waited_for), (0, 0))


class Http3BodyTests(SynchronousTestCase):
    """Bodies over HTTP/3 are bounded and streamed as on the others."""

    def setUp(self) -> None:
        self.got: list[bytes] = []
        self.request: Any = None
        clock = UdpClock()
        site = make_site(
            Answering(self._take),
            clock,  # type: ignore[arg-type]
            body_rule=lambda method, path: Body.STREAMED if path == b"/stream" else 100,
        )
        self.all = site.unfinished
        self.net = Net(site=site, clock=clock)
        self.client = self.net.client()

    def _take(self, request: Any) -> Any:
        if request.path != b"/stream":
            return echo(request)
        self.request = request
        request.let_body_be_quiet()
        request.stream_body(self)
        return NOT_DONE_YET

    def body_chunk(self, data: bytes) -> None:
        """See `BodyReceiver`."""
        self.got.append(data)
        self.request.write(b"%d " % len(data))

    def body_end(self) -> None:
        """See `BodyReceiver`."""
        self.request.finish()

    def body_lost(self) -> None:
        """See `BodyReceiver`."""
        self.got.append(b"lost")

    def test_bound(self) -> None:
        """By the rule of the site, stated or not, with the site's own answer."""
        for fields in ({}, {"content_length": "101"}):
            stream = self.client.request("/", "POST", b"x" * 101, **fields)
            self.net.pump()
            self.assertEqual(self.client.status(stream), 413)
            self.assertIn(b"100 bytes", self.client.body(stream))
        fits = self.client.request("/", "POST", b"x" * 100)
        self.net.pump()
        self.assertEqual(self.client.body(fits), b"x" * 100)

    def test_streamed(self) -> None:
        """It is taken and answered as it comes, and may be quiet for long."""
        stream = self.client.request("/stream", "POST", b"abc", end=False)
        self.net.pump()
        self.assertEqual((self.got, self.client.body(stream)), ([b"abc"], b"3 "))
        self.net.pump(100, 0.2)
        self.client.h3.send_data(stream, b"d", end_stream=True)
        self.net.pump()
        self.assertEqual((b"".join(self.got), self.client.body(stream)), (b"abcd", b"3 1 "))
        self.assertTrue(self.client.ended(stream))
        self.assertEqual((self.all.held, self.all.waited_for), (0, 0))

    def test_pace(self) -> None:
        """Its receiver sets the pace: what waits is bounded by the window, and all comes."""
        stream = self.client.request("/stream", "POST", b"x", end=False)
        self.net.pump()
        self.request.pause_body()
        self.client.h3.send_data(stream, b"y" * 2_000_000, end_stream=True)
        self.net.pump(2)
        self.assertEqual(self.got, [b"x"])
        [connection] = self.net.server.protocol.connections
        self.assertGreater(connection._quic.unread, 100_000)
        self.assertLessEqual(connection._quic.unread, 256 * 1024)
        self.request.resume_body()
        self.net.pump(5)
        self.assertEqual(len(b"".join(self.got)), 2_000_001)
        self.assertTrue(self.client.ended(stream))
        self.assertEqual(connection._quic.unread, 0)

    def test_leaves(self) -> None:
        """Who gives up in the middle is told of, and its credit is given back."""
        stream = self.client.request("/stream", "POST", b"x", end=False)
        self.net.pump()
        self.request.pause_body()
        self.client.h3.send_data(stream, b"y" * 5000, end_stream=False)
        self.net.pump()
        self.client.quic.reset_stream(stream, 0x10C)
        self.net.pump()
        self.assertEqual(self.got[-1], b"lost")
        [connection] = self.net.server.protocol.connections
        self.assertEqual(connection._quic.unread, 0)


class WebSocketTests(SynchronousTestCase):
    """Messages over WebSocket."""

    def setUp(self) -> None:
        self.clock = MemoryReactorClock()
        self.settings = limited()
        self.all = Unfinished(self.clock, self.settings)
        upgrader = WebSocketUpgrade(WebSocketConfig(), self.clock, self.all)
        self.got: list[bytes] = []
        self.ended: list[int] = []
        self.on_message: Callable[[], None] = lambda: None

        def got(payload: bytes, _: bool) -> None:
            self.got.append(payload)
            self.on_message()

        def upgrade(request: Any) -> Any:
            self.ws = upgrader.upgrade(
                request,
                on_message=got,
                on_closed=lambda code, *_: self.ended.append(code),
            )
            return NOT_DONE_YET

        self.exchange = Http1Exchange(upgrade)
        self.exchange.ask(
            "/", "Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {KEY}"
        )
        self.exchange.transport.take()

    def send(self, data: bytes) -> None:
        self.exchange.transport.deliver(data)

    def closed_with(self) -> bytes:
        return self.exchange.transport.take()[2:]

    def test_whole(self) -> None:
        """Messages that come on are taken, cut anywhere."""
        frame = client_frame(1, b"x" * 300)
        for _ in range(3):
            self.send(frame[:200])
            self.assertGreater(self.all.held, 150)
            self.send(frame[200:])
            self.assertEqual((self.all.held, self.all.waited_for), (0, 0))
        self.assertEqual(self.got, [b"x" * 300] * 3)

    def test_stalled(self) -> None:
        """A frame, its header, a fragment and a ping that stop are closed with 1013."""
        for begun in (
            client_frame(2, b"x" * 9000)[:-1],
            client_frame(1, b"x")[:3],
            client_frame(1, b"x" * 9000, fin=False),
            client_frame(9, b"x" * 100)[:50],
        ):
            self.setUp()
            self.send(begun)
            self.clock.advance(30)
            self.clock.advance(30)
            self.assertEqual(self.closed_with(), b"\x03\xf5too-slow")
            self.assertEqual((self.all.held, self.all.waited_for), (0, 0))
            self.clock.advance(5)
            self.assertFalse(self.exchange.transport.connected)

    def test_pings_between(self) -> None:
        """Pings between the fragments of a message are no part of it."""
        self.send(client_frame(1, b"x" * 9000, fin=False))
        for _ in range(60):
            self.clock.advance(1)
            for _ in range(5):
                self.send(client_frame(9, b"x" * 100))
        self.assertIn(b"too-slow", self.closed_with())

    def test_pings_without_end(self) -> None:
        """Pings and pongs are taken at any honest pace, and a flood of them is closed."""
        for _ in range(50):
            self.send(client_frame(9, b"x") * 50 + client_frame(10) * 50)
            self.clock.advance(0)
            self.clock.advance(1.1)
        self.assertTrue(self.ws.open)
        self.exchange.transport.take()
        self.clock.advance(20)
        for _ in range(11):
            self.send(client_frame(9) * 99)
            self.clock.advance(0)
        self.assertFalse(self.ws.open)
        self.assertTrue(self.exchange.transport.take().endswith(b"\x03\xf0too many pings"))

    def test_not_read(self) -> None:
        """While we do not read, no time passes for what has begun."""
        self.send(client_frame(1, b"x" * 300)[:100])
        self.ws.pause_reading()
        self.clock.advance(100)
        self.ws.resume_reading()
        self.clock.advance(29)
        self.send(client_frame(1, b"x" * 300)[100:])
        self.assertEqual(self.got, [b"x" * 300])

    def test_not_read_from_now(self) -> None:
        """Nor for what came in one read with the message that made us stop reading."""
        frame = client_frame(1, b"x" * 300)
        self.on_message = self.ws.pause_reading
        self.send(frame + frame[:100])
        self.assertEqual((self.all.held > 0, self.all.waited_for), (True, 0))
        self.clock.advance(100)
        self.on_message = lambda: None
        self.ws.resume_reading()
        self.clock.advance(29)
        self.send(frame[100:])
        self.assertEqual(self.got, [b"x" * 300] * 2)

    def test_too_much(self) -> None:
        """Past what is held in all, the largest is closed, and what it sent is let go."""
        change_limits(self.settings, max_unfinished_bytes=5000)
        self.send(client_frame(1, b"x" * 4000, fin=False))
        self.all.begin(lambda why: self.fail(why)).holds(1500)
        self.assertEqual(self.closed_with(), b"\x03\xf5overloaded")
        self.assertEqual(self.all.held, 1500)
        self.send(client_frame(0, b"more"))
        self.assertEqual(self.got, [])


class QuietTests(SynchronousTestCase):
    """Bodies that their receivers let be quiet."""

    def _take(self, request: Any) -> Any:
        self.request, self.got = request, []
        request.let_body_be_quiet()
        request.stream_body(self)
        return NOT_DONE_YET

    def body_chunk(self, data: bytes) -> None:
        """See `BodyReceiver`."""
        self.got.append(data)

    def body_end(self) -> None:
        """See `BodyReceiver`."""
        self.request.finish()

    def body_lost(self) -> None:
        """See `BodyReceiver`."""
        self.got.append(b"lost")

    def test_http1(self) -> None:
        """It may; what comes on the connection next may not, nor one that was paused."""
        exchange = Http1Exchange(self._take, body_rule=lambda *_: Body.STREAMED)
        exchange.ask("/", "Content-Length: 2", method="POST", body=b"a")
        exchange.clock.advance(1000)
        self.request.pause_body()
        self.request.resume_body()
        exchange.clock.advance(1000)
        exchange.transport.deliver(b"b")
        self.assertEqual((exchange.answer()[0], self.got), (200, [b"a", b"b"]))
        exchange.clock.advance(61)
        self.assertFalse(exchange.transport.connected)

    def test_http2(self) -> None:
        """It may; without it the connection is idle."""
        exchange = Http2Exchange(self._take, body_rule=lambda *_: Body.STREAMED)
        stream = exchange.ask(method="POST", ended=False)
        for _ in range(20):
            exchange.clock.advance(50)
        exchange.client.send_data(stream, b"a", end_stream=True)
        exchange.turn()
        self.assertEqual((exchange.headers(stream)[":status"], self.got), ("200", [b"a"]))
        exchange.clock.advance(61)
        exchange.turn()
        self.assertTrue(exchange.has(h2.events.ConnectionTerminated))
