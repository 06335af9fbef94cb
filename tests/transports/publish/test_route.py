"""Publishing over HTTP, and the cache of parsed targets."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from takotwist import define_channel
from takotwist.adapters.memory.log import InMemoryReplayLog
from takotwist.core.channel import Registry
from takotwist.server.config import Config
from takotwist.server.config.sections import Publish
from takotwist.testing.manual_log import ManualLog
from takotwist.testing.world import BEGINNING, World, WorldClock
from takotwist.transports.publish import route
from takotwist.transports.publish.route import MAX_TARGET, PublishTargets

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


ROOM = {
    "type": "object",
    "properties": {"roomId": {"type": "string"}, "n": {"type": "integer"}},
    "required": ["roomId"],
}


class PublishTargetsTests(SynchronousTestCase):
    """A channel of rooms, published to below ``/channels/``."""

    def setUp(self) -> None:
        self.world = World(define_channel("chat", params=ROOM), define_channel("news"))
        self.targets = PublishTargets(self.world.parts.authorizing)
        self.targets.learn(b"/channels/chat", "chat")

    def key(self, target: bytes) -> str | None:
        asked = self.targets.get(target)
        return None if asked is None else asked.topic.key

    def test_read(self) -> None:
        """However a target is spelled, it is the topic that its params make; once read, too."""
        for _ in range(2):
            for target, key in (
                (b"/channels/chat?roomId=a", "chat?roomId=a"),
                (b"/channels/chat?n=010&roomId=a", "chat?n=10&roomId=a"),
                (b"/channels/chat?roomId=%C3%BC+b", "chat?roomId=%C3%BC+b"),
                (b"/channels/news", "news"),
            ):
                self.assertEqual(self.key(target), key)
        self.assertEqual(len(self.targets), 4)

    def test_left_to_the_slow_path(self) -> None:
        """What is wrong, odd, or not below a path that was published to, is not answered here."""
        for target in (
            b"/channels/chat",
            b"/channels/chat?roomId=a&roomId=b",
            b"/channels/chat?roomId=a&typo=1",
            b"/channels/chat?roomId=a&n=x",
            b"/channels/chat?roomId=a&stale=reset",
            b"/channels/chat?roomId=a&access_token=x",
            b"/channels/chat?roomId=%FF",
            b"/channels/chat?roomId=a b",
            b"/channels/chat?roomId=\xc3\xbc",
            b"/channels/chat/history?roomId=a",
            b"/channels/ch%61t?roomId=a",
            b"/channels/none?roomId=a",
            b"/channels/",
            b"/_tako/channels/chat?roomId=a",
            b"http://a/channels/chat?roomId=a",
            b"chat?roomId=a",
            b"",
        ):
            self.assertIsNone(self.key(target), target)
        self.assertEqual(len(self.targets), 0)

    def test_new_definitions(self) -> None:
        """A target is read again when its channel is another one."""
        self.assertEqual(self.key(b"/channels/chat?roomId=a"), "chat?roomId=a")
        registry = self.world.parts.registry
        registry.replace(Registry())
        self.assertIsNone(self.key(b"/channels/chat?roomId=a"))
        self.assertEqual(len(self.targets), 0)

    def test_bounded(self) -> None:
        """The target longest unused is forgotten for a new one; a very long one is not kept."""
        self.patch(route, "MAX_TARGETS", 3)
        for room in (b"a", b"b", b"c", b"a", b"d"):
            self.targets.get(b"/channels/chat?roomId=" + room)
        first = self.targets.get(b"/channels/chat?roomId=a")
        self.assertIs(self.targets.get(b"/channels/chat?roomId=a"), first)
        self.assertEqual(len(self.targets), 3)
        self.assertIsNotNone(self.targets.get(b"/channels/chat?roomId=" + b"x" * MAX_TARGET))
        self.assertEqual(len(self.targets), 3)

    def test_learns_plain_paths(self) -> None:
        """A channel whose name was percent-encoded says nothing of where the others are."""
        targets = PublishTargets(self.world.parts.authorizing)
        targets.learn(b"/channels/ch%61t", "chat")
        self.assertIsNone(targets.get(b"/channels/chat?roomId=a"))
