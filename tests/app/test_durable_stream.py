"""Writing a stream in pieces: what goes together, what waits, and what ends it."""

from __future__ import annotations

import asyncio
from typing import Any, cast
from unittest import IsolatedAsyncioTestCase

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from takotwist.app.durable_stream import (
    MAX_WAITING_BYTES,
    DurableStream,
    DurableStreams,
    Page,
    StreamWriter,
)
from takotwist.app.http_address import Address
from takotwist.app.http_exchange_asyncio import AsyncioExchange
from takotwist.app.http_exchange_twisted import TwistedExchange
from takotwist.errors import ConfigError, NotFound, Unreachable

Asked = tuple[bytes, bool, int, "Deferred[Page]"]


class Scripted:
    """A stream whose appends are answered by hand."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []

    async def append(self, data: bytes, *, end: bool, producer: tuple[str, int]) -> Page:
        answer: Deferred[Page] = Deferred()
        self.asked.append((data, end, producer[1], answer))
        return await answer

    def answer(self) -> None:
        """Say yes to the last one."""
        self.asked[-1][3].callback(Page(b"", "1", False))

    @property
    def said(self) -> list[tuple[bytes, bool, int]]:
        return [one[:3] for one in self.asked]


class TestWriter(SynchronousTestCase):
    def setUp(self) -> None:
        self.stream = Scripted()
        self.spawn = TwistedExchange(Clock(), Address.of("http://127.0.0.1:1")).spawn
        self.writer = StreamWriter(cast(DurableStream, self.stream), self.spawn)

    def write(self, data: bytes | str) -> Deferred[None]:
        return ensureDeferred(self.writer.write(data))

    def leave(self, kind: type[BaseException] | None = None) -> Deferred[None]:
        return ensureDeferred(self.writer.__aexit__(kind, None, None))

    def test_together(self) -> None:
        """What is written while a request is under way goes with the next, numbered in turn."""
        for token in ("a", "b", b"c"):
            self.successResultOf(self.write(token))
        self.assertEqual(self.stream.said, [(b"a", False, 0)])
        self.stream.answer()
        self.assertEqual(self.stream.said[1:], [(b"bc", False, 1)])
        left = self.leave()
        self.assertNoResult(left)
        self.stream.answer()
        self.assertEqual(self.stream.said[2:], [(b"", True, 2)])
        self.stream.answer()
        self.successResultOf(left)

    def test_empty(self) -> None:
        """Nothing is no request, and an end alone is one."""
        self.successResultOf(self.write(b""))
        left = self.leave()
        self.assertEqual(self.stream.said, [(b"", True, 0)])
        self.stream.answer()
        self.successResultOf(left)

    def test_full(self) -> None:
        """A writer waits while too much waits."""
        self.successResultOf(self.write(b"a"))
        waiting = self.write(b"b" * (MAX_WAITING_BYTES + 1))
        self.assertNoResult(waiting)
        self.stream.answer()
        self.assertNoResult(waiting)
        self.stream.answer()
        self.successResultOf(waiting)

    def test_given_up(self) -> None:
        """Who gives up waiting ends no request: all of it is stored, numbered in turn."""
        self.successResultOf(self.write("a"))
        waiting = [ensureDeferred(self.writer.flush()) for _ in range(2)]
        waiting[0].cancel()
        self.failureResultOf(waiting[0], CancelledError)
        self.successResultOf(self.write("b"))
        self.stream.answer()
        self.assertEqual(self.stream.said, [(b"a", False, 0), (b"b", False, 1)])
        self.stream.answer()
        self.successResultOf(waiting[1])
        self.successResultOf(ensureDeferred(self.writer.flush()))

    def test_fails_at_once(self) -> None:
        """A request that fails before it waits for anything fails the next write, and the flush."""

        class Crowded(Scripted):
            async def append(self, data: bytes, *, end: bool, producer: tuple[str, int]) -> Page:
                raise Unreachable("10000 publishes wait already")

        self.writer = StreamWriter(cast(DurableStream, Crowded()), self.spawn)
        self.successResultOf(self.write("a"))
        self.failureResultOf(ensureDeferred(self.writer.flush()), Unreachable)
        self.failureResultOf(self.write("b"), Unreachable)

    def test_deleted(self) -> None:
        """Where the stream is gone the next write says so, and no end is asked for."""
        self.successResultOf(self.write(b"a"))
        self.stream.asked[-1][3].errback(NotFound())
        self.failureResultOf(self.write(b"b"), NotFound)
        self.failureResultOf(self.leave(), NotFound)
        self.assertEqual(len(self.stream.asked), 1)

    def test_failed(self) -> None:
        """Where the block has failed what was written is stored, and the stream has no end."""
        self.successResultOf(self.write(b"a"))
        left = self.leave(ValueError)
        self.stream.answer()
        self.successResultOf(left)
        self.assertEqual(self.stream.said, [(b"a", False, 0)])


class TestWriterAsyncio(IsolatedAsyncioTestCase):
    """The same, of a task."""

    async def test_given_up(self) -> None:
        answers = [asyncio.get_running_loop().create_future() for _ in range(2)]
        stored: list[bytes] = []

        class Stream:
            async def append(self, data: bytes, *, end: bool, producer: tuple[str, int]) -> Page:
                await answers[producer[1]]
                stored.append(data)
                return Page(b"", "1", False)

        spawn = AsyncioExchange(Address.of("http://127.0.0.1:1")).spawn
        writer = StreamWriter(cast(DurableStream, Stream()), spawn)
        await writer.write("a")
        with self.assertRaises(TimeoutError):
            await asyncio.wait_for(writer.flush(), 0)
        await writer.write("b")
        for answer in answers:
            answer.set_result(None)
        await writer.flush()
        self.assertEqual(stored, [b"a", b"b"])


class TestFollow(SynchronousTestCase):
    def test_somebody_elses_answers(self) -> None:
        """An answer without an offset is asked for again with pauses, and is the error then."""
        for answer in (b"204 No Content\r\n\r\n", b"200 OK\r\nContent-Length: 2\r\n\r\nhi"):
            reactor = MemoryReactorClock()
            streams = DurableStreams(url="http://127.0.0.1:1", reactor=reactor, jitter=lambda: 0.5)
            page = ensureDeferred(anext(streams.at("a").follow()))
            asked = 0
            for _ in range(200):
                for *_, factory, _, _ in reactor.tcpClients[asked:]:
                    asked += 1
                    protocol = factory.buildProtocol(None)
                    protocol.makeConnection(StringTransport())
                    protocol.dataReceived(b"HTTP/1.1 " + answer)
                    protocol.connectionLost(Failure(ConnectionDone()))
                reactor.advance(0.5)
            failed = self.failureResultOf(page, Unreachable)
            self.assertIn("which is no answer of a takotwist server", str(failed.value))
            self.assertTrue(5 < asked < 80, asked)


class TestSettings(SynchronousTestCase):
    def test_wrong(self) -> None:
        """An address or a key that cannot be used is said at once, and not repeated."""
        cases: list[dict[str, Any]] = [
            {"url": "ftp://secret.example"},
            {"url": "http://localhost", "key": "sec ret"},
            {"url": "http://localhost", "patience": 0},
            {"url": "http://localhost", "poll_seconds": float("inf")},
        ]
        for case in cases:
            wrong = self.assertRaises(ConfigError, DurableStreams, **case)
            self.assertNotIn("sec", str(wrong).replace("seconds", ""))
