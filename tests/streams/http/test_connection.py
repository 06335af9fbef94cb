from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET

from takotwist.streams.http.connection import NewConnections
from takotwist.streams.http.direct import DirectRequest
from takotwist.streams.http.limits import HttpLimits
from takotwist.streams.http.site import Access
from takotwist.streams.sse.stream import EventStream
from tests.streams.exchange import DirectExchange, Http1Exchange, Http2Exchange
from tests.streams.sse import test_route as test_sse
from tests.streams.sse import test_stream as test_event_stream
from tests.streams.websocket import test_protocol
from tests.streams.websocket import test_route as test_websocket
from tests.streams.websocket import test_upgrade as test_websocket_upgrade
from tests.streams.websocket_client import WebSocketExchange

LIMITS = HttpLimits(head_timeout=10, idle_timeout=60, max_line=200, max_head=1000)

GET = b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n"


class _Answering:
    """Answers 200 with the path, and keeps the requests."""

    def __init__(self) -> None:
        self.requests: list[Any] = []

    def __call__(self, request: Any) -> Any:
        self.requests.append(request)
        request.setResponseCode(202)
        request.setHeader(b"X-A", b"b")
        request.setHeader(b"Content-Type", b"text/plain")
        request.setHeader(b"Content-Length", b"%d" % len(request.path))
        request.write(request.path)
        request.finish()
        return NOT_DONE_YET

    @property
    def direct(self) -> list[bool]:
        """Which of them were answered directly."""
        return [isinstance(request, DirectRequest) for request in self.requests]


class AnswerTests(SynchronousTestCase):
    """The first request of a connection may be answered without twisted.web."""

    def setUp(self) -> None:
        self.answering = _Answering()
        self.exchange = DirectExchange(self.answering, LIMITS)

    def test_same_answer(self) -> None:
        """What a client gets directly is what it gets from twisted.web."""
        other = Http1Exchange(self.answering, LIMITS)
        answers = []
        for exchange in (self.exchange, other):
            exchange.ask("/a?b=c")
            status, fields, body = exchange.answer()
            self.assertIn(" gmt", fields.pop("date"))
            answers.append((status, fields, body))
        self.assertEqual(answers[0], answers[1])
        self.assertEqual(self.answering.direct, [True, False])

    def test_goes_on(self) -> None:
        """The connection stays, and its next request is twisted.web's, with its timeouts."""
        self.exchange.ask()
        self.exchange.transport.take()
        self.exchange.clock.advance(59)
        self.exchange.transport.deliver(GET % b"2")
        self.assertEqual(self.exchange.answer()[2], b"/2")
        self.assertEqual(self.answering.direct, [True, False])
        self.exchange.clock.advance(61)
        self.assertFalse(self.exchange.transport.connected)
        self.assertEqual(self.exchange.clock.getDelayedCalls(), [])

    def test_pipelined(self) -> None:
        """Requests that come at once are answered in their order."""
        self.exchange.transport.deliver(GET % b"1" + GET % b"2" + GET % b"3")
        bodies = [
            part.rpartition(b"\r\n\r\n")[2] for part in self.exchange.transport.sent.split(b"HTTP")
        ]
        self.assertEqual(bodies[1:], [b"/1", b"/2", b"/3"])
        self.assertEqual(self.answering.direct, [True, False, False])

    def test_in_pieces(self) -> None:
        """A head that comes in pieces is twisted.web's."""
        self.exchange.transport.deliver((GET % b"")[:-1])
        self.exchange.transport.deliver(b"\n")
        self.assertEqual(self.exchange.answer()[0], 202)
        self.assertEqual(self.answering.direct, [False])

    def test_not_plain(self) -> None:
        """Any other request is twisted.web's: its body is read, its faults are refused."""
        for data, status in (
            (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab", 202),
            (b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", 202),
            (b"GET / HTTP/1.1\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n", 400),
            (b"GET /" + b"a" * 300 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
        ):
            exchange = DirectExchange(self.answering, LIMITS)
            exchange.transport.deliver(data)
            self.assertEqual(exchange.answer()[0], status)
        self.assertNotIn(True, self.answering.direct)

    def test_declined(self) -> None:
        """What answers directly can leave a request to the resource, held bytes and all."""
        asked = []

        def answer(request: Any) -> Any:
            asked.append(request)
            return False if isinstance(request, DirectRequest) else self.answering(request)

        exchange = DirectExchange(answer, LIMITS)
        exchange.transport.deliver(GET % b"1" + GET % b"2")
        self.assertEqual(exchange.transport.sent.count(b"HTTP/1.1 202"), 2)
        self.assertEqual(self.answering.direct, [False, False])
        self.assertEqual(len(asked), 3)

    def test_access(self) -> None:
        """It is in the access log as any other."""
        told: list[Access] = []
        exchange = DirectExchange(self.answering, LIMITS, on_access=told.append)
        exchange.ask("/a?access_token=secret")
        self.assertEqual(told, [Access("GET", "/a", "HTTP/1.1", 202, 2, "192.0.2.7")])

    def test_failure(self) -> None:
        """When what answers fails, the log has why, and the client is dropped."""

        def fail(request: Any) -> None:
            raise RuntimeError

        exchange = DirectExchange(fail, LIMITS)
        exchange.ask()
        self.assertTrue(exchange.transport.aborted)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(exchange.clock.getDelayedCalls(), [])

    def test_http2(self) -> None:
        """HTTP/2 is never answered directly, whatever its first bytes are."""
        exchange = Http2Exchange(
            lambda request: b"hello", direct=lambda path: self.fail("it was asked")
        )
        stream = exchange.ask()
        self.assertEqual(exchange.data(stream), b"hello")


class WaitingTests(SynchronousTestCase):
    """An answer that is not there at once."""

    def setUp(self) -> None:
        self.requests: list[Any] = []

        def wait(request: Any) -> Any:
            self.requests.append(request)
            return NOT_DONE_YET

        self.exchange = DirectExchange(wait, LIMITS)

    def test_no_timer(self) -> None:
        """Nothing is timed while the server is at work."""
        self.exchange.ask()
        self.assertEqual(self.exchange.clock.getDelayedCalls(), [])

    def test_client_leaves(self) -> None:
        """Who waits for the end is told why, and finishing later harms nobody."""
        self.exchange.ask()
        gone = self.requests[0].notifyFinish()
        self.exchange.transport.hang_up()
        self.failureResultOf(gone, ConnectionDone)
        self.requests[0].finish()
        self.assertEqual(self.exchange.transport.sent, b"")

    def test_finished(self) -> None:
        """And when it is sent."""
        self.exchange.ask()
        sent = self.requests[0].notifyFinish()
        self.requests[0].finish()
        self.assertIsNone(self.successResultOf(sent))

    def test_held(self) -> None:
        """What a client sends meanwhile is held up to a bound, and is read afterwards."""
        self.exchange.ask()
        self.exchange.transport.deliver(GET % b"2" * 400)
        self.assertTrue(self.exchange.transport.reading)
        self.exchange.transport.deliver(GET % b"3" * 400)
        self.assertFalse(self.exchange.transport.reading)
        for number in range(801):
            self.requests[number].finish()
        self.assertTrue(self.exchange.transport.reading)
        paths = [request.path for request in self.requests[1:]]
        self.assertEqual(paths, [b"/2"] * 400 + [b"/3"] * 400)

    def test_stream(self) -> None:
        """A stream that opens later holds nothing of the request."""
        self.exchange.ask("/x?access_token=secret")
        stream = EventStream(self.requests[0])
        self.assertTrue(stream.open(b"data: first\n\n"))
        self.assertEqual(self.exchange.answer()[2], b"d\r\ndata: first\n\n\r\n")
        self.assertNotIsInstance(stream._request, DirectRequest)
        self.assertNotIsInstance(self.exchange.transport.protocol.answering, DirectRequest)


class RequestTests(SynchronousTestCase):
    """The head, as who answers reads it."""

    def test_read(self) -> None:
        """Fields, cookies, the client, and whether it came over TLS."""
        requests: list[Any] = []
        exchange = DirectExchange(requests.append, LIMITS)
        exchange.ask("/a?b=c", "Origin: https://x", "Cookie: a=b; c=d=e; bad", "Cookie: f=")
        (request,) = requests
        self.assertEqual((request.uri, request.path), (b"/a?b=c", b"/a"))
        self.assertEqual(request.getHeader("origin"), "https://x")
        self.assertIsNone(request.getHeader("accept"))
        self.assertEqual(request.received_cookies, {b"a": b"b", b"c": b"d=e", b"f": b""})
        self.assertEqual(request.getCookie(b"c"), b"d=e")
        self.assertEqual(request.client.host, "192.0.2.7")
        self.assertFalse(request.isSecure())
        request.loseConnection()
        self.assertFalse(exchange.transport.connected)


# All that holds for an answer of twisted.web's holds for a direct one.


class _Directly(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(Http1Exchange, "direct", True)
        super().setUp()


class StreamTests(_Directly, test_event_stream.Http1Tests):
    """An event stream, directly."""

    def test_the_head_is_forgotten(self) -> None:
        """What the request held went with it (`WaitingTests.test_stream`)."""
        self.exchange.ask("/x?access_token=secret", "Cookie: a=b")
        self.assertNotIsInstance(self.opened.stream._request, DirectRequest)


class SseTests(_Directly, test_sse.SseTests):
    """`sse`, directly."""


class UpgradeTests(_Directly, test_websocket_upgrade.UpgradeTests):
    """An upgrade, directly."""


class ConnectionTests(_Directly, test_websocket_upgrade.ConnectionTests):
    """An upgraded connection, directly."""


class ConversationTests(_Directly, test_websocket.ConversationTests):
    """`websocket`, directly."""

    def test_the_router_is_told(self) -> None:
        """Whoever waits for the request's end learns of the connection's."""
        order: list[str] = []

        async def handler(ws: Any) -> None:
            async for _ in ws:
                pass
            order.append("handler")

        client = WebSocketExchange(handler, connect=False)
        original = client.site.direct(b"/")

        def answer(request: Any) -> bool:
            request.notifyFinish().addErrback(lambda _: order.append("router"))
            return bool(original(request))

        client.site.direct = lambda path: answer
        client.handshake()
        client.transport.hang_up()
        self.assertEqual(order, ["router", "handler"])


class OriginTests(_Directly, test_websocket.OriginTests):
    """Origins, directly."""


class TimeTests(_Directly, test_websocket.TimeTests):
    """Deadlines, directly."""


class PaceTests(_Directly, test_websocket.PaceTests):
    """Pace, directly."""


class DeflateTests(_Directly, test_websocket.DeflateTests):
    """Compression, directly."""


class FragmentsTests(_Directly, test_protocol.FragmentsTests):
    """Fragments, directly."""


class UnheardTests(SynchronousTestCase):
    """Many are waited for with one timer."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.late: list[str] = []
        self.new_connections: NewConnections[str] = NewConnections(self.clock, 10, self.late.append)

    def test_each_in_its_time(self) -> None:
        """Each is overdue when its own time is over, and one timer runs at most."""
        for name in "abc":
            self.new_connections.add(name)
            self.assertEqual(len(self.clock.getDelayedCalls()), 1)
            self.clock.advance(3.3)
        self.clock.advance(0.2)
        self.assertEqual(self.late, ["a"])
        self.assertAlmostEqual(self.new_connections.remove("b"), 3.2)
        self.clock.advance(6.4)
        self.assertEqual(self.late, ["a"])
        self.clock.advance(0.2)
        self.assertEqual(self.late, ["a", "c"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_together(self) -> None:
        """Those who came together are overdue together."""
        for name in "abc":
            self.new_connections.add(name)
        self.clock.advance(10)
        self.assertEqual(self.late, ["a", "b", "c"])
        self.assertNotIn("a", self.new_connections)

    def test_all_have_spoken(self) -> None:
        """When nobody is waited for there is no timer."""
        self.new_connections.add("a")
        self.new_connections.add("b")
        self.new_connections.remove("a")
        self.assertIn("b", self.new_connections)
        self.new_connections.remove("b")
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(100)
        self.assertEqual(self.late, [])

    def test_who_is_overdue_may_come_again(self) -> None:
        """What is called may wait for another one."""
        again: list[str] = []

        def overdue(name: str) -> None:
            again.append(name)
            if len(again) == 1:
                new_connections.add("b")

        new_connections: NewConnections[str] = NewConnections(self.clock, 10, overdue)
        new_connections.add("a")
        self.clock.advance(10)
        self.clock.advance(10)
        self.assertEqual(again, ["a", "b"])
