"""A request that is answered without twisted.web, and the stream that it becomes."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.http.direct import LAST_CHUNK, DirectRequest, DirectStream
from takotwist.streams.http.head import read_head
from takotwist.streams.unread import Unread
from tests.streams.memory_transport import MemoryTransport

HEAD = (
    b"GET /a/b?c=d HTTP/1.1\r\nHost: x\r\nX-Twice: 1\r\nX-Twice: 2\r\n"
    b"Cookie: a=1; b=2=3; broken\r\nCookie: a=9\r\n\r\n"
)


class FakeChannel:
    """A connection, as far as a request knows it."""

    def __init__(self, alpn: bytes | None = None, on_access: Any = None) -> None:
        self.transport = MemoryTransport(alpn)
        self.transport.connect(self)
        self.site = self
        self.unfinished = self
        self.connections: set[Any] = set()
        self.answers = Unread(Clock())
        self.on_access = on_access
        self.logged: list[Any] = []
        self.answering: Any = None
        self.done = 0

    def makeConnection(self, transport: Any) -> None:
        """The transport is there."""

    def connectionLost(self, reason: Failure) -> None:
        if self.answering is not None:
            self.answering.lost(reason)

    def log(self, request: Any) -> None:
        self.logged.append(request)

    def answered(self) -> None:
        self.done += 1


def ask(channel: FakeChannel, head: bytes = HEAD) -> DirectRequest:
    """A request on `channel`."""
    read = read_head(head, 10_000, 100)
    assert read is not None
    request = channel.answering = DirectRequest(channel, read)
    return request


class RequestTests(SynchronousTestCase):
    """What a handler reads of it."""

    def test_target(self) -> None:
        """The path is without the query, and the target with it."""
        request = ask(FakeChannel())
        self.assertEqual((request.path, request.uri), (b"/a/b", b"/a/b?c=d"))
        self.assertEqual((request.method, request.clientproto), (b"GET", b"HTTP/1.1"))

    def test_fields(self) -> None:
        """The last line of a name; names in any case; `None` where there is none."""
        request = ask(FakeChannel())
        self.assertEqual(request.getHeader("x-TWICE"), "2")
        self.assertEqual(request.requestHeaders.getRawHeaders(b"X-Twice"), [b"1", b"2"])
        self.assertIsNone(request.getHeader("x-none"))

    def test_cookies(self) -> None:
        """All lines are read; the last of a name holds, and one without a value is none."""
        request = ask(FakeChannel())
        self.assertEqual(request.received_cookies, {b"a": b"9", b"b": b"2=3"})
        self.assertIsNone(request.getCookie(b"broken"))

    def test_secure(self) -> None:
        """Only over TLS."""
        self.assertFalse(ask(FakeChannel()).isSecure())
        self.assertTrue(ask(FakeChannel(alpn=b"http/1.1")).isSecure())

    def test_addresses(self) -> None:
        """Both ends of the socket."""
        request = ask(FakeChannel())
        self.assertEqual((request.client.host, request.getHost().port), ("192.0.2.7", 80))


class WholeAnswerTests(SynchronousTestCase):
    """An answer that is sent when it is finished."""

    def setUp(self) -> None:
        self.channel = FakeChannel()
        self.request = ask(self.channel)

    def test_sent_at_the_end(self) -> None:
        """Nothing leaves before; then status, fields and the true length of the body."""
        told = self.request.notifyFinish()
        self.request.setResponseCode(404, b"another phrase")
        self.request.setHeader("X-A", "b")
        self.request.setHeader(b"Content-Length", b"999")
        self.request.write(b"he")
        self.request.write(b"llo")
        self.assertEqual((self.channel.transport.take(), self.request.startedWriting), (b"", 0))
        self.request.finish()
        head, _, body = self.channel.transport.take().partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        self.assertEqual((first, body), (b"HTTP/1.1 404 Not Found", b"hello"))
        self.assertIn(b"X-A: b", lines)
        self.assertEqual([line for line in lines if b"Length" in line], [b"Content-Length: 5"])
        self.assertTrue(any(re.match(rb"Date: \w{3}, \d\d .* GMT$", line) for line in lines))
        self.assertIsNone(self.successResultOf(told))
        self.assertEqual((self.channel.done, self.channel.logged), (1, [self.request]))
        self.assertEqual((self.request.sentLength, self.request.finished), (5, 1))

    def test_gone(self) -> None:
        """Who waits for its end is told of a client that goes, and nothing is written then."""
        told = self.request.notifyFinish()
        self.channel.transport.hang_up()
        self.failureResultOf(told, ConnectionDone)
        self.request.write(b"late")
        self.request.finish()
        self.assertEqual((self.channel.transport.take(), self.channel.logged), (b"", []))
        self.assertTrue(self.request.gone)

    def test_break_off(self) -> None:
        """The connection is let go without an answer."""
        self.request.loseConnection()
        self.assertFalse(self.channel.transport.connected)


class StreamTests(SynchronousTestCase):
    """An answer that goes on."""

    def setUp(self) -> None:
        self.told: list[str] = []
        self.open()

    def open(self, on_access: Any = None) -> None:
        """Begin one."""
        self.channel = FakeChannel(on_access=on_access)
        self.request = ask(self.channel)
        self.finished = self.request.notifyFinish()
        self.request.setHeader(b"X-Own", b"1")
        self.stream: DirectStream = self.request.stream(
            {"Content-Type": "text/x"},
            b"3\r\nabc\r\n",
            lambda: self.told.append("pause"),
            lambda: self.told.append("resume"),
            lambda _: self.told.append("gone"),
        )

    def test_begins(self) -> None:
        """Head and first blocks in one write, chunked, with the fields of both."""
        head, _, rest = self.channel.transport.take().partition(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"HTTP/1.1 200 OK\r\n"))
        for line in (b"Transfer-Encoding: chunked", b"Content-Type: text/x", b"X-Own: 1"):
            self.assertIn(line, head)
        self.assertEqual(rest, b"3\r\nabc\r\n")
        self.assertIs(self.channel.answering, self.stream)

    def test_finish(self) -> None:
        """The last chunk, the log, those who wait, and the connection goes on, in this order."""
        self.open(on_access=lambda access: None)
        self.channel.transport.take()
        self.stream.finish()
        self.assertEqual(self.channel.transport.take(), LAST_CHUNK)
        self.assertEqual((self.channel.logged, self.channel.done), ([self.request], 1))
        self.assertIsNone(self.successResultOf(self.finished))

    def test_no_log(self) -> None:
        """Where nobody reads the log the request is not kept for it."""
        self.stream.finish()
        self.assertEqual(self.channel.logged, [])
        self.assertIsNone(self.stream._log)

    def test_pressure(self) -> None:
        """A reader that takes nothing is told of and watched; one that reads again is not."""
        self.channel.transport.block()
        self.stream.write(b"x" * 100_000)
        self.assertEqual(self.told, ["pause"])
        self.assertEqual((self.stream.buffered(), self.channel.answers.held), (100_000, 100_000))
        self.channel.transport.unblock()
        self.assertEqual((self.told, self.channel.answers.held), (["pause", "resume"], 0))

    def test_paused_twice(self) -> None:
        """A second word of the transport does not watch it twice."""
        self.channel.transport.block()
        self.stream.write(b"x" * 100_000)
        self.stream.pauseProducing()
        self.assertEqual(len(self.channel.answers._all), 1)
        self.stream.release()
        self.assertEqual(self.channel.answers.held, 0)
        self.assertIsNone(self.channel.transport.producer)

    def test_gone(self) -> None:
        """A client that goes: who waits fails, the writer is told once, nothing is watched."""
        self.channel.transport.block()
        self.stream.write(b"x" * 100_000)
        self.channel.transport.hang_up()
        self.failureResultOf(self.finished, ConnectionDone)
        self.assertEqual((self.told, self.channel.answers.held), (["pause", "gone"], 0))

    def test_abort(self) -> None:
        """The client is dropped in the middle of what was begun."""
        self.stream.abort()
        self.assertTrue(self.channel.transport.aborted)
        self.assertEqual(self.told, ["gone"])
        self.failureResultOf(self.finished)
