from __future__ import annotations

from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from takotwist.streams.http.http1 import Http1Channel
from takotwist.streams.http.site import FIRST_REQUEST_SECONDS, Access, make_site
from tests.streams.exchange import DirectExchange, Http1Exchange, Http2Exchange


class SiteTests(SynchronousTestCase):
    """The factory itself."""

    def test_alpn(self) -> None:
        """Over TLS it offers HTTP/2 before HTTP/1.1."""
        site = make_site(Resource(), MemoryReactorClock())
        self.assertEqual(site.acceptableProtocols(), [b"h2", b"http/1.1"])

    def test_access(self) -> None:
        """Each answer is told of, without the query, which may hold a credential."""
        told: list[Access] = []
        exchange = Http1Exchange(lambda request: b"hello", on_access=told.append)
        exchange.ask("/a%20b?access_token=secret")
        self.assertEqual(told, [Access("GET", "/a%20b", "HTTP/1.1", 200, 5, "192.0.2.7")])
        self.assertNotIn("secret", repr(told))

    def test_access_over_http2(self) -> None:
        """The same over HTTP/2."""
        told: list[Access] = []
        exchange = Http2Exchange(lambda request: b"hello", on_access=told.append)
        exchange.ask("/x?access_token=secret")
        self.assertEqual(told, [Access("GET", "/x", "HTTP/2", 200, 5, "192.0.2.7")])

    def test_no_clock_of_its_own(self) -> None:
        """Listening starts no timer and opens no file."""
        clock = MemoryReactorClock()
        site = make_site(Resource(), clock)
        site.doStart()
        self.assertEqual(clock.getDelayedCalls(), [])
        site.doStop()

    def test_no_server_header(self) -> None:
        """An answer does not say what it runs on."""
        exchange = Http1Exchange(lambda request: b"hello")
        exchange.ask()
        self.assertNotIn("server", exchange.answer()[1])

    def test_answering(self) -> None:
        """A request is under way from its first byte to the last of its answer."""
        requests: list[Any] = []

        def later(request: Any) -> object:
            requests.append(request)
            return NOT_DONE_YET

        exchange = Http1Exchange(later)
        exchange.clock.advance(FIRST_REQUEST_SECONDS)
        self.assertFalse(exchange.site.is_answering())
        exchange.transport.deliver(b"GET / HTTP/1.1\r\nHo")
        self.assertTrue(exchange.site.is_answering())
        exchange.transport.deliver(b"st: x\r\n\r\n")
        self.assertTrue(exchange.site.is_answering())
        requests[0].finish()
        self.assertFalse(exchange.site.is_answering())
        exchange.transport.deliver(b"GET / HTTP/1.1\r\nHo")
        exchange.transport.hang_up()
        self.assertFalse(exchange.site.is_answering())
        self.assertEqual(exchange.site.connections, set())

    def test_answering_over_http2(self) -> None:
        """The same over HTTP/2."""
        requests: list[Any] = []

        def later(request: Any) -> object:
            requests.append(request)
            return NOT_DONE_YET

        exchange = Http2Exchange(later)
        self.assertFalse(exchange.site.is_answering())
        exchange.ask()
        self.assertTrue(exchange.site.is_answering())
        requests[0].finish()
        exchange.turn()
        self.assertFalse(exchange.site.is_answering())

    def test_answering_directly(self) -> None:
        """So is one that is answered directly and not at once, until its answer begins."""
        for end in ("stream", "finish", "hang up"):
            requests: list[Any] = []
            exchange = DirectExchange(requests.append)
            exchange.ask()
            self.assertTrue(exchange.site.is_answering())
            if end == "stream":
                requests[0].stream({}, b"", int, int, int)
            elif end == "finish":
                requests[0].finish()
            else:
                exchange.transport.hang_up()
            self.assertFalse(exchange.site.is_answering())
            # What has been answered is kept as a connection of HTTP/1.1.
            kept = {type(one) for one in exchange.site.connections}
            self.assertEqual(kept, {Http1Channel} if end == "finish" else set())

    def test_first_request(self) -> None:
        """That of a connection that was taken just now is about to come, but not for long."""
        exchange = Http1Exchange(lambda request: b"hello")
        self.assertTrue(exchange.site.is_answering())
        exchange.clock.advance(FIRST_REQUEST_SECONDS - 0.1)
        self.assertTrue(exchange.site.is_answering())
        exchange.clock.advance(0.1)
        self.assertFalse(exchange.site.is_answering())

    def test_pipelined_requests(self) -> None:
        """Requests sent at once are answered in order."""
        exchange = Http1Exchange(lambda request: request.path)
        exchange.transport.deliver(
            b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(3))
        )
        bodies = [
            part.rpartition(b"\r\n\r\n")[2] for part in exchange.transport.sent.split(b"HTTP")
        ]
        self.assertEqual(bodies[1:], [b"/0", b"/1", b"/2"])
