from __future__ import annotations

from typing import Any

import h2.events
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from takotwist.streams.http.limits import Body, HttpLimits
from takotwist.streams.http.site import make_site
from tests.streams.exchange import Http1Exchange, Http2Exchange, dechunk
from tests.streams.memory_transport import MemoryTransport

LIMITS = HttpLimits(max_body=20, linger_bytes=1000, linger_timeout=2)


def _echo(request: Any) -> bytes:
    return bytes(request.content.read())


def _streamed(method: bytes, path: bytes) -> Any:
    return Body.STREAMED


class _Receiver:
    def __init__(self) -> None:
        self.request: Any = None
        self.told: list[Any] = []
        self.take_at_once = True

    def __call__(self, request: Any) -> Any:
        self.request = request
        if self.take_at_once:
            request.stream_body(self)
        return NOT_DONE_YET

    def body_chunk(self, data: bytes) -> None:
        self.told.append(data)

    def body_end(self) -> None:
        self.told.append("end")

    def body_lost(self) -> None:
        self.told.append("lost")


class BoundedTests(SynchronousTestCase):
    """A body has its bound, and the answer to one that is over it arrives."""

    def test_within(self) -> None:
        """A body that fits is there when the resource is asked."""
        exchange = Http1Exchange(_echo, LIMITS)
        exchange.ask("/", "Content-Length: 5", method="POST", body=b"hello")
        self.assertEqual(exchange.answer()[2], b"hello")

    def test_stated_length(self) -> None:
        """A stated length over the bound is refused before a byte is read."""
        exchange = Http1Exchange(_echo, LIMITS)
        exchange.ask("/", "Content-Length: 21", "Expect: 100-continue", method="POST")
        status, fields, _ = exchange.answer()
        self.assertEqual((status, fields["connection"]), (413, "close"))
        self.assertTrue(exchange.transport.connected)
        exchange.transport.deliver(b"x" * 21)
        self.assertFalse(exchange.transport.connected)
        self.assertFalse(exchange.transport.aborted)
        self.assertEqual(exchange.clock.getDelayedCalls(), [])

    def test_continue(self) -> None:
        """A client that asks whether to go on is told to when the length is right."""
        exchange = Http1Exchange(_echo, LIMITS)
        exchange.ask("/", "Content-Length: 5", "Expect: 100-continue", method="POST")
        self.assertEqual(exchange.answer()[0], 100)

    def test_length_that_cannot_be(self) -> None:
        """Numbers without end are refused like any that is over the bound, streamed or not."""
        for digits in (b"1" + b"0" * 30, b"9" * 5000, b"9223372036854775808"):
            for rule in (lambda *_: 20, _streamed):
                exchange = Http1Exchange(_echo, HttpLimits(), body_rule=rule)
                exchange.ask("/", f"Content-Length: {digits.decode()}", method="POST")
                status, fields, _ = exchange.answer()
                self.assertEqual((status, fields["connection"]), (413, "close"))
                exchange.clock.advance(2)
                self.assertFalse(exchange.transport.connected)
                self.assertEqual(exchange.clock.getDelayedCalls(), [])
        exchange = Http1Exchange(_echo, LIMITS)
        exchange.ask("/", "Content-Length: 000000000000000000000003", method="POST", body=b"abc")
        self.assertEqual(exchange.answer()[2], b"abc")

    def test_chunks(self) -> None:
        """A body without a stated length is refused when it passes the bound."""
        exchange = Http1Exchange(_echo, LIMITS)
        exchange.ask("/", "Transfer-Encoding: chunked", method="POST")
        exchange.transport.deliver(b"a\r\n0123456789\r\n" * 2)
        self.assertEqual(exchange.transport.take(), b"")
        exchange.transport.deliver(b"a\r\n0123456789\r\n")
        self.assertEqual(exchange.answer()[0], 413)

    def test_linger_by_bytes(self) -> None:
        """What a refused client goes on to send is dropped up to a bound, then it is cut off."""
        exchange = Http1Exchange(_echo, LIMITS)
        exchange.ask("/", "Content-Length: 1000000", method="POST")
        exchange.transport.deliver(b"x" * 900)
        exchange.clock.advance(0)
        self.assertTrue(exchange.transport.connected)
        exchange.transport.deliver(b"x" * 200)
        exchange.clock.advance(0)
        self.assertFalse(exchange.transport.connected)
        self.assertEqual(exchange.clock.getDelayedCalls(), [])

    def test_linger_by_time(self) -> None:
        """And for a bounded time."""
        exchange = Http1Exchange(_echo, LIMITS)
        exchange.ask("/", "Content-Length: 1000000", method="POST")
        exchange.clock.advance(2)
        self.assertFalse(exchange.transport.connected)
        self.assertEqual(exchange.clock.getDelayedCalls(), [])

    def test_client_leaves_meanwhile(self) -> None:
        """A refused client that goes leaves no timer."""
        exchange = Http1Exchange(_echo, LIMITS)
        exchange.ask("/", "Content-Length: 1000000", method="POST")
        exchange.transport.hang_up()
        self.assertEqual(exchange.clock.getDelayedCalls(), [])

    def test_by_path(self) -> None:
        """The bound may differ by method and path, and the query is no part of it."""
        asked: list[Any] = []

        def rule(method: bytes, path: bytes) -> int:
            asked.append((method, path))
            return 3

        exchange = Http1Exchange(_echo, LIMITS, body_rule=rule)
        exchange.ask("/a?b=c", "Content-Length: 4", method="PUT", body=b"1234")
        self.assertEqual(exchange.answer()[0], 413)
        self.assertEqual(asked, [(b"PUT", b"/a")])

    def test_http2(self) -> None:
        """HTTP/2 has the same bound, with and without a stated length."""
        for fields, rule in (
            ((), None),
            ((("content-length", "30"),), None),
            ((("content-length", "1" + "0" * 30),), None),
            ((("content-length", "1" + "0" * 30),), _streamed),
        ):
            with self.subTest(fields=fields, rule=rule):
                exchange = Http2Exchange(_echo, LIMITS, body_rule=rule)
                stream = exchange.ask("/", *fields, method="POST", ended=False)
                if not fields:
                    exchange.client.send_data(stream, b"x" * 21)
                    exchange.turn()
                self.assertEqual(exchange.headers(stream)[":status"], "413")
                self.assertTrue(exchange.has(h2.events.StreamEnded, stream))
                self.assertEqual(exchange.headers(exchange.ask())[":status"], "200")


class StreamedTests(SynchronousTestCase):
    """A body can be taken as it comes."""

    def setUp(self) -> None:
        self.receiver = _Receiver()
        self.exchange = Http1Exchange(self.receiver, LIMITS, body_rule=_streamed)

    def _begin(self) -> None:
        self.exchange.ask("/lines", "Transfer-Encoding: chunked", method="POST")

    def test_as_it_comes(self) -> None:
        """Each part is told when it comes, and the end at the end."""
        self._begin()
        self.exchange.transport.deliver(b"3\r\nabc\r\n")
        self.assertEqual(self.receiver.told, [b"abc"])
        self.exchange.transport.deliver(b"2\r\nde\r\n0\r\n\r\n")
        self.assertEqual(self.receiver.told, [b"abc", b"de", "end"])

    def test_answer_while_it_comes(self) -> None:
        """The answer may be written while the body comes, and the connection is kept."""
        self._begin()
        self.exchange.transport.deliver(b"3\r\nabc\r\n")
        self.receiver.request.write(b"got it")
        self.assertEqual(dechunk(self.exchange.answer()[2]), (b"got it", False))
        self.exchange.transport.deliver(b"0\r\n\r\n")
        self.receiver.request.finish()
        self.assertEqual(self.exchange.transport.take(), b"0\r\n\r\n")
        self.exchange.ask("/again", method="GET")
        self.assertEqual(self.receiver.request.path, b"/again")

    def test_continue(self) -> None:
        """A client that waits to be told is told when somebody takes its body."""
        self.receiver.take_at_once = False
        self.exchange.ask("/", "Content-Length: 3", "Expect: 100-continue", method="POST")
        self.assertEqual(self.exchange.transport.take(), b"")
        self.receiver.request.stream_body(self.receiver)
        self.assertEqual(self.exchange.transport.take(), b"HTTP/1.1 100 Continue\r\n\r\n")
        self.exchange.transport.deliver(b"abc")
        self.receiver.request.finish()
        self.assertEqual(self.receiver.told, [b"abc", "end"])
        self.assertNotIn("connection", self.exchange.answer()[1])

    def test_continue_over_http2(self) -> None:
        """The same over HTTP/2, where one that is refused at its head is told nothing either."""
        expect = ("expect", "100-continue")
        informed = h2.events.InformationalResponseReceived
        self.receiver.take_at_once = False
        exchange = Http2Exchange(self.receiver, LIMITS, body_rule=_streamed)
        stream = exchange.ask("/", expect, method="POST", ended=False)
        self.assertFalse(exchange.has(informed, stream))
        self.receiver.request.stream_body(self.receiver)
        exchange.turn()
        self.assertTrue(exchange.has(informed, stream))
        for length, told in (("20", True), ("21", False)):
            exchange = Http2Exchange(_echo, LIMITS)
            fields = expect, ("content-length", length)
            stream = exchange.ask("/", *fields, method="POST", ended=False)
            self.assertEqual(exchange.has(informed, stream), told)

    def test_answered_without_continue(self) -> None:
        """One that is answered and was never told to send has its connection closed: what it
        sends next could be either."""
        self.receiver.take_at_once = False
        self.exchange.ask("/", "Content-Length: 3", "Expect: 100-continue", method="POST")
        self.receiver.request.finish()
        self.assertEqual(self.exchange.answer()[1]["connection"], "close")
        self.exchange.clock.advance(2)
        self.assertFalse(self.exchange.transport.connected)

    def test_answered_with_much_to_come(self) -> None:
        """One that has more to send than is read for nothing is told that it ends there."""
        self.receiver.take_at_once = False
        for length, said in ((1000, None), (1001, "close")):
            self.setUp()
            self.receiver.take_at_once = False
            self.exchange.ask("/", f"Content-Length: {length}", method="POST")
            self.receiver.request.finish()
            self.assertEqual(self.exchange.answer()[1].get("connection"), said)
            self.exchange.transport.hang_up()

    def test_taken_later(self) -> None:
        """Until somebody takes it, no more than has already come is held."""
        self.receiver.take_at_once = False
        self._begin()
        self.exchange.transport.deliver(b"3\r\nabc\r\n")
        self.assertFalse(self.exchange.transport.reading)
        self.exchange.transport.deliver(b"0\r\n\r\n")
        self.receiver.request.stream_body(self.receiver)
        self.assertEqual(self.receiver.told, [b"abc", "end"])

    def test_pause(self) -> None:
        """A receiver that asks for a pause is told nothing, and the client's socket fills."""
        self._begin()
        self.receiver.request.pause_body()
        self.assertFalse(self.exchange.transport.reading)
        self.exchange.transport.deliver(b"3\r\nabc\r\n")
        self.exchange.clock.advance(10000)
        self.assertTrue(self.exchange.transport.connected)
        self.assertEqual(self.receiver.told, [])
        self.receiver.request.resume_body()
        self.assertEqual(self.receiver.told, [b"abc"])

    def test_pause_within_one_read(self) -> None:
        """What came in one read with the pause waits for the resume, its end included."""
        taken = self.receiver.body_chunk

        def one_only(data: bytes) -> None:
            taken(data)
            self.receiver.request.pause_body()

        self.receiver.body_chunk = one_only  # type: ignore[method-assign]
        self._begin()
        self.exchange.transport.deliver(b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n")
        self.assertEqual(self.receiver.told, [b"a"])
        self.receiver.request.resume_body()
        self.assertEqual(self.receiver.told, [b"a", b"b"])
        self.receiver.request.resume_body()
        self.assertEqual(self.receiver.told, [b"a", b"b", "end"])

    def test_pause_holds_while_the_answer_drains(self) -> None:
        """A pause of the receiver is not undone by the socket becoming writable."""
        self._begin()
        self.receiver.request.pause_body()
        self.exchange.transport.block()
        self.receiver.request.write(b"x" * 100000)
        self.exchange.transport.unblock()
        self.assertFalse(self.exchange.transport.reading)
        self.receiver.request.resume_body()
        self.assertTrue(self.exchange.transport.reading)

    def test_client_leaves(self) -> None:
        """A client that goes in the middle is told of, once."""
        self._begin()
        self.exchange.transport.hang_up()
        self.assertEqual(self.receiver.told, ["lost"])

    def test_answered_early(self) -> None:
        """After an early answer the rest is dropped, and the next request is read in step."""
        self._begin()
        self.exchange.transport.deliver(b"3\r\nabc\r\n")
        self.receiver.request.finish()
        self.exchange.transport.take()
        self.exchange.transport.deliver(
            b"2\r\nde\r\n0\r\n\r\nGET /next HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        self.assertEqual(self.receiver.request.path, b"/next")
        self.assertEqual(self.receiver.told, [b"abc", "end"])
        self.assertEqual(self.exchange.clock.getDelayedCalls(), [])

    def test_elsewhere(self) -> None:
        """Where the body was read whole, it comes at once."""
        exchange = Http1Exchange(self.receiver, LIMITS)
        exchange.ask("/", "Content-Length: 3", method="POST", body=b"abc")
        self.assertEqual(self.receiver.told, [b"abc", "end"])

    def test_http2(self) -> None:
        """The same over HTTP/2, where a pause closes the stream's window."""
        exchange = Http2Exchange(self.receiver, LIMITS, body_rule=_streamed)
        stream = exchange.ask("/lines", method="POST", ended=False)
        exchange.client.send_data(stream, b"abc")
        exchange.turn()
        self.assertEqual(self.receiver.told, [b"abc"])
        self.receiver.request.pause_body()
        exchange.client.send_data(stream, b"x" * 16384)
        exchange.client.send_data(stream, b"x" * 16384, end_stream=True)
        exchange.turn()
        self.assertEqual(self.receiver.told, [b"abc"])
        self.assertLess(exchange.client.local_flow_control_window(stream), 65535)
        self.receiver.request.resume_body()
        exchange.turn()
        self.assertEqual(b"".join(self.receiver.told[:-1]), b"abc" + b"x" * 32768)
        self.assertEqual(self.receiver.told[-1], "end")

    def test_http2_answered_early(self) -> None:
        """An early answer over HTTP/2 ends the stream; what comes after it harms nobody."""
        exchange = Http2Exchange(self.receiver, LIMITS, body_rule=_streamed)
        stream = exchange.ask("/lines", method="POST", ended=False)
        self.receiver.request.finish()
        exchange.turn()
        self.assertTrue(exchange.has(h2.events.StreamEnded, stream))
        exchange.client.send_data(stream, b"x" * 900)
        exchange.turn()
        self.assertFalse(exchange.has(h2.events.StreamReset, stream))
        exchange.client.send_data(stream, b"x" * 200)
        exchange.turn()
        self.assertTrue(exchange.has(h2.events.StreamReset, stream))
        exchange.ask("/next")
        self.assertEqual(self.receiver.request.path, b"/next")


class AnswerTests(SynchronousTestCase):
    """What the server itself answers."""

    def test_failure(self) -> None:
        """A resource that raises is answered 500, without its reason."""

        def fail(request: Any) -> bytes:
            raise RuntimeError("secret")

        exchange = Http1Exchange(fail)
        exchange.ask()
        status, fields, rest = exchange.answer()
        self.assertEqual((status, fields["content-type"]), (500, "application/json"))
        self.assertNotIn(b"secret", rest)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_failure_in_the_middle(self) -> None:
        """One that raises after it wrote breaks its answer off, so that none takes it for whole."""

        def fail(request: Any) -> bytes:
            request.write(b"half")
            raise RuntimeError("secret")

        exchange = Http1Exchange(fail)
        exchange.ask()
        self.assertTrue(exchange.transport.aborted)
        over = Http2Exchange(fail)
        stream = over.ask()
        self.assertTrue(over.has(h2.events.StreamReset, stream))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)

    def test_status_phrases(self) -> None:
        """Every status has its phrase."""

        def answer(request: Any) -> bytes:
            request.setResponseCode(426)
            return b""

        exchange = Http1Exchange(answer)
        exchange.ask()
        self.assertTrue(exchange.transport.sent.startswith(b"HTTP/1.1 426 Upgrade Required\r\n"))

    def test_method(self) -> None:
        """A method that a resource does not have is 405, with those it has."""

        class OnlyGet(Resource):
            isLeaf = True

            def render_GET(self, request: Any) -> bytes:
                return b"got"

        exchange = Http1Exchange(_echo)
        exchange.site = make_site(OnlyGet(), exchange.clock)
        exchange.transport = MemoryTransport()
        exchange.transport.connect(exchange.site.buildProtocol(None))
        exchange.ask("/", "Content-Length: 0", method="DELETE")
        status, fields, rest = exchange.answer()
        self.assertEqual((status, set(fields["allow"].split(", "))), (405, {"get", "head"}))
        self.assertNotIn(b"<", rest)
        exchange.ask(method="HEAD")
        status, fields, rest = exchange.answer()
        self.assertEqual((status, rest), (200, b""))
