"""Pages of the replay log: for subscribers, read once for all who ask the same; for history.

After a restart ten thousand clients resume at once, most of them at few cursors.
Rule: a page never shows more than what has been fanned out, so a subscriber that is
given a page is not given the same messages live again.

History (protocol, section 8) is the messages of a topic's window, a page at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from takotwist.codecs.wire_forms import Encoded
from takotwist.core.log import Page
from takotwist.core.metrics import Metrics
from takotwist.core.tail import Tails
from takotwist.core.topic import EVERYTHING, NEWEST, Message, Topic
from takotwist.flow.followed import FollowedTopics
from takotwist.ports import IReplayLog

#: Most messages, and about most bytes, in one page for subscribers.
PAGE_MESSAGES = 512
PAGE_BYTES = 64 * 1024

#: Most messages in one page of history, and how many where the request does not say.
MAX_LIMIT = 1000
DEFAULT_LIMIT = 100

#: About how many bytes one page of history may have.
MAX_BYTES = 4 * 2**20


@attrs.frozen(slots=True, eq=False)
class ReadPage:
    """A page with its messages ready to be framed.

    :ivar page: as the log gave it, cut at the log's head.
    """

    page: Page
    items: Sequence[Encoded]


@attrs.define(slots=True)
class SharedReads:
    """Reads pages, and shares a read that is under way."""

    log: IReplayLog
    followed: FollowedTopics
    tails: Tails
    metrics: Metrics
    _under_way: dict[tuple[str, int], list[Deferred[ReadPage]]] = attrs.field(
        factory=dict, init=False
    )

    def after(self, topic: Topic, position: int, window_us: int) -> Deferred[ReadPage]:
        """The first page of `topic` after `position`, or its newest message after `NEWEST`.

        :param window_us: the topic's window, for its tail.
        :raises StoreUnavailable: the log cannot be read.
        """
        key = (topic.key, position)
        waiting = self._under_way.get(key)
        mine: Deferred[ReadPage] = Deferred()
        if waiting is not None:
            waiting.append(mine)
            return mine
        self._under_way[key] = [mine]
        self.metrics.replay_reads += 1
        reading = self.log.read(topic, position, PAGE_MESSAGES, PAGE_BYTES)
        reading.addCallback(self._read, topic, position, window_us)
        reading.addCallbacks(
            lambda read: self._answer(key, lambda one: one.callback(read)),
            lambda failure: self._failed(key, failure),
        )
        return mine

    def _read(self, page: Page, topic: Topic, position: int, window_us: int) -> ReadPage:
        head = self.log.head
        # What lies past our head will be fanned out in a moment.
        page = page.up_to(head)
        items = [Encoded(message) for message in page.messages]
        if not page.more and page.head >= head and self.followed.has(topic.key):
            # Nothing was reported since the snapshot, so this is the whole tail.
            if position == NEWEST:
                position = items[0].id - 1 if items else head
            self.tails.prime(topic.key, max(position, page.removed), items, window_us)
        return ReadPage(page, items)

    def _failed(self, key: tuple[str, int], failure: Failure) -> None:
        self._answer(key, lambda one: one.errback(failure))

    def _answer(self, key: tuple[str, int], give: Callable[[Deferred[ReadPage]], None]) -> None:
        for one in self._under_way.pop(key):
            give(one)


@attrs.frozen(slots=True)
class History:
    """One answer.

    :ivar cursor: where the next page begins.
    :ivar more: whether there is one now.
    """

    messages: tuple[Message, ...]
    cursor: int
    more: bool


async def read_history(
    log: IReplayLog, followed: FollowedTopics, topic: Topic, after: int, limit: int
) -> History:
    """The messages of `topic` after a cursor.

    :param after: `EVERYTHING` for the whole window.
    :param limit: 1 to `MAX_LIMIT`.
    :raises ReplayTooOld: the cursor is. :raises CursorInvalid: it was never given out.
    :raises StoreUnavailable: the log cannot be read.
    """
    page = await log.read(topic, after, limit, MAX_BYTES)
    if not log.everything:
        # A client that was told of it by another node finds it here.
        await followed.reach(page.head)
    page = page.up_to(log.head)
    page.judge(after)
    nothing_after = page.head if after == EVERYTHING else after
    cursor = page.messages[-1].id if page.messages else nothing_after
    return History(page.messages, cursor, page.more)
