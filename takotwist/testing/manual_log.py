"""A replay log whose answers come when the test says so.

It wraps another log: calls are noted, and answered by `step`, so that a test
can put anything between a question and its answer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from takotwist.core.log import Append, Appended, LogStats, Page, Report
from takotwist.core.topic import Topic
from takotwist.errors import StoreUnavailable
from takotwist.ports import ILogFollower, IReplayLog


@implementer(IReplayLog)
@attrs.define(slots=True, eq=False)
class ManualLog:
    """Answers in order, one at a time.

    A read takes its snapshot when it is answered half: `snapshot` takes it,
    `step` gives it out.  An append is stored when it is asked, as a writer's
    thread would, and reported when it is stepped.

    :ivar broken: whether calls fail from now on.
    """

    inner: Any
    broken: bool = False
    _head: int = attrs.field(default=0, init=False)
    _follower: ILogFollower | None = attrs.field(default=None, init=False)
    _appends: list[tuple[Deferred[Any], Any]] = attrs.field(factory=list, init=False)
    _reads: list[_Read] = attrs.field(factory=list, init=False)

    def start(self, follower: ILogFollower | None = None) -> Deferred[None]:
        """Implement `IReplayLog`."""
        if self.everything:
            self._follower = follower
        # The log of one node among others has its own time for reports.
        starting: Deferred[None] = self.inner.start(None if self.everything else follower)
        self._head = self.inner.head
        return starting

    def stop(self) -> Deferred[None]:
        """Implement `IReplayLog`."""
        stopping: Deferred[None] = self.inner.stop()
        return stopping

    def append(self, entries: Sequence[Append], now_us: int) -> Deferred[list[Appended]]:
        """Implement `IReplayLog`."""
        answer: Deferred[list[Appended]] = Deferred()
        result: Any = Failure(StoreUnavailable())
        if not self.broken:
            result = _now(self.inner.append(entries, now_us))
        head = self.inner.head
        report = None if isinstance(result, Failure) else Report.of(head, entries, result)
        self._appends.append((answer, (result, head, report)))
        return answer

    def follow(self, topic: Topic) -> Deferred[None]:
        """Implement `IReplayLog`."""
        following: Deferred[None] = self.inner.follow(topic)
        return following

    def unfollow(self, key: str) -> None:
        """Implement `IReplayLog`."""
        self.inner.unfollow(key)

    def newest(self) -> Deferred[int]:
        """Implement `IReplayLog`."""
        newest: Deferred[int] = self.inner.newest()
        return newest

    def read(self, topic: Topic, after: int, limit: int, max_bytes: int) -> Deferred[Page]:
        """Implement `IReplayLog`."""
        read = _Read(lambda: self.inner.read(topic, after, limit, max_bytes))
        self._reads.append(read)
        return read.answer

    def sweep(self, now_us: int, in_use: Collection[str]) -> Deferred[bool]:
        """Implement `IReplayLog`.  Answered at once."""
        sweeping: Deferred[bool] = self.inner.sweep(now_us, in_use)
        return sweeping

    def stats(self) -> Deferred[LogStats]:
        """Implement `IReplayLog`.  Answered at once."""
        counting: Deferred[LogStats] = self.inner.stats()
        return counting

    @property
    def keyed(self) -> bool:
        """Implement `IReplayLog`."""
        return bool(self.inner.keyed)

    @property
    def available(self) -> bool:
        """Implement `IReplayLog`.  A broken one is not away: it only fails, as on a full disk."""
        return bool(self.inner.available)

    @property
    def everything(self) -> bool:
        """Implement `IReplayLog`."""
        return bool(self.inner.everything)

    @property
    def head(self) -> int:
        """Implement `IReplayLog`."""
        return self._head if self.everything else int(self.inner.head)

    @head.setter
    def head(self, head: int) -> None:
        self._head = head

    @property
    def appends_waiting(self) -> int:
        """Appends that were not reported yet."""
        return len(self._appends)

    @property
    def reads_waiting(self) -> int:
        """Reads that were not answered yet."""
        return len(self._reads)

    def report(self) -> bool:
        """Report the oldest append.  Whether there was one."""
        if not self._appends:
            return False
        answer, (result, head, report) = self._appends.pop(0)
        if isinstance(result, Failure):
            answer.errback(result)
        else:
            self._head = max(self._head, head)
            if self._follower is not None:
                self._follower.reported(report)
            answer.callback(result)
        return True

    def snapshot(self, index: int = 0) -> None:
        """Take the snapshot of a waiting read; a read that was not, takes it when answered."""
        if index < len(self._reads):
            self._reads[index].look(self.broken)

    def answer(self, index: int = 0) -> bool:
        """Answer a waiting read.  Whether there was one."""
        if index >= len(self._reads):
            return False
        read = self._reads.pop(index)
        read.look(self.broken)
        read.give()
        return True

    def settle(self) -> None:
        """Report and answer until nothing waits."""
        while self.report() or self.answer():
            pass


@attrs.define(slots=True, eq=False)
class _Read:
    take: Callable[[], Deferred[Page]]
    answer: Deferred[Page] = attrs.field(factory=Deferred, init=False)
    _page: Any = attrs.field(default=None, init=False)

    def look(self, broken: bool) -> None:
        if self._page is None:
            self._page = Failure(StoreUnavailable()) if broken else _now(self.take())

    def give(self) -> None:
        if isinstance(self._page, Failure):
            self.answer.errback(self._page)
        else:
            self.answer.callback(self._page)


def _now(deferred: Deferred[Any]) -> object:
    results: list[object] = []
    deferred.addBoth(results.append)
    assert results, "the wrapped log must answer at once"
    return results[0]
