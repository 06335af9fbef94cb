from __future__ import annotations

from typing import Any

import h2.events
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe.frame import ContinuationFrame, HeadersFrame, PingFrame
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET

from takotwist.streams.http.limits import HttpLimits
from tests.streams.exchange import Http2Exchange


def _as_text(status: int, sentence: str) -> tuple[bytes, bytes]:
    return b"text/plain", f"{status} {sentence}".encode()


class SlowReaderTests(SynchronousTestCase):
    """A client that does not open its window costs nothing while it waits."""

    def setUp(self) -> None:
        self.bodies = {b"/large": b"x" * 200000, b"/small": b"y"}
        self.exchange = Http2Exchange(lambda request: self.bodies[request.path])
        self.exchange.read_windows = False

    def test_the_sending_loop_rests(self) -> None:
        """S9: with data to send and no window, nothing is scheduled but the idle timer."""
        stream = self.exchange.ask("/large")
        self.exchange.turn(50)
        self.assertEqual(len(self.exchange.data(stream)), 65535)
        pending = [call.getTime() for call in self.exchange.clock.getDelayedCalls()]
        self.assertEqual([time for time in pending if time <= self.exchange.clock.seconds()], [])

    def test_the_window_opens(self) -> None:
        """When the window opens, the rest comes, and to the last byte."""
        stream = self.exchange.ask("/large")
        self.exchange.turn(50)
        for _ in range(14):
            self.exchange.client.increment_flow_control_window(10000, stream)
            self.exchange.client.increment_flow_control_window(10000)
            self.exchange.turn(5)
        self.exchange.turn(50)
        self.assertEqual(self.exchange.data(stream), self.bodies[b"/large"])
        self.assertTrue(self.exchange.has(h2.events.StreamEnded, stream))

    def test_the_window_opens_by_settings(self) -> None:
        """A larger initial window, sent as a setting, opens the streams there are."""
        stream = self.exchange.ask("/large")
        self.exchange.turn(50)
        self.exchange.client.increment_flow_control_window(1 << 20)
        self.exchange.client.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 1 << 20})
        self.exchange.turn(50)
        self.assertEqual(self.exchange.data(stream), self.bodies[b"/large"])

    def test_its_neighbours(self) -> None:
        """Another stream of the connection is served meanwhile."""
        self.exchange.client.increment_flow_control_window(1 << 20)
        self.exchange.ask("/large")
        self.exchange.turn(50)
        stream = self.exchange.ask("/small")
        self.assertEqual(self.exchange.data(stream), b"y")


class ConnectionTests(SynchronousTestCase):
    """A connection's bounds and its end."""

    def test_settings(self) -> None:
        """The limits are stated in the settings."""
        exchange = Http2Exchange(lambda _: b"", HttpLimits(max_streams=7, max_head=5000))
        self.assertEqual(exchange.client.remote_settings.max_concurrent_streams, 7)
        self.assertEqual(exchange.client.remote_settings.max_header_list_size, 5000)

    def test_leave(self) -> None:
        """A stop is told by GOAWAY; what was asked before it is answered to the end."""
        waiting: list[Any] = []

        def answer(request: Any) -> int:
            waiting.append(request)
            return NOT_DONE_YET

        exchange = Http2Exchange(answer)
        stream = exchange.ask("/")
        exchange.site.leave()
        exchange.turn(5)
        (goaway,) = [
            event for event in exchange.events if isinstance(event, h2.events.ConnectionTerminated)
        ]
        self.assertEqual((goaway.error_code, goaway.last_stream_id), (0, stream))
        waiting[0].write(b"whole")
        waiting[0].finish()
        exchange.clock.pump([0.0] * 20)
        # Read as bytes: this client's library takes a connection for closed after a GOAWAY.
        self.assertIn(b"whole", exchange.transport.take())

    def test_too_many_headers(self) -> None:
        """Past the bound a request is refused, and the connection goes on."""
        exchange = Http2Exchange(lambda _: b"", HttpLimits(max_headers=10))
        for count, status in ((10, "200"), (11, "431"), (1, "200")):
            stream = exchange.ask("/", *((f"x-{n}", "y") for n in range(count)))
            self.assertEqual(exchange.headers(stream)[":status"], status)
        # A browser writes each cookie as a line.
        stream = exchange.ask("/", *(("cookie", f"c{n}=d") for n in range(20)))
        self.assertEqual(exchange.headers(stream)[":status"], "200")

    def test_too_large_a_head(self) -> None:
        """A head past its bytes is refused on its stream; those beside and after it are
        served, and read with what it has put into the table of words."""
        waiting: list[Any] = []

        def answer(request: Any) -> Any:
            waiting.append(request)
            return NOT_DONE_YET

        exchange = Http2Exchange(answer, HttpLimits(max_head=1000), error_body=_as_text)
        beside = exchange.ask("/beside")
        for size in (900, 2000, 6000):
            stream = exchange.ask("/", ("x-known", "z"), ("x", "y" * size), method="POST")
            self.assertEqual(exchange.headers(stream)[":status"], "431")
            self.assertEqual(exchange.data(stream), b"431 The request's head is too large.")
            self.assertTrue(exchange.has(h2.events.StreamEnded, stream))
        after = exchange.ask("/after", ("x-known", "z"))
        self.assertEqual(waiting[1].getHeader("x-known"), "z")
        for request in waiting:
            request.finish()
        exchange.turn()
        for stream in (beside, after):
            self.assertEqual(exchange.headers(stream)[":status"], "200")
        self.assertEqual(len(waiting), 2)

    def test_much_too_large_a_head(self) -> None:
        """One of many times as many, such as a flood of CONTINUATION, ends the connection."""
        for value in ("y" * 20_000, "\x7f" * 3000):
            exchange = Http2Exchange(lambda _: b"", HttpLimits(max_head=1000))
            exchange.ask("/", ("x", value))
            self.assertTrue(exchange.has(h2.events.ConnectionTerminated))
            self.assertEqual(exchange.clock.getDelayedCalls(), [])

    def test_unfinished_large_head(self) -> None:
        """What is read of a head that is refused anyway counts as unfinished input."""
        exchange = Http2Exchange(lambda _: b"", HttpLimits(max_head=1000))
        unfinished = exchange.site.unfinished
        frames = HeadersFrame(1, b"\x00" * 900), ContinuationFrame(1, b"\x00" * 900)
        exchange.transport.deliver(frames[0].serialize())
        self.assertEqual(unfinished.held, 0)
        exchange.transport.deliver(frames[1].serialize())
        self.assertEqual(unfinished.held, 1800)
        exchange.transport.hang_up()
        self.assertEqual((unfinished.held, exchange.clock.getDelayedCalls()), (0, []))

    def test_idle(self) -> None:
        """A connection without requests is closed after the idle timeout, at once."""
        exchange = Http2Exchange(lambda _: b"")
        exchange.ask()
        exchange.clock.advance(60)
        exchange.turn(1)
        self.assertTrue(exchange.has(h2.events.ConnectionTerminated))
        self.assertFalse(exchange.transport.connected)
        self.assertEqual(exchange.clock.getDelayedCalls(), [])

    def test_request_at_work(self) -> None:
        """One whose request is being answered is not, however long the answer takes."""
        kept: list[Any] = []

        def answer(request: Any) -> Any:
            kept.append(request)
            return NOT_DONE_YET

        exchange = Http2Exchange(answer)
        stream = exchange.ask()
        exchange.clock.advance(60)
        exchange.clock.advance(60)
        kept[0].write(b"late")
        kept[0].finish()
        exchange.turn()
        self.assertEqual(exchange.data(stream), b"late")

    def test_body_that_does_not_come(self) -> None:
        """One whose request is not all in is."""
        exchange = Http2Exchange(lambda _: b"")
        exchange.ask(method="POST", ended=False)
        exchange.clock.advance(60)
        exchange.turn(1)
        self.assertTrue(exchange.has(h2.events.ConnectionTerminated))

    def test_reset_before_the_body_is_in(self) -> None:
        """A request that is taken back harms nobody."""
        exchange = Http2Exchange(lambda _: b"")
        stream = exchange.ask(method="POST", ended=False)
        exchange.client.reset_stream(stream, ErrorCodes.CANCEL)
        exchange.turn()
        self.assertEqual(exchange.headers(exchange.ask())[":status"], "200")

    def test_reset_in_the_same_read(self) -> None:
        """A request that comes together with its reset is not asked about, and harms nobody."""
        asked: list[bytes] = []

        def answer(request: Any) -> bytes:
            asked.append(request.path)
            return b"y"

        exchange = Http2Exchange(answer)
        head = [(":method", "GET"), (":scheme", "https"), (":authority", "example.com")]
        for _ in range(3):
            stream = exchange.client.get_next_available_stream_id()
            exchange.client.send_headers(stream, [*head, (":path", "/back")], end_stream=True)
            exchange.client.reset_stream(stream, ErrorCodes.CANCEL)
        exchange.turn()
        self.assertEqual(asked, [])
        self.assertEqual(exchange.server.streams, {})
        self.assertEqual(exchange.data(exchange.ask("/next")), b"y")
        self.assertEqual(asked, [b"/next"])

    def test_reset_after_an_early_answer(self) -> None:
        """Nor does one that was answered before."""
        exchange = Http2Exchange(lambda _: b"", HttpLimits(max_body=5))
        stream = exchange.ask("/", ("content-length", "10"), method="POST", ended=False)
        self.assertEqual(exchange.headers(stream)[":status"], "413")
        exchange.client.reset_stream(stream, ErrorCodes.CANCEL)
        exchange.turn()
        self.assertEqual(exchange.headers(exchange.ask())[":status"], "200")

    def test_body_ends_after_an_early_answer(self) -> None:
        """Nor one that goes on to its end."""
        exchange = Http2Exchange(lambda _: b"", HttpLimits(max_body=5))
        stream = exchange.ask("/", ("content-length", "10"), method="POST", ended=False)
        exchange.client.send_data(stream, b"x" * 10, end_stream=True)
        exchange.turn()
        self.assertFalse(exchange.has(h2.events.StreamReset))
        self.assertEqual(exchange.headers(exchange.ask())[":status"], "200")

    def test_hang_up_leaves_nothing(self) -> None:
        """A connection that goes takes its timers with it."""
        exchange = Http2Exchange(lambda _: NOT_DONE_YET)
        exchange.ask()
        exchange.transport.hang_up()
        self.assertEqual(exchange.clock.getDelayedCalls(), [])


class UnfinishedTests(SynchronousTestCase):
    """A client that begins and does not go on, or goes on for nothing."""

    def _ended(self, exchange: Http2Exchange) -> ErrorCodes:
        exchange.clock.pump([0.0] * 3)
        frames = exchange.transport.take()
        self.assertFalse(exchange.transport.connected)
        self.assertEqual(exchange.clock.getDelayedCalls(), [])
        # The GOAWAY is the last frame: its error is in its last four bytes.
        return ErrorCodes(int.from_bytes(frames[-4:]))

    def test_preface(self) -> None:
        """Half a preface has the time of a head, and so have settings that do not come."""
        for sent in (b"PRI * HTTP/2.0\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0"):
            exchange = Http2Exchange(lambda _: b"", begin=False)
            exchange.transport.deliver(sent[:10])
            exchange.clock.advance(9)
            exchange.transport.deliver(sent[10:])
            self.assertTrue(exchange.transport.connected)
            exchange.clock.advance(1)
            self.assertEqual(self._ended(exchange), ErrorCodes.PROTOCOL_ERROR)

    def test_head(self) -> None:
        """A head that does not end has it too, however it trickles; what was asked before is
        told that its client has gone."""
        exchange = Http2Exchange(lambda _: NOT_DONE_YET)
        stream = exchange.ask()
        gone: list[Any] = []
        exchange.server.streams[stream]._request.notifyFinish().addErrback(gone.append)
        head = HeadersFrame(3, b"").serialize()
        exchange.transport.deliver(head)
        for _ in range(9):
            exchange.clock.advance(1)
            exchange.transport.deliver(ContinuationFrame(3, b"\x88").serialize())
        self.assertEqual(gone, [])
        exchange.clock.advance(1)
        self.assertEqual(self._ended(exchange), ErrorCodes.PROTOCOL_ERROR)
        self.assertEqual(len(gone), 1)

    def test_heads_one_after_the_other(self) -> None:
        """A client of whom there is always half a head here, but never the same, is served."""
        exchange = Http2Exchange(lambda _: b"")
        half = b""
        for _ in range(30):
            stream = exchange.client.get_next_available_stream_id()
            fields = [(":method", "GET"), (":path", "/"), (":scheme", "https")]
            exchange.client.send_headers(stream, [*fields, (":authority", "a")], end_stream=True)
            head = exchange.client.data_to_send()
            exchange.transport.deliver(half + head[:12])
            half = head[12:]
            exchange.clock.advance(1)
        self.assertTrue(exchange.transport.connected)

    def test_pings(self) -> None:
        """Pings are answered and keep no connection; too many end it."""
        exchange = Http2Exchange(lambda _: b"")
        exchange.clock.advance(50)
        exchange.client.ping(b"12345678")
        exchange.turn()
        self.assertTrue(exchange.has(h2.events.PingAckReceived))
        exchange.clock.advance(10)
        self.assertEqual(self._ended(exchange), ErrorCodes.NO_ERROR)
        exchange = Http2Exchange(lambda _: b"")
        exchange.transport.deliver(PingFrame(0, b"12345678").serialize() * 1001)
        self.assertEqual(self._ended(exchange), ErrorCodes.ENHANCE_YOUR_CALM)

    def test_after_the_end(self) -> None:
        """What such a client still sends is not looked at."""
        exchange = Http2Exchange(lambda _: b"")
        exchange.transport.deliver(PingFrame(0, b"12345678").serialize() * 1001)
        exchange.transport.deliver(b"\xff" * 100)
        self.assertEqual(self._ended(exchange), ErrorCodes.ENHANCE_YOUR_CALM)
