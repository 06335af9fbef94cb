"""The topics that a node follows, and their rows in the store.

A topic has a row from its first message on.  Until then, and after it was dropped, a node knows
it by the mark of its key, with which new rows are notified.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import attrs
from twisted.internet.defer import Deferred, ensureDeferred, fail
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from takotwist.adapters.postgres.engine import Engine
from takotwist.adapters.postgres.entries import digest_of
from takotwist.adapters.postgres.errors import Trouble
from takotwist.adapters.postgres.link import Link
from takotwist.adapters.postgres.ranges import Range, mark_of
from takotwist.adapters.postgres.values import byteas, int8, int8s, read_int8s
from takotwist.core.topic import Topic
from takotwist.errors import StoreUnavailable
from takotwist.interfaces import IReactor

#: Topics that are looked up in one query.
PAGE_TOPICS = 1000


@attrs.define(slots=True, eq=False)
class FollowedTopic:
    """One topic that this node follows.

    :ivar row: in the table; 0 while it has none.
    :ivar leased: the store knows that it has subscribers here.
    """

    topic: Topic
    mark: str
    row: int = 0
    leased: bool = False


class FollowedTopics:
    """See the module.

    :param readers: gives a connection.
    :param node: the name of this one.
    """

    def __init__(
        self, reactor: IReactor, engine: Engine, readers: Callable[[], Link], node: str
    ) -> None:
        self._reactor = reactor
        self._engine = engine
        self._readers = readers
        self._node = node
        self._topics: dict[str, FollowedTopic] = {}
        self._rows: dict[int, FollowedTopic] = {}
        #: Mark of a key -> how many followed keys have it.
        self._marks: dict[str, int] = {}
        self._entering: dict[str, Deferred[None]] = {}
        self._left: set[int] = set()
        self._timer: IDelayedCall | None = None
        self._follow = engine.function("follow", 2)
        self._unfollow = engine.function("unfollow", 3)

    def stop(self) -> None:
        """Ask for nothing more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        entering, self._entering = self._entering, {}
        for one in entering.values():
            one.errback(StoreUnavailable())

    def __contains__(self, key: str) -> bool:
        return key in self._topics

    def __len__(self) -> int:
        return len(self._topics)

    def get(self, key: str) -> FollowedTopic | None:
        """The topic of `key`, where it is followed."""
        return self._topics.get(key)

    def at(self, row: int) -> FollowedTopic | None:
        """The topic in `row`, where it is followed."""
        return self._rows.get(row)

    def rows_of(self, one: Range) -> set[int]:
        """Rows of a range that are followed, or may be."""
        rows = set(one.rows & self._rows.keys())
        for mark, row in one.made:
            if mark in self._marks:
                rows.add(row)
        return rows

    def touches(self, one: Range) -> bool:
        """Tell whether there are any."""
        if not self._rows.keys().isdisjoint(one.rows):
            return True
        return bool(one.made) and any(mark in self._marks for mark, _ in one.made)

    def follow(self, topic: Topic) -> Deferred[None]:
        """See `IReplayLog`."""
        one = self._topics.get(topic.key)
        if one is None:
            one = self._topics[topic.key] = FollowedTopic(topic, mark_of(topic.key))
            self._marks[one.mark] = self._marks.get(one.mark, 0) + 1
        answer = self._entering.get(topic.key)
        if answer is not None:
            # Once is what callers do; who does it again waits for the same.
            return fail(StoreUnavailable())
        answer = self._entering[topic.key] = Deferred()
        self._soon()
        return answer

    def unfollow(self, key: str) -> None:
        """See `IReplayLog`."""
        one = self._topics.pop(key, None)
        if one is None:
            return
        self._marks[one.mark] -= 1
        if not self._marks[one.mark]:
            del self._marks[one.mark]
        if one.row and self._rows.get(one.row) is one:
            del self._rows[one.row]
        if one.leased:
            self._left.add(one.row)
            self._soon()

    def _soon(self) -> None:
        """Ask once for all topics that were asked for in this turn."""
        if self._timer is None:
            self._timer = self._reactor.callLater(0, self._tell_store)

    def _tell_store(self) -> None:
        self._timer = None
        left, self._left = sorted(self._left), set()
        if left:
            parameters = [int8(self._engine.seen), self._node.encode(), int8s(left)]
            # Where it fails they stay leased for as long as this node lives: kept for too long.
            leaving = self._engine.call(self._readers(), self._unfollow, parameters)
            ensureDeferred(leaving).addErrback(_forgive)
        entering, self._entering = self._entering, {}
        keys = list(entering)
        for at in range(0, len(keys), PAGE_TOPICS):
            some = {key: entering[key] for key in keys[at : at + PAGE_TOPICS]}
            ensureDeferred(self._enter(some))

    async def _enter(self, entering: dict[str, Deferred[None]]) -> None:
        try:
            await self.resolve([key for key in entering if key in self._topics])
        except Trouble as trouble:
            self._engine.condition.failed("read", trouble)
            for key, one in entering.items():
                # Nobody follows it, and nobody will say that it is followed no longer.
                self.unfollow(key)
                one.errback(StoreUnavailable())
            return
        for one in entering.values():
            one.callback(None)

    async def resolve(self, keys: Sequence[str]) -> None:
        """Find the rows of followed topics."""
        for at in range(0, len(keys), PAGE_TOPICS):
            some = keys[at : at + PAGE_TOPICS]
            known = {key: one.row for key in some if (one := self._topics.get(key)) is not None}
            result = await self._engine.call(
                self._readers(),
                self._follow,
                [self._node.encode(), byteas([digest_of(key) for key in some])],
            )
            rows = read_int8s(result.get_value(0, 0))
            leased = read_int8s(result.get_value(0, 1))
            for key, row, lease in zip(some, rows, leased, strict=True):
                one = self._topics.get(key)
                if one is None:
                    if lease:
                        # It was left meanwhile.
                        self._left.add(row)
                        self._soon()
                elif row and one.row in (row, known.get(key)):
                    # No row now may be one that was heard of since; so may another one, where the
                    # topic was dropped and made again before this answer came.
                    self.place(one, row)
                    one.leased = bool(lease)

    async def resolve_all(self) -> None:
        """Find all rows anew: they may be others."""
        self._rows.clear()
        for one in self._topics.values():
            one.row, one.leased = 0, False
        await self.resolve(list(self._topics))

    def place(self, one: FollowedTopic, row: int) -> None:
        """Take note of a topic's row."""
        if one.row != row:
            if self._rows.get(one.row) is one:
                del self._rows[one.row]
            one.row, one.leased = row, False
        self._rows[row] = one

    def renew_leases(self) -> None:
        """The store has forgotten this node: say anew what has subscribers here."""
        leased = [key for key, one in self._topics.items() if one.leased]
        if leased:
            ensureDeferred(self.resolve(leased)).addErrback(_forgive)

    def lease(self, keys: Collection[str]) -> None:
        """Tell the store that these topics, which have a ttl, have subscribers here."""
        if keys:
            ensureDeferred(self.resolve(list(keys))).addErrback(_forgive)


def _forgive(failure: Failure) -> None:
    failure.trap(Trouble)
