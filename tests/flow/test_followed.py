"""How far this node has come in the log: what a cursor of another node is compared with."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.deadlines import Deadlines
from takotwist.core.tail import Tails
from takotwist.errors import CursorInvalid, StoreUnavailable
from takotwist.flow.followed import FollowedTopics
from takotwist.ports import IReplayLog


class _Log:
    """Is asked, and answers when the test says so."""

    everything = False

    def __init__(self) -> None:
        self.head = 10
        self.asked: list[Deferred[int]] = []

    def newest(self) -> Deferred[int]:
        self.asked.append(Deferred())
        return self.asked[-1]


class ReachTests(SynchronousTestCase):
    """`FollowedTopics.reach`."""

    def setUp(self) -> None:
        self.log = _Log()
        clock = Clock()
        self.followed = FollowedTopics(
            cast(IReplayLog, self.log), Tails(), Deadlines(), clock.seconds
        )

    def reach(self, id: int) -> Deferred[Any]:
        return ensureDeferred(self.followed.reach(id))

    def test_an_older_question_is_not_ours(self) -> None:
        """An id that another node gave out while the store was asked already is not compared with
        the answer to that: it may be older."""
        first = self.reach(11)
        later, as_late = self.reach(12), self.reach(13)
        self.assertEqual(len(self.log.asked), 1)
        self.log.asked[0].callback(11)
        self.assertNoResult(later)
        # One question for both.
        self.assertEqual(len(self.log.asked), 2)
        self.log.asked[1].callback(12)
        self.failureResultOf(as_late, CursorInvalid)
        for waiting in (first, later):
            self.assertNoResult(waiting)
        self.log.head = 12
        self.followed.risen()
        for waiting in (first, later):
            self.assertIsNone(self.successResultOf(waiting))

    def test_no_answer(self) -> None:
        """Where the store cannot be asked nobody is told that a cursor is none, and who asks
        meanwhile asks anew."""
        first, later = self.reach(11), self.reach(11)
        self.log.asked[0].errback(StoreUnavailable())
        self.failureResultOf(first, StoreUnavailable)
        self.log.head = 11
        self.log.asked[1].callback(11)
        self.assertIsNone(self.successResultOf(later))

    def test_store_of_our_own(self) -> None:
        """A process that has its store alone asks as well: it may not have been opened yet."""
        self.log.everything, self.log.head = True, 0
        waiting, none = self.reach(11), self.reach(12)
        self.log.asked[0].errback(StoreUnavailable())
        self.failureResultOf(waiting, StoreUnavailable)
        self.log.head = 11
        self.log.asked[1].callback(11)
        self.failureResultOf(none, CursorInvalid)
