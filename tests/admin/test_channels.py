"""The administrator's list of channels."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist import define_channel
from takotwist.admin import channels
from takotwist.admin.channels import CHANNELS_PATH
from takotwist.codecs.wire_forms import WEBSOCKET
from takotwist.core.fanout import Subscription
from takotwist.core.send_queue import SendQueue
from takotwist.core.topic import INTERNAL, Topic
from takotwist.testing.world import World

ROOM = {"type": "object", "properties": {"room": {"type": "string"}}, "required": ["room"]}


class ChannelsPageTests(SynchronousTestCase):
    """Two channels, one of which has readers in two rooms."""

    def setUp(self) -> None:
        chat = define_channel("chat", params=ROOM)
        chat.on("msg")(lambda data, context: data)
        self.world = World(chat, define_channel("news"))
        for room in ("b", "a", "a"):
            self.world.subscribe(f"/channels/chat?room={room}")

    def page(self) -> dict[str, Any]:
        """What is answered on the private listener."""
        found: dict[str, Any] = self.world.get(CHANNELS_PATH, private=True).json
        return found

    def test_channels(self) -> None:
        """Each by its name, with what it takes and its number of readers."""
        chat, news = self.page()["channels"]
        self.assertEqual((chat["channel"], chat["subscribers"]), ("chat", 3))
        self.assertEqual((chat["params"], chat["handlers"]), (["room"], ["msg"]))
        self.assertEqual((news["channel"], news["subscribers"]), ("news", 0))
        self.assertEqual((chat["websocket"], chat["verified"]), (True, False))

    def test_topics(self) -> None:
        """Those with readers, the most first, and how many there are in all."""
        page = self.page()
        topics = [(one["topic"], one["subscribers"]) for one in page["topics"]]
        self.assertEqual(topics, [("chat?room=a", 2), ("chat?room=b", 1)])
        self.patch(channels, "MAX_TOPICS", 1)
        page = self.page()
        self.assertEqual(([one["topic"] for one in page["topics"]]), ["chat?room=a"])
        self.assertEqual(page["topics_in_all"], 2)

    def test_own_topics(self) -> None:
        """Topics of the server's own channels are not named: broadcasts, rosters, streams."""
        before = self.page()
        queue = SendQueue(1000, self.world.parts.flush_batch)
        queue.connect(WEBSOCKET, lambda blob: None)
        own = Topic.of(f"{INTERNAL}own", {"key": "prices"})
        reader = Subscription(own, 1, queue, lambda *_: None, lambda *_: None)
        self.world.parts.attacher.attach(reader)
        self.addCleanup(self.world.parts.attacher.detach, reader)
        self.assertIn(own.key, self.world.parts.fanout)
        self.assertEqual(self.page(), before)

    def test_private(self) -> None:
        """The public listeners have no such page."""
        self.assertEqual(self.world.get(CHANNELS_PATH).status, 404)
