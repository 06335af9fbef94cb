"""One node's log over a store in memory that several nodes share, in one process.

It shows what every shared log does, where a test decides when: reports wait until they are
`delivered`, the way to the store can be `cut` and `mended`, and an answer can be lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from takotwist.adapters.memory.log import InMemoryReplayLog
from takotwist.core.log import Append, Appended, LogStats, Page, Report
from takotwist.core.topic import Topic
from takotwist.errors import StoreUnavailable
from takotwist.ports import ILogFollower, IReplayLog

T = TypeVar("T")

#: Reports that wait for a node; one that is further behind goes on from the log.
MAX_REPORTS = 64


@attrs.define(slots=True, eq=False)
class MemoryStore:
    """State that the nodes share.

    :ivar log: holds the messages; running.
    """

    log: InMemoryReplayLog
    _nodes: list[MemoryNode] = attrs.field(factory=list, init=False)
    #: The last batch of each node, with its answer.
    _batches: dict[str, tuple[int, list[Appended]]] = attrs.field(factory=dict, init=False)

    def join(self, node: MemoryNode) -> None:
        """Report to `node` from here on.  Harmless when repeated."""
        self.leave(node)
        self._nodes.append(node)

    def leave(self, node: MemoryNode) -> None:
        """The node has gone.  Harmless when repeated."""
        self._nodes = [one for one in self._nodes if one is not node]
        self._batches.pop(node.name, None)

    def append(
        self, name: str, batch: int, entries: Sequence[Append], now_us: int
    ) -> list[Appended]:
        """Store a batch of the node `name`, or give the answer that it had the first time."""
        known = self._batches.get(name)
        if known is not None and known[0] == batch:
            return known[1]
        before = self.log.head
        appended: list[Appended] = []
        self.log.append(entries, now_us).addCallback(appended.extend)
        self._batches[name] = (batch, appended)
        report = Report.of(self.log.head, entries, appended)
        for node in self._nodes:
            node.stored(before, report)
        return appended


@implementer(IReplayLog)
class MemoryNode:
    """See `IReplayLog`.

    :param name: of this run of the node, as the store remembers its batches.
    :param at_once: reports are delivered as they come; else by `deliver`.
    :ivar is_cut: the store cannot be reached.
    :ivar loses_answer: the next append is stored, and its answer lost.
    """

    everything = False
    keyed = True

    def __init__(self, store: MemoryStore, name: str, *, at_once: bool = True) -> None:
        self.head = 0
        self.is_cut = False
        self.loses_answer = False
        self.store = store
        self.name = name
        self._at_once = at_once
        self._batch = 0
        self._follower: ILogFollower | None = None
        self._running = False
        #: Of those that are followed.
        self._topics: dict[str, Topic] = {}
        self._waiting: deque[tuple[int, Report]] = deque()

    @property
    def available(self) -> bool:
        """See `IReplayLog`."""
        return self._running and not self.is_cut

    def start(self, follower: ILogFollower | None = None) -> Deferred[None]:
        """See `IReplayLog`."""
        self._follower = follower
        self._running = True
        self.store.join(self)
        self.head = max(self.head, self.store.log.head)
        return succeed(None)

    def stop(self) -> Deferred[None]:
        """See `IReplayLog`."""
        self._running = False
        self.store.leave(self)
        return succeed(None)

    def follow(self, topic: Topic) -> Deferred[None]:
        """See `IReplayLog`.  What is reported is chosen when it is delivered."""

        def followed() -> None:
            self._topics[topic.key] = topic

        return self._reach(followed)

    def unfollow(self, key: str) -> None:
        """See `IReplayLog`."""
        self._topics.pop(key, None)

    def newest(self) -> Deferred[int]:
        """See `IReplayLog`."""
        newest = self._reach(lambda: self.store.log.head)
        if self._at_once and not self.is_cut:
            self.catch_up()
        return newest

    def append(self, entries: Sequence[Append], now_us: int) -> Deferred[list[Appended]]:
        """See `IReplayLog`."""
        if not self.available:
            return fail(StoreUnavailable())
        self._batch += 1
        stored = self.store.append(self.name, self._batch, entries, now_us)
        if self.loses_answer:
            self.loses_answer = False
            stored = self.store.append(self.name, self._batch, entries, now_us)
        return succeed(stored)

    def read(self, topic: Topic, after: int, limit: int, max_bytes: int) -> Deferred[Page]:
        """See `IReplayLog`."""
        return self._pass_on(lambda: self.store.log.read(topic, after, limit, max_bytes))

    def sweep(self, now_us: int, in_use: Collection[str]) -> Deferred[bool]:
        """See `IReplayLog`.  What other nodes use is in use."""
        used = frozenset(in_use).union(*[node._topics for node in self.store._nodes])
        return self._pass_on(lambda: self.store.log.sweep(now_us, used))

    def stats(self) -> Deferred[LogStats]:
        """See `IReplayLog`."""
        return self._pass_on(self.store.log.stats)

    # for tests

    @property
    def reports_waiting(self) -> int:
        """Reports that were not delivered yet."""
        return len(self._waiting)

    def stored(self, before: int, report: Report) -> None:
        """The store tells of a transaction."""
        if self.is_cut:
            return
        self._waiting.append((before, report))
        if len(self._waiting) > MAX_REPORTS:
            self._waiting.clear()
        if self._at_once:
            while self.deliver():
                pass

    def deliver(self) -> bool:
        """Deliver the oldest report.  Whether there was one."""
        if not self._waiting:
            return False
        before, report = self._waiting.popleft()
        if report.head <= self.head:
            return True
        if before != self.head:
            self.catch_up()
            return True
        topics = [one for one in report.topics if one.key in self._topics]
        self._report(Report(report.head, topics))
        return True

    def lose_report(self) -> None:
        """The oldest report gets lost.  Harmless when there is none."""
        if self._waiting:
            self._waiting.popleft()

    def cut(self) -> None:
        """The way to the store is cut: what it tells is lost, and calls fail."""
        self.is_cut = True
        self._waiting.clear()

    def mend(self) -> None:
        """The way to the store is there again."""
        self.is_cut = False
        self.catch_up()

    def catch_up(self) -> None:
        """Ask the store's head, and go on from the log where it is above this node's."""
        head = self.store.log.head
        if self._running and head > self.head:
            self._waiting.clear()
            self._report(Report(head, (), self._changed()))

    def _changed(self) -> Collection[str] | None:
        """The topics of which messages may be missing."""
        pages: dict[str, list[Page]] = {}
        for key, topic in self._topics.items():
            pages[key] = []
            self.store.log.read(topic, self.head, 1, 1).addCallback(pages[key].append)
        return {key for key, [page] in pages.items() if page.messages or page.removed > self.head}

    def _report(self, report: Report) -> None:
        self.head = report.head
        if self._follower is not None:
            self._follower.reported(report)
            self._follower.settled()

    def _reach(self, work: Callable[[], T]) -> Deferred[T]:
        return succeed(work()) if self.available else fail(StoreUnavailable())

    def _pass_on(self, ask: Callable[[], Deferred[T]]) -> Deferred[T]:
        return ask() if self.available else fail(StoreUnavailable())
