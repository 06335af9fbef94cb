"""A replay log without a disk: for tests, for development, for channels that may forget.

It gives the guarantees of `IReplayLog` for as long as the process lives.  Rule:
whatever it does, the disk log does too; one contract suite holds both to it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence
from heapq import heappop, heappush
from operator import attrgetter
from typing import TypeVar

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from takotwist.core.log import Append, Appended, LogStats, Page, Report, numbered
from takotwist.core.retention import (
    APPEND_MESSAGES,
    STEP_MESSAGES,
    STEP_TOPICS,
    Ages,
    Held,
    Watched,
    cut,
    drop_at,
    due_at,
)
from takotwist.core.topic import NEWEST, Message, Topic
from takotwist.errors import StoreUnavailable
from takotwist.ports import ILogFollower, IReplayLog

T = TypeVar("T")

_id = attrgetter("id")


@attrs.define(slots=True, eq=False)
class _Kept:
    """One topic: its numbers, its messages in order, and its idempotency keys.

    :ivar keys: idempotency key -> (first id, number of messages), oldest first.
    :ivar latest: key of `Append.keys` -> its message, and `named` the other way round.
    :ivar kept: ids of those that stay until they are replaced.
    :ivar count: epoch and number of the newest numbered message.
    :ivar due_us: when the topic stands in the heap to be looked at.
    """

    held: Held
    messages: list[Message] = attrs.field(factory=list)
    keys: dict[str, tuple[int, int]] = attrs.field(factory=dict)
    latest: dict[str, Message] = attrs.field(factory=dict)
    named: dict[int, str] = attrs.field(factory=dict)
    kept: set[int] = attrs.field(factory=set)
    due_us: int | None = None
    count: tuple[int, int] | None = None

    def position_after(self, id: int) -> int:
        return bisect_right(self.messages, id, key=_id)

    def remove(
        self,
        now_us: int | None,
        most: int,
        *,
        everything: bool = False,
        ages: Ages | None = None,
    ) -> int:
        """Remove one step from the old end; the number of messages that went."""
        kept = self.kept
        sizes = ((one.id, one.size) for one in self.messages if one.id not in kept)
        gone = cut(self.held, now_us, sizes, most, everything=everything, ages=ages)
        if gone is None:
            return 0
        self.held.take(gone)
        end = self.position_after(gone.up_to)
        removed = self.messages[:end]
        self.messages[:end] = [one for one in removed if one.id in kept]
        for message in removed if self.named else ():
            if message.id not in kept and message.id in self.named:
                del self.latest[self.named.pop(message.id)]
        while self.keys and next(iter(self.keys.values()))[0] <= gone.up_to:
            del self.keys[next(iter(self.keys))]
        return gone.count

    def full(self, entry: Append) -> bool:
        """See `Held.full`."""

        def stored(key: str) -> tuple[int, bool] | None:
            message = self.latest.get(key)
            return None if message is None else (message.size, message.id in self.kept)

        return self.held.full(entry, stored)

    def replace(self, key: str, message: Message, *, kept: bool) -> None:
        """Store the next message in the place of the one of its key."""
        before = self.latest.pop(key, None)
        if before is not None:
            del self.messages[self.position_after(before.id) - 1]
            del self.named[before.id]
            self.held.replaced(before.size, kept=before.id in self.kept)
            self.kept.discard(before.id)
            if before.id == self.held.oldest:
                loose = (one.id for one in self.messages if one.id not in self.kept)
                self.held.oldest = next(loose, 0)
        self.messages.append(message)
        self.latest[key], self.named[message.id] = message, key
        if kept:
            self.kept.add(message.id)
            self.held.keep(message.id, message.size)
        else:
            self.held.add(message.id, 1, message.size)


@implementer(IReplayLog)
class InMemoryReplayLog:
    """Messages of all topics, bounded by the topics' lifecycles.

    :param clock: says when the log began, by unix time.
    """

    everything = True
    keyed = True

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._follower: ILogFollower | None = None
        self._running = False
        self._begun = False
        self.head = 0
        self._removed = 0
        self._topics: dict[str, _Kept] = {}
        self._due: list[tuple[int, str]] = []
        self._watched = Watched()
        self._ages = Ages()

    @property
    def available(self) -> bool:
        """See `IReplayLog`."""
        return self._running

    def start(self, follower: ILogFollower | None = None) -> Deferred[None]:
        """See `IReplayLog`.  A second start goes on with what the first one held."""
        self._follower = follower
        now_us = int(self._clock.seconds() * 1_000_000)
        if not self._begun:
            self.head = self._removed = now_us
            self._begun = True
        self._watched.opened_us = now_us
        self._running = True
        return succeed(None)

    def stop(self) -> Deferred[None]:
        """See `IReplayLog`."""
        self._running = False
        return succeed(None)

    def follow(self, topic: Topic) -> Deferred[None]:
        """See `IReplayLog`."""
        return succeed(None)

    def unfollow(self, key: str) -> None:
        """See `IReplayLog`."""

    def newest(self) -> Deferred[int]:
        """See `IReplayLog`."""
        return self._answer(lambda: self.head)

    def append(self, entries: Sequence[Append], now_us: int) -> Deferred[list[Appended]]:
        """See `IReplayLog`."""
        return self._answer(lambda: self._append_and_report(entries, now_us))

    def read(self, topic: Topic, after: int, limit: int, max_bytes: int) -> Deferred[Page]:
        """See `IReplayLog`."""
        return self._answer(lambda: self._read(topic, after, limit, max_bytes))

    def sweep(self, now_us: int, in_use: Collection[str]) -> Deferred[bool]:
        """See `IReplayLog`."""
        return self._answer(lambda: self._sweep(now_us, in_use))

    def stats(self) -> Deferred[LogStats]:
        """See `IReplayLog`."""
        return self._answer(
            lambda: LogStats(
                topics=len(self._topics),
                messages=sum(len(kept.messages) for kept in self._topics.values()),
                bytes=sum(kept.held.bytes + kept.held.kept_bytes for kept in self._topics.values()),
            )
        )

    def _answer(self, work: Callable[[], T]) -> Deferred[T]:
        return succeed(work()) if self._running else fail(StoreUnavailable())

    def _append_and_report(self, entries: Sequence[Append], now_us: int) -> list[Appended]:
        appended = self._append(entries, now_us)
        if self._follower is not None:
            self._follower.reported(Report.of(self.head, entries, appended))
        return appended

    def _append(self, entries: Sequence[Append], now_us: int) -> list[Appended]:
        touched: dict[str, _Kept] = {}
        appended = []
        for entry in entries:
            kept = self._topics.get(entry.topic.key)
            if entry.after is not None and kept is not None and kept.held.newest > entry.after:
                appended.append(Appended(()))
                continue
            if entry.max_kept and (kept or _Kept(Held(entry.lifecycle, 0))).full(entry):
                appended.append(Appended((), full=True))
                continue
            if kept is None:
                if not entry.drafts:
                    appended.append(Appended(()))
                    continue
                kept = self._topics[entry.topic.key] = _Kept(Held(entry.lifecycle, self._removed))
            kept.held.lifecycle = entry.lifecycle
            kept.held.active_us = now_us
            self._watched.told(entry.lifecycle.inactivity_ttl_ms)
            appended.append(self._store(kept, entry, now_us))
            touched[entry.topic.key] = kept
        # Only now, so that a key repeated within the batch finds its first answer.
        for key, kept in touched.items():
            if kept.held.too_large:
                kept.remove(None, APPEND_MESSAGES)
            stored_us = min(kept.held.oldest, now_us)
            self._examine(key, kept, due_at(kept.held, self._watched.last(key), stored_us))
        return appended

    def _store(self, kept: _Kept, entry: Append, now_us: int) -> Appended:
        if entry.idempotency_key is not None and entry.idempotency_key in kept.keys:
            first, count = kept.keys[entry.idempotency_key]
            start = kept.position_after(first - 1)
            return Appended(tuple(kept.messages[start : start + count]), repeated=True)
        first = max(self.head + 1, now_us)
        messages = tuple(
            [
                Message(entry.topic, number, draft.type, draft.data)
                for number, draft in enumerate(entry.drafts, first)
            ]
        )
        if messages and entry.numbered:
            messages = numbered(messages, kept.count)
            kept.count = messages[-1].place
        if entry.keys:
            for key, draft, message in zip(entry.keys, entry.drafts, messages, strict=True):
                kept.replace(key, message, kept=entry.kept and not draft.delete)
            self.head = messages[-1].id
        elif messages:
            kept.messages += messages
            kept.held.add(first, len(messages), entry.size)
            self.head = messages[-1].id
            if entry.idempotency_key is not None:
                kept.keys[entry.idempotency_key] = (first, len(messages))
        return Appended(messages)

    def _read(self, topic: Topic, after: int, limit: int, max_bytes: int) -> Page:
        kept = self._topics.get(topic.key)
        if kept is None:
            return Page((), False, self.head, self._removed)
        page: list[Message] = []
        start = len(kept.messages) - 1 if after == NEWEST else kept.position_after(after)
        for message in kept.messages[start : start + limit]:
            max_bytes -= message.size
            if page and max_bytes < 0:
                break
            page.append(message)
        more = start + len(page) < len(kept.messages)
        return Page(tuple(page), more, self.head, kept.held.removed)

    def _examine(self, key: str, kept: _Kept, at_us: int) -> None:
        """Let a sweep at `at_us` look at this topic, unless an earlier one will.

        A moment that has moved on since is found out when it comes, so a topic
        stands in the heap about once, however often it is published to.
        """
        if kept.due_us is None or at_us < kept.due_us:
            kept.due_us = at_us
            heappush(self._due, (at_us, key))

    def _sweep(self, now_us: int, in_use: Collection[str]) -> bool:
        self._watched.see(in_use, now_us)
        if self._ages.look(self.head, now_us):
            for topic, held in self._topics.items():
                self._examine(topic, held, now_us)
        room = STEP_MESSAGES
        for _ in range(STEP_TOPICS):
            if room <= 0 or not self._due or self._due[0][0] > now_us:
                break
            due_us, key = heappop(self._due)
            kept = self._topics.get(key)
            if kept is not None and kept.due_us == due_us:
                kept.due_us = None
                room -= self._sweep_topic(key, kept, now_us, key in in_use, room)
        return bool(self._due) and self._due[0][0] <= now_us

    def _sweep_topic(self, key: str, kept: _Kept, now_us: int, in_use: bool, room: int) -> int:
        held = kept.held
        watched_us, in_use_us = min(self._watched.last(key), now_us), now_us if in_use else 0
        held.active_us = min(held.active_us, now_us)
        dropped_us = drop_at(held, watched_us, in_use_us)
        drop = dropped_us is not None and dropped_us <= now_us
        gone = kept.remove(now_us, room, everything=drop, ages=self._ages)
        if drop and not held.count:
            self._removed = max(self._removed, held.head)
            del self._topics[key]
        else:
            stored_us = self._ages.stored_by(held.oldest)
            self._examine(key, kept, due_at(held, watched_us, stored_us, in_use_us))
        return gone
