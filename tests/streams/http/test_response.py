"""The way of a response to its peer, and the pressure on it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET

from takotwist.streams.http.response import (
    HIGH_WATER,
    LOW_WATER,
    CountedQueue,
    Http1Pipe,
    Http2Pipe,
    ResponsePipe,
    pipe_for,
)
from tests.streams.exchange import Http1Exchange, Http2Exchange


class CountedQueueTests(SynchronousTestCase):
    """The bytes queued for one HTTP/2 stream."""

    def test_begins_with_what_is_queued(self) -> None:
        """Bytes are counted, and marks such as the end of a stream are not."""
        self.assertEqual(CountedQueue([b"abc", object()], lambda: None).size, 3)

    @given(st.lists(st.sampled_from(["append", "appendleft", "popleft"])))
    def test_count(self, steps: list[str]) -> None:
        """Whatever comes and goes, the count is the sum of what is there; a part that is put
        back in front says nothing, as it was said when it was taken."""
        told: list[int] = []
        queue = CountedQueue((), lambda: told.append(queue.size))
        expected = 0
        for number, step in enumerate(steps):
            if step == "popleft":
                if queue:
                    queue.popleft()
                    expected += 1
            else:
                getattr(queue, step)(b"x" * number)
                expected += step == "append"
            self.assertEqual(queue.size, sum(map(len, queue)))
        self.assertEqual(len(told), expected)


class _Responding:
    """A resource that opens a pipe and notes its pressure."""

    def __init__(self) -> None:
        self.pipe: Any = None
        self.request: Any = None
        self.told: list[str] = []

    def __call__(self, request: Any) -> Any:
        request.write(b"")
        self.request = request
        self.pipe = pipe_for(
            request, lambda: self.told.append("pause"), lambda: self.told.append("resume")
        )
        self.pipe.start()
        return NOT_DONE_YET


class Http1PipeTests(SynchronousTestCase):
    """A connection to itself."""

    def setUp(self) -> None:
        self.responding = _Responding()
        self.exchange = Http1Exchange(self.responding)
        self.exchange.ask()
        self.pipe = self.responding.pipe

    def test_kind(self) -> None:
        """It is HTTP/1's, writes to the connection itself, and turns Nagle's algorithm off."""
        self.assertIsInstance(self.pipe, Http1Pipe)
        self.assertIs(self.pipe.transport, self.exchange.transport)
        self.assertTrue(self.exchange.transport.no_delay)
        self.exchange.transport.take()
        self.pipe.write(b"framed already")
        self.assertEqual(self.exchange.transport.take(), b"framed already")

    def test_pressure(self) -> None:
        """The socket's pressure is told, until the pipe is let go."""
        self.exchange.transport.block()
        self.pipe.write(b"x" * 100_000)
        self.assertEqual((self.responding.told, self.pipe.buffered()), (["pause"], 100_000))
        self.exchange.transport.unblock()
        self.assertEqual((self.responding.told, self.pipe.buffered()), (["pause", "resume"], 0))
        self.pipe.release()
        self.exchange.transport.block()
        self.pipe.write(b"x" * 100_000)
        self.assertEqual(self.responding.told, ["pause", "resume"])

    def test_gone(self) -> None:
        """A peer that has gone is let go of as well, once, and harmlessly."""
        self.exchange.transport.hang_up()
        self.pipe.release()
        self.pipe.release()
        self.assertIsNone(self.pipe._request)

    def test_abort(self) -> None:
        """The peer is dropped without an end of the response."""
        self.exchange.transport.take()
        self.pipe.abort()
        self.assertTrue(self.exchange.transport.aborted)
        self.assertEqual(self.exchange.transport.take(), b"")


class Http2PipeTests(SynchronousTestCase):
    """One stream among others."""

    def setUp(self) -> None:
        self.responding = _Responding()
        self.exchange = Http2Exchange(self.responding)
        self.exchange.read_windows = False
        self.stream = self.exchange.ask("/")
        self.pipe = self.responding.pipe

    def test_kind(self) -> None:
        """It is HTTP/2's, and has no connection to itself."""
        self.assertIsInstance(self.pipe, Http2Pipe)
        self.assertIsNone(self.pipe.transport)

    def test_pressure(self) -> None:
        """It pauses past the high mark and goes on at the low one, by what waits for this
        stream; the peer's window is what takes it away."""
        self.pipe.write(b"x" * 65_535)
        self.exchange.turn(20)
        self.assertEqual((self.pipe.buffered(), self.responding.told), (0, []))
        self.pipe.write(b"x" * HIGH_WATER)
        self.assertEqual(self.responding.told, [])
        self.pipe.write(b"x")
        self.assertEqual(self.responding.told, ["pause"])
        self._open(HIGH_WATER + 1 - LOW_WATER - 1)
        self.assertEqual((self.pipe.buffered(), self.responding.told), (LOW_WATER + 1, ["pause"]))
        self._open(1)
        self.assertEqual(self.responding.told, ["pause", "resume"])

    def _open(self, window: int) -> None:
        self.exchange.client.increment_flow_control_window(window, self.stream)
        self.exchange.client.increment_flow_control_window(window)
        self.exchange.turn(20)

    def test_idle_timeout(self) -> None:
        """While a silent response is open its connection does not time out, and after it does."""
        [connection] = self.exchange.site.connections
        self.assertIsNone(connection.timeOut)
        self.responding.request.finish()
        self.pipe.release()
        self.assertIsNotNone(connection.timeOut)
        self.pipe.release()
        self.assertIsNotNone(connection.timeOut)

    def test_two_streams(self) -> None:
        """The last silent response that ends turns the timeout on again."""
        first = self.pipe
        self.exchange.ask("/")
        [connection] = self.exchange.site.connections
        first.release()
        self.assertIsNone(connection.timeOut)
        self.responding.pipe.release()
        self.assertIsNotNone(connection.timeOut)

    def test_abort(self) -> None:
        """The stream is dropped, its request is told, and the connection stays."""
        told = self.responding.request.notifyFinish()
        self.pipe.abort()
        self.failureResultOf(told)
        self.exchange.turn(5)
        self.assertTrue(self.exchange.transport.connected)
        self.pipe.abort()


class OwnPipeTests(SynchronousTestCase):
    """Another version of HTTP."""

    def test_brings_its_own(self) -> None:
        """A channel with a pipe of its own is asked for it."""
        given: list[Any] = []
        own: Any = object()

        class Channel:
            def response_pipe(self, *arguments: Any) -> ResponsePipe:
                given.extend(arguments)
                return own  # type: ignore[no-any-return]

        class AnyRequest:
            channel = Channel()

        request: Any = AnyRequest()
        pause, resume = (lambda: None), (lambda: None)
        self.assertIs(pipe_for(request, pause, resume), own)
        self.assertEqual(given, [request, pause, resume])
