"""What has come and waits for the handler, in order, up to a bound.

One reader at a time.  The end takes away what still waits: it is no use any more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred

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
        """Whether as many wait as may."""
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
