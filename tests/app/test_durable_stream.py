"""Writing a stream in pieces: what goes together, what waits, and what ends it."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from takotwist.app.durable_stream import (
    MAX_WAITING_BYTES,
    DurableStream,
    DurableStreams,
    Page,
    StreamWriter,
)
from takotwist.errors import ConfigError, NotFound

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
        self.writer = StreamWriter(cast(DurableStream, self.stream), ensureDeferred)

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
