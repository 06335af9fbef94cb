from __future__ import annotations

from typing import Any

import h2.events
from h2.errors import ErrorCodes
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET, Site

from takotwist.codecs.sse import chunk
from takotwist.streams.http.response import HIGH_WATER
from takotwist.streams.sse.stream import EventStream
from tests.streams.exchange import Http1Exchange, Http2Exchange, dechunk, run_due

BLOCK = b"data: x\n\n"


class _Opened:
    """A resource that opens a stream and keeps it."""

    def __init__(self, **headers: Any) -> None:
        self.told: list[str] = []
        self._headers = headers
        self.stream: EventStream
        self.request: Any = None

    def __call__(self, request: Any) -> Any:
        self.request = request
        self.stream = EventStream(
            request,
            on_pause=lambda: self.told.append("pause"),
            on_resume=lambda: self.told.append("resume"),
            **self._headers,
        )
        self.stream.on_closed(lambda: self.told.append("closed"))
        self.stream.open()
        return NOT_DONE_YET


class Http1Tests(SynchronousTestCase):
    """An event stream over HTTP/1.1 and 1.0."""

    def setUp(self) -> None:
        self.opened = _Opened()
        self.exchange = Http1Exchange(self.opened)

    def test_head_and_blocks(self) -> None:
        """The head goes out at once, and each block when it is written, as one chunk."""
        self.exchange.ask()
        status, fields, rest = self.exchange.answer()
        self.assertEqual(status, 200)
        self.assertEqual(fields["content-type"], "text/event-stream; charset=utf-8")
        self.assertEqual(fields["cache-control"], "no-store, no-transform")
        self.assertEqual(fields["x-accel-buffering"], "no")
        self.assertEqual(fields["transfer-encoding"], "chunked")
        self.assertEqual(rest, b"")
        self.assertEqual(self.opened.stream.framing, "chunked")
        self.opened.stream.write(BLOCK)
        self.assertEqual(self.exchange.transport.take(), chunk(BLOCK))

    def test_framed_bytes_pass_as_they_are(self) -> None:
        """Blocks that are framed already go out joined and untouched."""
        self.exchange.ask()
        self.exchange.transport.take()
        self.opened.stream.write_framed(chunk(BLOCK) * 3)
        self.assertEqual(dechunk(self.exchange.transport.take()), (BLOCK * 3, False))

    def test_http10(self) -> None:
        """A client of HTTP/1.0 gets bare bytes, ended by the connection's end."""
        self.exchange.ask(version="1.0")
        self.assertNotIn("transfer-encoding", self.exchange.answer()[1])
        self.assertEqual(self.opened.stream.framing, "raw")
        self.opened.stream.write(BLOCK)
        self.opened.stream.close()
        self.assertEqual(self.exchange.transport.take(), BLOCK)
        self.assertFalse(self.exchange.transport.connected)

    def test_head_request(self) -> None:
        """HEAD gets the head, and the stream is over."""
        self.exchange.ask(method="HEAD")
        status, _, rest = self.exchange.answer()
        self.assertEqual((status, rest, self.opened.told), (200, b"", ["closed"]))

    def test_clean_end(self) -> None:
        """After `close` the client has the last chunk, and can ask again on the connection."""
        self.exchange.ask()
        self.exchange.transport.take()
        self.opened.stream.write(BLOCK)
        self.opened.stream.close()
        self.opened.stream.close()
        self.assertEqual(dechunk(self.exchange.transport.take()), (BLOCK, True))
        self.assertEqual(self.opened.told, ["closed"])
        self.exchange.ask()
        self.assertEqual(self.exchange.answer()[0], 200)

    def test_abort(self) -> None:
        """After `abort` the connection is gone, without the last chunk."""
        self.exchange.ask()
        self.exchange.transport.take()
        self.opened.stream.abort()
        self.assertTrue(self.exchange.transport.aborted)
        self.assertEqual(self.exchange.transport.take(), b"")
        self.assertEqual(self.opened.told, ["closed"])

    def test_client_leaves(self) -> None:
        """A client that hangs up is told of exactly once, and writes are dropped after it."""
        self.exchange.ask()
        self.exchange.transport.hang_up()
        self.assertEqual(self.opened.told, ["closed"])
        self.opened.stream.write(BLOCK)
        self.opened.stream.close()
        self.opened.stream.abort()
        self.assertEqual(self.opened.told, ["closed"])
        self.opened.stream.on_closed(lambda: self.opened.told.append("late"))
        self.assertEqual(self.opened.told, ["closed", "late"])

    def test_client_left_before(self) -> None:
        """A stream whose client left while it was being authorized does not open."""
        kept = []

        def wait(request: Any) -> Any:
            kept.append(request)
            return NOT_DONE_YET

        exchange = Http1Exchange(wait)
        exchange.ask()
        exchange.transport.hang_up()
        stream = EventStream(kept[0])
        told: list[str] = []
        stream.on_closed(lambda: told.append("closed"))
        self.assertFalse(stream.open())
        self.assertEqual(told, ["closed"])

    def test_slow_client(self) -> None:
        """Past the socket's buffer the stream pauses, and goes on when all has left."""
        self.exchange.ask()
        self.exchange.transport.take()
        self.exchange.transport.block()
        self.opened.stream.write(b"x" * 60000)
        self.assertFalse(self.opened.stream.paused)
        self.opened.stream.write(b"x" * 10000)
        self.assertTrue(self.opened.stream.paused)
        self.assertGreater(self.opened.stream.buffered, 70000)
        self.exchange.transport.unblock()
        self.assertEqual(self.opened.told, ["pause", "resume"])
        self.assertEqual((self.opened.stream.paused, self.opened.stream.buffered), (False, 0))

    def test_silence(self) -> None:
        """A silent stream outlives every timeout of the site, and leaves no timer."""
        self.exchange.ask()
        self.exchange.clock.advance(100000)
        self.assertEqual(self.opened.told, [])
        self.assertEqual(self.exchange.clock.getDelayedCalls(), [])

    def test_the_head_is_forgotten(self) -> None:
        """What the request's head held is given back, its query first of all."""
        self.exchange.ask("/x?access_token=secret", "Cookie: a=b")
        request = self.opened.request
        self.assertEqual(request.uri, b"/x")
        self.assertEqual(request.args, {})
        self.assertEqual(request.received_cookies, {})
        self.assertEqual(list(request.requestHeaders.getAllRawHeaders()), [])
        self.opened.stream.close()
        self.assertTrue(self.exchange.transport.connected)

    def test_transport(self) -> None:
        """The connection's own transport is at hand, with Nagle's algorithm off."""
        self.exchange.ask()
        self.assertIs(self.opened.stream.transport, self.exchange.transport)
        self.assertIs(self.exchange.transport.no_delay, True)
        self.opened.stream.close()
        self.assertIsNone(self.opened.stream.transport)

    def test_connection_header(self) -> None:
        """A ``Connection`` header is sent only where it is true."""
        headers = {"Connection": "keep-alive"}
        for line, version, sent in [
            ("X: y", "1.1", "keep-alive"),
            ("Connection: close", "1.1", "close"),
            ("X: y", "1.0", None),
        ]:
            with self.subTest(line=line, version=version):
                exchange = Http1Exchange(_Opened(headers=headers))
                exchange.ask("/", line, version=version)
                self.assertEqual(exchange.answer()[1].get("connection"), sent)


class Http2Tests(SynchronousTestCase):
    """An event stream as one stream of HTTP/2."""

    def setUp(self) -> None:
        self.opened = _Opened(headers={"Content-Type": "text/event-stream", "Connection": "x"})
        self.exchange = Http2Exchange(self.opened)

    def test_head_and_blocks(self) -> None:
        """S2: bare blocks, and no header that only HTTP/1.1 has."""
        stream = self.exchange.ask()
        fields = self.exchange.headers(stream)
        self.assertEqual(fields[":status"], "200")
        self.assertNotIn("connection", fields)
        self.assertNotIn("transfer-encoding", fields)
        self.opened.stream.write(BLOCK)
        self.exchange.turn()
        self.assertEqual(self.exchange.data(stream), BLOCK)
        self.assertEqual(self.opened.stream.framing, "raw")
        self.assertIsNone(self.opened.stream.transport)

    def test_clean_end(self) -> None:
        """`close` sends what waits and ends the stream; the connection stays."""
        stream = self.exchange.ask()
        self.opened.stream.write(BLOCK)
        self.opened.stream.close()
        self.exchange.turn()
        self.assertEqual(self.exchange.data(stream), BLOCK)
        self.assertTrue(self.exchange.has(h2.events.StreamEnded, stream))
        self.assertEqual(self.opened.told, ["closed"])
        self.assertEqual(self.exchange.headers(self.exchange.ask())[":status"], "200")

    def test_reset_by_the_client(self) -> None:
        """S6: a client that resets the stream is told of; its other streams go on."""
        first = self.exchange.ask()
        told = self.opened.told
        second_opened = self.opened
        second_opened.told = []
        second = self.exchange.ask()
        self.exchange.client.reset_stream(first, ErrorCodes.CANCEL)
        self.exchange.turn()
        self.assertEqual((told, second_opened.told), ([], ["closed"]))
        second_opened.stream.write(BLOCK)
        self.exchange.turn()
        self.assertEqual(self.exchange.data(second), BLOCK)

    def test_abort(self) -> None:
        """`abort` resets the stream, and everybody who waits for its end is told."""
        stream = self.exchange.ask()
        finished: list[Any] = []
        self.opened.request.notifyFinish().addErrback(finished.append)
        self.opened.stream.abort()
        self.exchange.turn()
        self.assertTrue(self.exchange.has(h2.events.StreamReset, stream))
        self.assertEqual((self.opened.told, len(finished)), (["closed"], 1))

    def test_hang_up(self) -> None:
        """When the connection goes, each of its streams is told of once."""
        self.exchange.ask()
        self.exchange.transport.hang_up()
        self.assertEqual(self.opened.told, ["closed"])

    def test_hang_up_of_streams_that_end_each_other(self) -> None:
        """An end that aborts or closes the connection's other streams disturbs nothing."""
        opened: list[_Opened] = []

        def answer(request: Any) -> Any:
            opened.append(_Opened())
            return opened[-1](request)

        exchange = Http2Exchange(answer)
        for _ in range(3):
            exchange.ask()
        opened[0].stream.on_closed(lambda: opened[1].stream.abort())
        opened[0].stream.on_closed(lambda: opened[2].stream.close())
        exchange.transport.hang_up()
        self.assertEqual([one.told for one in opened], [["closed"]] * 3)
        self.assertEqual(exchange.clock.getDelayedCalls(), [])

    def test_full_window(self) -> None:
        """S9: the stream pauses when the client's window is full, and memory is bounded."""
        self.exchange.read_windows = False
        stream = self.exchange.ask()
        while not self.opened.stream.paused:
            self.opened.stream.write(b"x" * 1000)
            self.exchange.turn(2)
        self.assertEqual(len(self.exchange.data(stream)), 65535)
        self.assertLessEqual(self.opened.stream.buffered, HIGH_WATER + 1000)
        self.exchange.client.increment_flow_control_window(1 << 20, stream)
        self.exchange.client.increment_flow_control_window(1 << 20)
        self.exchange.turn(200)
        self.assertEqual(self.opened.told, ["pause", "resume"])
        self.assertEqual(self.opened.stream.buffered, 0)

    def test_full_socket(self) -> None:
        """S9: a huge window does not hide a full socket."""
        exchange = Http2Exchange(self.opened, window=1 << 30)
        exchange.client.increment_flow_control_window(1 << 30)
        stream = exchange.ask()
        exchange.transport.block()
        written = 0
        while not self.opened.stream.paused:
            self.opened.stream.write(b"x" * 1000)
            written += 1000
            run_due(exchange.clock)
            self.assertLess(written, 1 << 20)
        exchange.transport.unblock()
        exchange.turn(200)
        self.assertEqual(self.opened.told, ["pause", "resume"])
        self.assertEqual(len(exchange.data(stream)), written)

    def test_silence(self) -> None:
        """S8: a silent stream outlives the idle timeout; when it ends the timeout is back."""
        self.exchange.ask()
        self.exchange.clock.advance(100000)
        self.assertEqual(self.opened.told, [])
        self.opened.stream.close()
        self.exchange.turn()
        self.exchange.clock.advance(61)
        self.exchange.turn()
        self.assertFalse(self.exchange.transport.connected)

    def test_silence_on_twisteds_own_site(self) -> None:
        """S8: the same on a plain `twisted.web.server.Site`, with two streams."""
        opened: list[_Opened] = []

        def answer(request: Any) -> Any:
            opened.append(_Opened())
            return opened[-1](request)

        def plain(resource: Any, clock: Any) -> Any:
            # Its HTTP/2 connection uses the global reactor, which is the clock here.
            import twisted.internet.reactor as installed

            for name in ("callLater", "seconds"):
                self.patch(installed, name, getattr(clock, name))
            return Site(resource, reactor=clock)

        exchange = Http2Exchange(answer, factory=plain)
        exchange.ask()
        exchange.ask()
        exchange.clock.advance(1000)
        opened[0].stream.close()
        exchange.turn()
        exchange.clock.advance(1000)
        self.assertEqual([one.told for one in opened], [["closed"], []])
        opened[1].stream.close()
        exchange.turn()
        exchange.clock.advance(61)
        self.assertTrue(exchange.transport.disconnecting)
        exchange.transport.abortConnection()
