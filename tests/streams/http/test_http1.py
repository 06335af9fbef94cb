from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET

from takotwist.streams.http.limits import Body, HttpLimits
from tests.streams.exchange import Http1Exchange

LIMITS = HttpLimits(
    head_timeout=10, idle_timeout=60, max_line=100, max_head=300, max_headers=5, max_body=20
)


def _hello(request: Any) -> bytes:
    return b"hello"


class DeadlineTests(SynchronousTestCase):
    """No client can keep a connection by being slow."""

    def setUp(self) -> None:
        self.exchange = Http1Exchange(_hello, LIMITS)

    def test_nothing_sent(self) -> None:
        """A client that sends nothing is let go when a head would be due."""
        self.exchange.clock.advance(9.9)
        self.assertTrue(self.exchange.transport.connected)
        self.exchange.clock.advance(0.2)
        self.assertFalse(self.exchange.transport.connected)
        self.assertEqual(self.exchange.transport.sent, b"")

    def test_head_byte_by_byte(self) -> None:
        """W5: a head that comes byte by byte meets the same deadline, and is answered 408."""
        for byte in b"GET / HTTP":
            self.exchange.transport.deliver(bytes([byte]))
            self.exchange.clock.advance(1)
        self.assertEqual(self.exchange.answer()[0], 408)
        self.assertFalse(self.exchange.transport.connected)

    def test_second_head(self) -> None:
        """On a kept connection the deadline runs from the second request's first byte."""
        self.exchange.ask()
        self.assertEqual(self.exchange.answer()[0], 200)
        self.exchange.clock.advance(50)
        self.exchange.transport.deliver(b"G")
        for _ in range(9):
            self.exchange.clock.advance(1)
            self.exchange.transport.deliver(b"E")
        self.assertTrue(self.exchange.transport.connected)
        self.exchange.clock.advance(1)
        self.assertEqual(self.exchange.answer()[0], 408)

    def test_idle(self) -> None:
        """Between requests the idle timeout holds, and its end is silent."""
        self.exchange.ask()
        self.exchange.transport.take()
        self.exchange.clock.advance(60)
        self.assertFalse(self.exchange.transport.connected)
        self.assertEqual(self.exchange.transport.sent, b"")

    def test_body_that_stops(self) -> None:
        """A body without a byte for the idle timeout ends the connection; one with goes on."""
        self.exchange.ask("/", "Content-Length: 10", method="POST")
        for _ in range(5):
            self.exchange.clock.advance(59)
            self.exchange.transport.deliver(b"x")
        self.assertTrue(self.exchange.transport.connected)
        self.exchange.clock.advance(61)
        self.assertEqual(self.exchange.answer()[0], 408)

    def test_let_go_and_staying(self) -> None:
        """A client that was let go and neither reads nor closes is dropped."""
        self.exchange.transport.block()
        self.exchange.ask("/", "Connection: close")
        self.assertTrue(self.exchange.transport.connected)
        self.exchange.clock.advance(15)
        self.exchange.clock.advance(15)
        self.assertTrue(self.exchange.transport.aborted)

    def test_let_go_and_reading(self) -> None:
        """One that reads its answer slowly is not."""
        self.exchange.transport.block()
        self.exchange.ask("/", "Connection: close")
        for _ in range(5):
            self.exchange.clock.advance(15)
            self.exchange.transport.dataBuffer = self.exchange.transport.dataBuffer[1:]
        self.assertFalse(self.exchange.transport.aborted)
        self.exchange.transport.unblock()
        self.assertFalse(self.exchange.transport.connected)
        self.assertEqual(self.exchange.clock.getDelayedCalls(), [])

    def test_no_timer_is_left(self) -> None:
        """A connection that goes takes its timers with it."""
        for data in (b"", b"GET /", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12"):
            exchange = Http1Exchange(_hello, LIMITS)
            exchange.transport.deliver(data)
            exchange.transport.hang_up()
            self.assertEqual(exchange.clock.getDelayedCalls(), [])


class LeavingTests(SynchronousTestCase):
    """A server that stops, and connections that it has kept."""

    def setUp(self) -> None:
        self.exchange = Http1Exchange(_hello, LIMITS)

    def test_kept(self) -> None:
        """One that is used for another GET ends without an answer, for who uses it to ask again
        on a new one, where that is taken; a POST, which nobody may repeat unasked, is answered,
        and told that the connection ends."""
        for method in ("GET", "HEAD"):
            exchange = Http1Exchange(_hello, LIMITS)
            exchange.ask()
            self.assertEqual(exchange.answer()[0], 200)
            exchange.site.keep_no_longer()
            exchange.transport.deliver(f"{method} / HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            self.assertFalse(exchange.transport.connected)
            self.assertEqual(exchange.transport.sent, b"")
            self.assertEqual(exchange.clock.getDelayedCalls(), [])
        self.exchange.ask()
        self.exchange.transport.take()
        self.exchange.site.keep_no_longer()
        self.exchange.ask("/", "Content-Length: 0", method="POST")
        status, fields, _ = self.exchange.answer()
        self.assertEqual((status, fields["connection"]), (200, "close"))
        self.assertFalse(self.exchange.transport.connected)

    def test_begun(self) -> None:
        """A request that had begun, and the first of a connection, are answered."""
        self.exchange.transport.deliver(b"GET / HT")
        self.exchange.site.keep_no_longer()
        self.exchange.transport.deliver(b"TP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual(self.exchange.answer()[0], 200)


class RefusalTests(SynchronousTestCase):
    """What is wrong with a head gets a status and a sentence."""

    def _refused(self, data: bytes) -> tuple[int, bytes]:
        exchange = Http1Exchange(
            _hello, LIMITS, error_body=lambda status, sentence: (b"x/y", b"<%d>" % status)
        )
        exchange.transport.deliver(data)
        status, fields, rest = exchange.answer()
        self.assertEqual(fields["connection"], "close")
        self.assertEqual(fields["content-type"], "x/y")
        self.assertEqual(len(rest), int(fields["content-length"]))
        self.assertFalse(exchange.transport.connected)
        self.assertEqual(exchange.clock.getDelayedCalls(), [])
        return status, rest

    def test_malformed(self) -> None:
        """A request that is none is answered 400, in the site's own form."""
        for data in (
            b"GET /\r\n\r\n",
            b"GET  / HTTP/1.1\r\n\r\n",
            b"G@T / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/3.7\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nX: folded\r\n line\r\n\r\n",
            b"GET / HTTP/1.1\r\n X: y\r\nHost: x\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
        ):
            with self.subTest(data=data):
                self.assertEqual(self._refused(data), (400, b"<400>"))

    def test_transfer_codings(self) -> None:
        """A request's body is chunked or has a length; whatever else is said of it is refused."""
        for lines in (
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
            b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
            b"Transfer-Encoding: identity\r\nContent-Length: 1",
            b"Content-Length: 1\r\nTransfer-Encoding: identity",
            b"Transfer-Encoding: identity",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            b"Transfer-Encoding: chunked, identity",
            b"Transfer-Encoding: gzip, chunked",
            b"Transfer-Encoding:\r\n chunked",
            b"Transfer-Encoding: chunked\r\n\tidentity",
            b"Transfer-Encoding:",
            b"Transfer-Encoding: chunked\r\nContent-Length: 0",
            b"Content-Length:\r\n 1",
            b"Content-Length: 1, 1",
        ):
            with self.subTest(lines=lines):
                head = b"POST / HTTP/1.1\r\nHost: x\r\n%b\r\n\r\n" % lines
                self.assertEqual(self._refused(head + b"0\r\n\r\n")[0], 400)
        old = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        self.assertEqual(self._refused(old)[0], 400)

    def test_hosts(self) -> None:
        """A request has one Host, which is a host, as HTTP/1.1 asks."""
        for target, lines in (
            (b"/", b""),
            (b"/", b"Host: a\r\nHost: b\r\n"),
            (b"/", b"Host: a\r\nHost: a\r\n"),
            (b"/", b"Host: a b<script>\r\n"),
            (b"/", b"Host: localhost/x\r\n"),
            (b"/", b"Host: user@a\r\n"),
            (b"/", b"Host: a:b\r\n"),
            (b"http://a/", b""),
            (b"http://a/", b"Host: a\r\nHost: b\r\n"),
            (b"http://a/", b"Host: a b\r\n"),
            (b"http://user@a/", b"Host: a\r\n"),
        ):
            with self.subTest(target=target, lines=lines):
                head = b"GET %b HTTP/1.1\r\n%b\r\n" % (target, lines)
                self.assertEqual(self._refused(head)[0], 400)
        exchange = Http1Exchange(_hello, LIMITS)
        exchange.transport.deliver(b"GET / HTTP/1.0\r\n\r\n")
        self.assertEqual(exchange.answer()[0], 200)

    def test_no_path(self) -> None:
        """A target that is no path is refused."""
        self.assertEqual(self._refused(b"GET x HTTP/1.1\r\nHost: a\r\n\r\n")[0], 400)

    def test_too_large(self) -> None:
        """Lines, heads and header counts have their bounds; past them it is 431."""
        for data in (
            b"GET /%b HTTP/1.1\r\n" % (b"x" * 200),
            b"GET /%b" % (b"x" * 200),
            b"GET / HTTP/1.1\r\n" + b"A: %b\r\n" % (b"x" * 90) * 4 + b"\r\n",
            b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 7 + b"\r\n",
        ):
            with self.subTest(data=data[:40]):
                self.assertEqual(self._refused(data)[0], 431)

    def test_absolute_form(self) -> None:
        """A target with scheme and authority is its path, and its authority is the host."""
        seen: list[Any] = []

        def answer(request: Any) -> bytes:
            seen.append((request.path, request.getHeader("host"), request.args))
            return b""

        exchange = Http1Exchange(answer)
        exchange.ask("http://other.example/x?a=b")
        self.assertEqual(seen, [(b"/x", "other.example", {b"a": [b"b"]})])

    def test_malformed_body_of_a_request_at_work(self) -> None:
        """Chunks that are none end the connection; nobody answers a second time."""
        kept: list[Any] = []

        def answer(request: Any) -> Any:
            kept.append(request)
            return NOT_DONE_YET

        exchange = Http1Exchange(answer, LIMITS, body_rule=lambda *_: Body.STREAMED)
        exchange.ask("/", "Transfer-Encoding: chunked", method="POST")
        exchange.transport.deliver(b"zz\r\n")
        self.assertEqual(exchange.answer()[0], 400)
        kept[0].write(b"late")
        self.assertEqual(exchange.transport.sent, b"")
        self.assertTrue(exchange.transport.connected)

    def test_linger(self) -> None:
        """What comes behind a body that was refused in its middle is dropped, up to a bound
        of time and bytes: a client that is still sending comes to read its answer."""
        for size, seconds, connected in ((900, 1.9, True), (1100, 0, False), (0, 2, False)):
            limits = HttpLimits(linger_bytes=1000, linger_timeout=2)
            exchange = Http1Exchange(_hello, limits)
            exchange.ask("/", "Transfer-Encoding: chunked", method="POST")
            exchange.transport.deliver(b"zz\r\n")
            self.assertEqual(exchange.answer()[0], 400)
            exchange.transport.deliver(b"x" * size)
            exchange.clock.advance(seconds)
            self.assertEqual(exchange.transport.connected, connected)
            exchange.transport.hang_up()
            self.assertEqual(exchange.clock.getDelayedCalls(), [])

    def test_chunk_that_cannot_be(self) -> None:
        """A chunk of more bytes than there are is refused before any of them comes."""
        for size in (b"8000000000000000", b"f" * 21, b"0" * 20 + b"f" * 16):
            for rule in (Body.STREAMED, 20):
                exchange = Http1Exchange(
                    lambda request: NOT_DONE_YET,
                    LIMITS,
                    body_rule=lambda *_, rule=rule: rule,  # type: ignore[misc]
                )
                exchange.ask("/", "Transfer-Encoding: chunked", method="POST")
                exchange.transport.deliver(size + b"\r\n")
                self.assertEqual(exchange.answer()[0], 400)
                exchange.transport.hang_up()
                self.assertEqual(exchange.clock.getDelayedCalls(), [])
