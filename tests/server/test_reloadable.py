"""What SIGHUP changes in a server that is put together, seen from its clients."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist import define_channel
from takotwist.server.config import Config, Http, Limits, Publish
from takotwist.testing.world import World

NEWS = "/channels/news"
KEY = {"Authorization": "Bearer a-key-that-nobody-guesses"}
PAGE = {"Origin": "https://app.example.com"}


def configured(**sections: object) -> Config:
    """A configuration with one key."""
    return Config(publish=Publish(keys=("a-key-that-nobody-guesses",)), **sections)  # type: ignore[arg-type]


class TestReloadable(SynchronousTestCase):
    """Whoever holds a part sees the new configuration in it."""

    def setUp(self) -> None:
        self.world = World(define_channel("news"), config=configured())

    def published(self, size: int = 1) -> int:
        """The status of a publish with the key."""
        message = {"type": "a", "data": "x" * size}
        return self.world.request("POST", NEWS, KEY, message).status

    def test_keys(self) -> None:
        """A key that is taken out is refused from the next publish on."""
        self.assertEqual(self.published(), 200)
        self.world.parts.change(Config())
        self.assertEqual(self.published(), 403)

    def test_origins(self) -> None:
        """A page's origin may come in once it is listed, and one that is here may stay."""
        self.assertEqual(self.world.subscribe(NEWS, PAGE).code, "origin-rejected")
        self.world.parts.change(configured(http=Http(allowed_origins=("https://app.example.com",))))
        reader = self.world.subscribe(NEWS, PAGE)
        self.world.parts.change(configured())
        self.world.publish(NEWS, "a", 1)
        self.assertEqual(len(reader.messages), 1)
        self.assertEqual(self.world.subscribe(NEWS, PAGE).code, "origin-rejected")

    def test_sizes_and_rates(self) -> None:
        """Bounds of messages and of publishes a second are those of the new configuration."""
        self.assertEqual(self.published(1000), 200)
        self.world.parts.change(configured(limits=Limits(max_message_bytes=500)))
        self.assertEqual(self.published(1000), 413)
        keys = ("a-key-that-nobody-guesses",)
        self.world.parts.change(Config(publish=Publish(keys=keys, rate=1, burst=2)))
        self.assertEqual([self.published() for _ in range(3)], [200, 200, 429])
        self.world.advance(1)
        self.assertEqual(self.published(), 200)

    def test_frames(self) -> None:
        """A connection takes frames of the size that was configured when it came."""
        first = self.world.connect("/_tako/connect", subprotocol="tako.v1")
        self.world.parts.change(configured(limits=Limits(max_message_bytes=2_000_000)))
        second = self.world.connect("/_tako/connect", subprotocol="tako.v1")
        for socket in (first, second):
            socket.say({"op": "unsubscribe", "ref": "1", "channel": "x" * 5_000_000})
        self.assertEqual(
            [one.close_reason for one in (first, second)], [(1009, "message-too-large"), None]
        )

    def test_version(self) -> None:
        """Whoever remembers what was decided sees that it may be decided otherwise now."""
        settings = self.world.parts.reloadable
        before = settings.version
        self.assertIs(settings.version, before)
        self.world.parts.change(configured())
        self.assertIsNot(settings.version, before)
