"""Publishing over HTTP."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from takotwist import define_channel
from takotwist.adapters.memory.log import InMemoryReplayLog
from takotwist.server.config import Config
from takotwist.server.config.sections import Publish
from takotwist.testing.manual_log import ManualLog
from takotwist.testing.world import BEGINNING, World, WorldClock

KEY = "a-publish-key-of-these-tests"
BEARER = {"Authorization": f"Bearer {KEY}"}
CONFIG = Config(publish=Publish(keys=("another-publish-key-0123", KEY)))
PATH = "/channels/news"


def msg(data: Any = "hi") -> dict[str, Any]:
    return {"type": "msg", "data": data}


class PublishTests(SynchronousTestCase):
    """A channel without params."""

    def setUp(self) -> None:
        clock = WorldClock()
        clock.rightNow = BEGINNING
        self.log = ManualLog(InMemoryReplayLog(clock))
        self.world = World(define_channel("news"), config=CONFIG, log=self.log)

    def test_answered_after_the_commit(self) -> None:
        """Nobody is told of a message before it is stored: not its publisher, not a reader."""
        reader = self.world.subscribe(PATH)
        publish = self.world.request("POST", PATH, BEARER, msg())
        self.assertFalse(publish.answered)
        self.assertEqual(reader.messages, [])
        self.log.settle()
        self.assertEqual(reader.messages, [publish.json])

    def test_store_unavailable(self) -> None:
        """A log that cannot be written is 503, and readers stay; a later publish works."""
        reader = self.world.subscribe(PATH)
        self.log.broken = True
        publish = self.world.request("POST", PATH, BEARER, msg())
        self.log.settle()
        self.assertEqual((publish.status, publish.code), (503, "store-unavailable"))
        self.assertIn("retry-after", publish.headers)
        health = self.world.get("/_tako/health").json
        self.assertEqual((health["ready"], health["store"]), (True, "unavailable"))
        self.log.broken = False
        publish = self.world.request("POST", PATH, BEARER, msg())
        self.log.settle()
        self.assertEqual(reader.messages, [publish.json])

    def test_publisher_leaves(self) -> None:
        """A publisher that leaves before the answer has published all the same."""
        reader = self.world.subscribe(PATH)
        self.world.request("POST", PATH, BEARER, msg()).leave()
        self.log.settle()
        self.assertEqual(len(reader.messages), 1)

    def test_published_while_stopping(self) -> None:
        """What was taken is stored; what comes later is refused."""
        taken = self.world.request("POST", PATH, BEARER, msg())
        stopping: Deferred[None] = self.world.parts.publishing.stop()
        self.assertNoResult(stopping)
        late = self.world.request("POST", PATH, BEARER, msg())
        self.assertEqual((late.status, late.code), (503, "shutting-down"))
        self.log.settle()
        self.assertEqual(taken.status, 200)
        self.successResultOf(stopping)
