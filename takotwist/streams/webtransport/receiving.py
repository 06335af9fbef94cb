"""Receive queues: of the bytes of one stream, and of whole arrivals for a handler.

What the handler has not read of a stream is held against the peer's window, so a handler that
does not read stops its peer, and memory is bounded by the window (`ReceiveSide`).

Streams and datagrams wait in order and up to a bound, for one reader at a time; the end takes
away what still waits, as it is no use any more (`Arrivals`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Generic, Protocol, TypeVar

from twisted.internet.defer import Deferred

from takotwist.streams.http3.link import Link
from takotwist.streams.webtransport.errors import StreamFinished, StreamReset, from_http3, to_http3


class ByteReceiver(Protocol):
    """The low-level reader: is called, instead of asking."""

    def data_received(self, data: bytes) -> None:
        """The next bytes."""

    def ended(self, error: Exception | None) -> None:
        """Nothing more comes; `error` is `None` where the peer finished the stream."""


class ReceiveSide:
    """Reads one stream, by `read` or by a `ByteReceiver`, never both.

    :param on_settled: called when the last byte was read or dropped.
    """

    def __init__(self, link: Link, stream_id: int, on_settled: Callable[[], None]) -> None:
        self._link, self._stream_id = link, stream_id
        self._on_settled = on_settled
        self._chunks: deque[bytes] = deque()
        self._reader: Deferred[None] | None = None
        self._receiver: ByteReceiver | None = None
        self._paused = False
        self._told = False
        self._ended = False
        self._error: Exception | None = None
        #: Whether the peer has said its last word: nothing will come on the wire.
        self.over = False

    @property
    def settled(self) -> bool:
        """True once the peer has said its last word and nothing of it waits."""
        return self.over and not self._chunks

    # From the wire

    def data_received(self, data: bytes, ended: bool) -> None:
        """The next bytes of the peer."""
        if data and self._error is None:
            self._chunks.append(data)
            self._link.hold(self._stream_id, len(data))
        if ended:
            self.over = self._ended = True
        self._deliver()

    def reset_received(self, code: int) -> None:
        """The peer gave up; what waits here was read by nobody and is dropped."""
        self.over = True
        self.fail(StreamReset(from_http3(code)))

    def fail(self, error: Exception) -> None:
        """Reading is over, for `error`."""
        if self._error is None and not (self._ended and not self._chunks):
            self._error = error
        self._drop()
        self._deliver()

    # For the handler

    async def read(self, limit: int = 65536) -> bytes:
        """Up to `limit` bytes, at least one; ``b""`` at the end.

        :raises StreamReset: the peer gave up.
        :raises SessionClosed: the session is over.
        """
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self._ended:
                return b""
            if self._reader is not None:
                raise RuntimeError("somebody else reads this stream already")
            self._reader = Deferred()
            try:
                await self._reader
            finally:
                self._reader = None
        return self._take(limit)

    async def read_all(self, limit: int) -> bytes:
        """All bytes up to the end.

        :raises ValueError: they are more than `limit`.
        """
        parts, size = [], 0
        while data := await self.read():
            size += len(data)
            if size > limit:
                raise ValueError(f"the stream is longer than {limit} bytes")
            parts.append(data)
        return b"".join(parts)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes as they come, up to the end."""
        while data := await self.read():
            yield data

    def stop(self, code: int = 0) -> None:
        """Ask the peer to send no more, by an application error `code`; drop what came."""
        if not self.over and self._error is None:
            self._link.stop(self._stream_id, to_http3(code))
        self.fail(StreamFinished("this side stopped reading"))

    def receive_by(self, receiver: ByteReceiver) -> None:
        """Call `receiver` from now on, with what waits first."""
        self._receiver = receiver
        self._deliver()

    def pause(self) -> None:
        """Call the receiver no more; the peer is stopped when its window is full."""
        self._paused = True

    def resume(self) -> None:
        """Go on."""
        self._paused = False
        self._deliver()

    # Inside

    def _take(self, limit: int) -> bytes:
        data = self._chunks.popleft()
        if len(data) > limit:
            self._chunks.appendleft(data[limit:])
            data = data[:limit]
        self._link.release(self._stream_id, len(data))
        if self.settled:
            self._on_settled()
        return data

    def _drop(self) -> None:
        waiting = sum(map(len, self._chunks))
        self._chunks.clear()
        if waiting:
            self._link.release(self._stream_id, waiting)

    def _deliver(self) -> None:
        if self._reader is not None and not self._reader.called:
            self._reader.callback(None)
            return
        receiver = self._receiver
        if receiver is None:
            return
        while self._chunks and not self._paused:
            receiver.data_received(self._take(65536))
        if not self._chunks and not self._told and (self._ended or self._error is not None):
            self._told = True
            receiver.ended(self._error)


T = TypeVar("T")


class Arrivals(Generic[T]):
    """An asynchronous iterator that somebody else feeds.

    :param limit: how many may wait.  What more comes is the feeder's to decide.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._waiting: deque[T] = deque()
        self._reader: Deferred[None] | None = None
        self._end: Exception | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        while not self._waiting:
            if self._end is not None:
                raise StopAsyncIteration
            await self._wait()
        return self._waiting.popleft()

    async def next(self) -> T:
        """The next one.

        :raises SessionClosed: there is none to come.
        """
        try:
            return await self.__anext__()
        except StopAsyncIteration:
            assert self._end is not None
            raise self._end from None

    async def _wait(self) -> None:
        if self._reader is not None:
            raise RuntimeError("somebody else waits for this already")
        self._reader = Deferred()
        try:
            await self._reader
        finally:
            self._reader = None

    @property
    def full(self) -> bool:
        """True while as many wait as may."""
        return len(self._waiting) >= self.limit

    def put(self, item: T) -> None:
        """One more came."""
        self._waiting.append(item)
        self._wake()

    def drop_oldest(self) -> T:
        """Take away the one that has waited longest."""
        return self._waiting.popleft()

    def end(self, error: Exception) -> list[T]:
        """Nothing more will come; returns what nobody asked for."""
        self._end = error
        left = list(self._waiting)
        self._waiting.clear()
        self._wake()
        return left

    def _wake(self) -> None:
        reader = self._reader
        if reader is not None and not reader.called:
            reader.callback(None)
