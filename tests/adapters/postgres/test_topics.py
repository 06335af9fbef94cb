"""The topics that a node follows, where the store cannot be asked for them."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.log_condition import Condition
from takotwist.adapters.postgres.errors import Kind, Trouble
from takotwist.adapters.postgres.topics import FollowedTopics
from takotwist.adapters.postgres.values import int8s
from takotwist.errors import StoreUnavailable
from tests.contracts.replay_log import KITCHEN, LOBBY


class Away:
    """In the place of an `Engine` that is away."""

    seen = 0

    def __init__(self) -> None:
        self.condition = Condition("an engine")

    def function(self, name: str, parameters: int) -> str:
        """See `Engine`."""
        return name

    async def call(self, *asked: object) -> Any:
        """See `Engine`."""
        raise Trouble(Kind.UNREACHABLE, "nobody there")


class Slow:
    """In the place of an `Engine` that answers when the test says so."""

    seen = 0

    def __init__(self) -> None:
        self.answer: Deferred[Any] = Deferred()

    def function(self, name: str, parameters: int) -> str:
        """See `Engine`."""
        return name

    def call(self, *asked: object) -> Deferred[Any]:
        """See `Engine`."""
        return self.answer


class Rows:
    """In the place of a result: a row of the store for each topic."""

    def __init__(self, *rows: int) -> None:
        self._values = int8s(list(rows)), int8s([0] * len(rows))

    def get_value(self, row: int, column: int) -> bytes | None:
        """See `PGresult`."""
        return self._values[column]


class SlowTests(SynchronousTestCase):
    """`FollowedTopics` whose questions are overtaken by notifications."""

    def test_made_again_meanwhile(self) -> None:
        """An answer from before the topic was dropped and made again does not hide its new row."""
        for meanwhile, row in ((0, 7), (9, 9)):
            clock, engine = Clock(), Slow()
            topics = FollowedTopics(clock, engine, lambda: None, "node")
            following = topics.follow(LOBBY)
            clock.advance(0)
            one = topics.get(LOBBY.key)
            assert one is not None
            if meanwhile:
                topics.place(one, meanwhile)
            engine.answer.callback(Rows(7))
            self.successResultOf(following)
            self.assertEqual((one.row, topics.at(row)), (row, one))


class AwayTests(SynchronousTestCase):
    """`FollowedTopics`."""

    def test_follow_that_fails(self) -> None:
        """What could not be followed is not followed: nothing of it is left here."""
        clock, engine = Clock(), Away()
        topics = FollowedTopics(clock, engine, lambda: None, "node")
        asked = [topics.follow(LOBBY), topics.follow(KITCHEN)]
        clock.advance(0)
        for one in asked:
            self.failureResultOf(one, StoreUnavailable)
        self.assertEqual(len(topics), 0)
        again = topics.follow(LOBBY)
        self.assertIn(LOBBY.key, topics)
        clock.advance(0)
        self.failureResultOf(again, StoreUnavailable)
