"""Pages of the log: shared reads for subscribers, and history."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.log import Page
from takotwist.core.metrics import Metrics
from takotwist.core.tail import Tails
from takotwist.core.topic import EVERYTHING, NEWEST, Message, Topic
from takotwist.errors import CursorInvalid, ReplayTooOld, StoreUnavailable
from takotwist.flow.followed import FollowedTopics
from takotwist.flow.read_log import (
    MAX_BYTES,
    PAGE_BYTES,
    PAGE_MESSAGES,
    History,
    ReadPage,
    SharedReads,
    read_history,
)
from takotwist.ports import IReplayLog

LOBBY, KITCHEN = (Topic.of("chat", {"roomId": room}) for room in ("lobby", "kitchen"))
WINDOW_US = 60_000_000


class _Log:
    """Is asked, and answers when the test says so."""

    def __init__(self) -> None:
        self.head = 10
        self.everything = True
        self.asked: list[tuple[str, int, int, int]] = []
        self.answers: list[Deferred[Page]] = []

    def read(self, topic: Topic, after: int, limit: int, max_bytes: int) -> Deferred[Page]:
        """See `IReplayLog`."""
        self.asked.append((topic.key, after, limit, max_bytes))
        self.answers.append(Deferred())
        return self.answers[-1]

    def page(self, *ids: int, more: bool = False, head: int = 10, removed: int = 0) -> None:
        """Answer the oldest question."""
        messages = tuple(Message(LOBBY, id, "m", b"1") for id in ids)
        self.answers.pop(0).callback(Page(messages, more, head, removed))


class _Followed:
    """Topics that are reported; waits as it is told."""

    def __init__(self) -> None:
        self.keys = {LOBBY.key}
        self.reached: list[tuple[int, Deferred[None]]] = []

    def has(self, key: str) -> bool:
        """See `FollowedTopics`."""
        return key in self.keys

    def reach(self, id: int) -> Deferred[None]:
        """See `FollowedTopics`."""
        self.reached.append((id, Deferred()))
        return self.reached[-1][1]


class SharedReadsTests(SynchronousTestCase):
    """Pages for subscribers."""

    def setUp(self) -> None:
        self.log, self.followed, self.tails = _Log(), _Followed(), Tails()
        self.metrics = Metrics()
        self.reads = SharedReads(
            cast(IReplayLog, self.log),
            cast(FollowedTopics, self.followed),
            self.tails,
            self.metrics,
        )

    def after(self, position: int, topic: Topic = LOBBY) -> Deferred[ReadPage]:
        return self.reads.after(topic, position, WINDOW_US)

    def ids(self, read: Deferred[ReadPage]) -> list[int]:
        """Of a page's messages, and of what is to be sent of them."""
        page = self.successResultOf(read)
        self.assertEqual([one.id for one in page.items], [one.id for one in page.page.messages])
        return [one.id for one in page.items]

    def known(self, position: int, topic: Topic = LOBBY) -> list[int] | None:
        """What the topic's tail has after a position."""
        items = self.tails.after(topic.key, position, 1000, 0)
        return None if items is None else [one.id for one in items]

    def test_shared(self) -> None:
        """Who asks the same while it is being read is given the same page, encoded once."""
        first, second = self.after(3), self.after(3)
        self.assertEqual(self.log.asked, [(LOBBY.key, 3, PAGE_MESSAGES, PAGE_BYTES)])
        self.assertEqual(self.metrics.replay_reads, 1)
        self.log.page(4, 5)
        self.assertIs(self.successResultOf(first).items, self.successResultOf(second).items)

    def test_not_shared(self) -> None:
        """Another cursor or another topic is another read; and so is what is asked afterwards."""
        for read in (self.after(3), self.after(4), self.after(3, KITCHEN)):
            self.assertNoResult(read)
        self.assertEqual(
            [one[:2] for one in self.log.asked],
            [(LOBBY.key, 3), (LOBBY.key, 4), (KITCHEN.key, 3)],
        )
        for _ in range(3):
            self.log.page()
        late = self.after(3)
        self.assertEqual(len(self.log.asked), 4)
        self.log.page(6)
        self.assertEqual(self.ids(late), [6])

    def test_asked_from_an_answer(self) -> None:
        """Who reads on in the turn of an answer is not given that answer again."""
        again: list[Deferred[ReadPage]] = []
        self.after(3).addCallback(lambda _: again.append(self.after(3)))
        self.log.page(4)
        self.assertNoResult(again[0])
        self.log.page(4, 5)
        self.assertEqual(self.ids(again[0]), [4, 5])

    def test_failed(self) -> None:
        """All who wait are told, and the next one has it read again."""
        first, second = self.after(3), self.after(3)
        self.log.answers.pop(0).errback(StoreUnavailable())
        for one in (first, second):
            self.failureResultOf(one, StoreUnavailable)
        again = self.after(3)
        self.log.page(4)
        self.assertEqual(self.ids(again), [4])

    def test_one_leaves(self) -> None:
        """Who leaves takes the read from nobody, whether it was the first to ask or not."""
        reads = [self.after(3) for _ in range(3)]
        for at in (0, 2):
            reads[at].cancel()
            self.failureResultOf(reads[at], CancelledError)
        self.log.page(4)
        self.assertEqual(self.ids(reads[1]), [4])

    def test_cut_at_head(self) -> None:
        """What is stored and was not fanned out yet is not in a page: it comes live."""
        read = self.after(3)
        self.log.page(9, 10, 11, 12, head=12)
        page = self.successResultOf(read)
        self.assertEqual([one.id for one in page.items], [9, 10])
        self.assertEqual([one.id for one in page.page.messages], [9, 10])
        self.assertEqual((page.page.head, page.page.more), (10, False))

    def test_primes_tail(self) -> None:
        """The next who come are served from memory: the page was all that there is."""
        self.after(3)
        self.log.page(4, 5)
        self.assertEqual((self.known(3), self.known(4)), ([4, 5], [5]))
        self.assertIsNone(self.known(2))

    def test_primes_behind_what_was_removed(self) -> None:
        """A tail never says that there was nothing where something was removed."""
        self.after(EVERYTHING)
        self.log.page(8, removed=6)
        self.assertEqual((self.known(6), self.known(5)), ([8], None))

    def test_primes_newest(self) -> None:
        """Of a read of the newest alone the tail begins right before that."""
        self.after(NEWEST)
        self.log.page(8)
        self.assertEqual((self.known(7), self.known(6)), ([8], None))

    def test_primes_nothing(self) -> None:
        """A page that may not be all there is makes no tail."""
        self.after(3)
        self.log.page(4, 5, more=True)
        self.assertIsNone(self.known(3))
        # A message that is reported between its snapshot and now would be missing.
        self.after(3)
        self.log.head = 12
        self.log.page(4, 5, head=11)
        self.assertIsNone(self.known(3))
        self.log.head = 10
        self.after(3, KITCHEN)
        self.log.page(4)
        self.assertIsNone(self.known(3, KITCHEN))


class HistoryTests(SynchronousTestCase):
    """A page of a topic's window."""

    def setUp(self) -> None:
        self.log, self.followed = _Log(), _Followed()

    def read(self, after: int, limit: int = 10) -> Deferred[History]:
        return ensureDeferred(
            read_history(
                cast(IReplayLog, self.log),
                cast(FollowedTopics, self.followed),
                LOBBY,
                after,
                limit,
            )
        )

    def found(self, read: Deferred[History]) -> tuple[list[int], int, bool]:
        history = self.successResultOf(read)
        return [one.id for one in history.messages], history.cursor, history.more

    def test_page(self) -> None:
        """The next page begins behind its last message."""
        read = self.read(3, 2)
        self.assertEqual(self.log.asked, [(LOBBY.key, 3, 2, MAX_BYTES)])
        self.log.page(4, 6, more=True)
        self.assertEqual(self.found(read), ([4, 6], 6, True))

    def test_empty(self) -> None:
        """Where there is nothing, the next one begins at the same place, or at the end of all."""
        read = self.read(7)
        self.log.page()
        self.assertEqual(self.found(read), ([], 7, False))
        read = self.read(EVERYTHING)
        self.log.page()
        self.assertEqual(self.found(read), ([], 10, False))

    def test_cut_at_head(self) -> None:
        """It goes no further than what has been fanned out, and says that there is no more."""
        read = self.read(3)
        self.log.page(9, 11, more=True, head=11)
        self.assertEqual(self.found(read), ([9], 9, False))

    def test_refused(self) -> None:
        """A cursor from before the window, or from nowhere; for the whole window neither."""
        for after, error in ((5, ReplayTooOld), (11, CursorInvalid)):
            read = self.read(after)
            self.log.page(8, removed=6)
            self.failureResultOf(read, error)
        read = self.read(EVERYTHING)
        self.log.page(8, removed=6)
        self.assertEqual(self.found(read), ([8], 8, False))

    def test_store_away(self) -> None:
        read = self.read(3)
        self.log.answers.pop(0).errback(StoreUnavailable())
        self.failureResultOf(read, StoreUnavailable)

    def test_of_another_node(self) -> None:
        """What another node has told its clients is waited for, and is then there."""
        self.log.everything = False
        read = self.read(3)
        self.log.page(9, 12, head=12)
        [(id, reaching)] = self.followed.reached
        self.assertEqual(id, 12)
        self.assertNoResult(read)
        self.log.head = 12
        reaching.callback(None)
        self.assertEqual(self.found(read), ([9, 12], 12, False))

    def test_alone(self) -> None:
        """Where the store has one node there is nobody to wait for."""
        read: Deferred[Any] = self.read(3)
        self.log.page(9, 12, head=12)
        self.assertEqual(self.followed.reached, [])
        self.assertEqual(self.found(read), ([9], 9, False))
