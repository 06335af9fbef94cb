"""The topics that this node follows in the log, and how far it has come.

A log that several nodes share reports only the topics that a node has asked for.  Rules: a
topic is followed before its first subscriber joins the fan-out, so nothing can be reported
in between unseen; and a topic that is no longer followed has no tail, which would answer
"nothing newer" for ever.

The log of a process that has its store alone reports everything, and nothing here has
anything to do.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from takotwist.core.deadlines import Deadline, Deadlines
from takotwist.core.tail import Tails
from takotwist.core.topic import Topic
from takotwist.errors import CursorInvalid, StoreUnavailable
from takotwist.ports import IReplayLog

#: Seconds for which a topic is followed after its last subscriber has left: who reloads a
#: page is continued from the tail.
LINGER_SECONDS = 10.0

#: Most topics that are followed for nobody.
MAX_LINGERING = 1_000

#: Seconds for which a cursor that the store knows, and this node not yet, is waited for.
CATCH_UP_SECONDS = 5.0


@attrs.define(slots=True, eq=False)
class _Followed:
    """One topic.

    :ivar users: its subscriptions.
    :ivar followed: the log reports it.
    :ivar waiting: who waits for the log's answer.
    """

    users: int = 0
    followed: bool = False
    waiting: list[Deferred[None]] = attrs.field(factory=list)
    lingering: Deadline | None = None


@attrs.define(slots=True, eq=False)
class FollowedTopics:
    """Topics by their subscribers here.

    :ivar seconds: the clock of `deadlines`.
    """

    log: IReplayLog
    tails: Tails
    deadlines: Deadlines
    seconds: Callable[[], float]
    _topics: dict[str, _Followed] = attrs.field(factory=dict, init=False)
    _lingering: dict[str, None] = attrs.field(factory=dict, init=False)
    #: Who waits for the log's head to reach an id, the lowest first.
    behind: list[tuple[int, int, Deferred[None], Deadline]] = attrs.field(factory=list, init=False)
    _names: count[int] = attrs.field(factory=count, init=False)
    #: Who waits for the next question; and whether one is under way.
    _asking: list[Deferred[int]] = attrs.field(factory=list, init=False)
    _asked: bool = attrs.field(default=False, init=False)

    def enter(self, topic: Topic) -> Deferred[None] | None:
        """One more subscriber of `topic`.

        :return: fires when the topic is followed; `None` where it is already.
            `StoreUnavailable`: it cannot be now.  Follow with `leave` in each case.
        """
        if self.log.everything:
            return None
        one = self._topics.get(topic.key)
        if one is None:
            one = self._topics[topic.key] = _Followed()
        one.users += 1
        if one.lingering is not None:
            one.lingering.cancel()
            one.lingering = None
            del self._lingering[topic.key]
        if one.followed:
            return None
        mine: Deferred[None] = Deferred()
        one.waiting.append(mine)
        if len(one.waiting) == 1:
            self.log.follow(topic).addBoth(self._answered, topic.key, one)
        return mine

    def leave(self, topic: Topic) -> None:
        """A subscriber that entered has gone."""
        one = self._topics.get(topic.key)
        if one is not None:
            one.users -= 1
            self._idle(topic.key, one)

    def has(self, key: str) -> bool:
        """`True` while messages of the topic are reported."""
        if self.log.everything:
            return True
        one = self._topics.get(key)
        return one is not None and one.followed

    def __len__(self) -> int:
        return len(self._topics)

    async def reach(self, id: int) -> None:
        """Wait until this node has been told of everything up to `id`.

        :raises CursorInvalid: the store never gave it out.
        :raises StoreUnavailable: this node is behind, and did not come so far in time.
        """
        if id <= self.log.head:
            return
        # Also where this process has its store alone: it may not have been opened yet.
        if id > await self._newest():
            raise CursorInvalid("The cursor is newer than any message of this server.")
        if id <= self.log.head:
            return
        reached: Deferred[None] = Deferred()
        late = self.deadlines.at(
            self.seconds() + CATCH_UP_SECONDS, lambda: _fail(reached, StoreUnavailable())
        )
        heappush(self.behind, (id, next(self._names), reached, late))
        await reached

    def risen(self) -> None:
        """The log's head has risen, and what it covers was fanned out."""
        while self.behind and self.behind[0][0] <= self.log.head:
            _, _, reached, late = heappop(self.behind)
            late.cancel()
            if not reached.called:
                reached.callback(None)

    def _newest(self) -> Deferred[int]:
        """The store's newest id, asked for once for all who ask meanwhile.

        A question that is under way already is not theirs: its answer may be older than the
        id that they were given, by another node.
        """
        mine: Deferred[int] = Deferred()
        self._asking.append(mine)
        if not self._asked:
            self._ask()
        return mine

    def _ask(self) -> None:
        asking, self._asking = self._asking, []
        self._asked = True

        def answer(result: int | Failure) -> None:
            self._asked = False
            for one in asking:
                # A failure is raised as well.
                one.callback(result)
            if self._asking and not self._asked:
                self._ask()

        self.log.newest().addBoth(answer)

    def _answered(self, failure: Failure | None, key: str, one: _Followed) -> None:
        one.followed = failure is None
        # Where it failed whoever comes next asks anew.
        waiting, one.waiting = one.waiting, []
        for each in waiting:
            each.callback(failure)
        self._idle(key, one)

    def _idle(self, key: str, one: _Followed) -> None:
        """Let go of a topic that nobody uses, now or in a while."""
        if one.users or one.waiting or one.lingering is not None:
            return
        if not one.followed:
            self._topics.pop(key, None)
            return
        when = self.seconds() + LINGER_SECONDS
        one.lingering = self.deadlines.at(when, lambda: self._forget(key))
        self._lingering[key] = None
        if len(self._lingering) > MAX_LINGERING:
            self._forget(next(iter(self._lingering)))

    def _forget(self, key: str) -> None:
        one = self._topics.pop(key)
        self._lingering.pop(key, None)
        if one.lingering is not None:
            one.lingering.cancel()
        self.log.unfollow(key)
        self.tails.forget(key)


def _fail(waiting: Deferred[None], error: Exception) -> None:
    if not waiting.called:
        waiting.errback(Failure(error))
