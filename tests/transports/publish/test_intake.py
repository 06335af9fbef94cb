"""The cache of parsed targets."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist import define_channel
from takotwist.core.channel import Registry
from takotwist.testing.world import World
from takotwist.transports.publish import intake
from takotwist.transports.publish.intake import MAX_TARGET, PublishTargets

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
        self.patch(intake, "MAX_TARGETS", 3)
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
