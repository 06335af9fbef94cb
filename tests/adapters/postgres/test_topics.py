"""The topics that a node follows, where the store cannot be asked for them."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.log_condition import Condition
from takotwist.adapters.postgres.errors import Kind, Trouble
from takotwist.adapters.postgres.topics import FollowedTopics
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
