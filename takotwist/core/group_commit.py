"""Appends that arrive while a transaction is under way form the next one.

No timer: alone it is one message and low latency, under load it is hundreds a
transaction.  Rule: at most one batch is out at a time, so the order of offers
is the order of ids.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, Protocol, TypeVar

import attrs

from takotwist.errors import Overloaded


class Sized(Protocol):
    """Something with a size in bytes."""

    @property
    def size(self) -> int: ...


T = TypeVar("T", bound=Sized)


@attrs.define(slots=True)
class GroupCommit(Generic[T]):
    """Collects entries into batches.

    :ivar max_batch: most entries in one transaction.
    :ivar max_batch_bytes: and most bytes, though always at least one entry.
    :ivar max_waiting: most entries waiting for the next transactions.
    :ivar max_waiting_bytes: and most bytes.
    """

    max_batch: int = 512
    max_batch_bytes: int = 4 * 2**20
    max_waiting: int = 10_000
    max_waiting_bytes: int = 64 * 2**20
    _waiting: deque[T] = attrs.field(factory=deque, init=False)
    _waiting_bytes: int = attrs.field(default=0, init=False)
    _under_way: bool = attrs.field(default=False, init=False)

    def offer(self, entry: T) -> None:
        """Queue `entry` behind all that were offered before.

        :raises Overloaded: too much waits already; nothing was queued.
        """
        if (
            len(self._waiting) >= self.max_waiting
            or self._waiting_bytes + entry.size > self.max_waiting_bytes
        ):
            raise Overloaded("Too many messages wait to be stored.")
        self._waiting.append(entry)
        self._waiting_bytes += entry.size

    def take(self) -> list[T]:
        """The next batch, or nothing where one is under way or none waits."""
        if self._under_way or not self._waiting:
            return []
        batch: list[T] = []
        room = self.max_batch_bytes
        while self._waiting and len(batch) < self.max_batch:
            size = self._waiting[0].size
            if batch and size > room:
                break
            room -= size
            self._waiting_bytes -= size
            batch.append(self._waiting.popleft())
        self._under_way = True
        return batch

    def finished(self) -> None:
        """The batch that was out has committed or failed."""
        self._under_way = False

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is under way."""
        return not self._under_way and not self._waiting

    @property
    def waiting(self) -> int:
        """Entries that wait for a transaction."""
        return len(self._waiting)
