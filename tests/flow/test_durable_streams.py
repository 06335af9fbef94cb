"""What a server keeps in memory of its durable streams."""

from __future__ import annotations

from twisted.internet.defer import ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.channel import Lifecycle
from takotwist.core.durable_stream import Spec, StreamBounds
from takotwist.core.stream_change import Create
from takotwist.core.topic import Topic
from takotwist.flow import durable_streams
from takotwist.flow.durable_streams import StreamService
from tests.flow.delivery_world import DeliveryWorld


class KeptTests(SynchronousTestCase):
    """States of streams, over a log that answers when told."""

    def setUp(self) -> None:
        self.world = DeliveryWorld(2_000, Lifecycle())
        self.patch(durable_streams, "MAX_KNOWN", 3)
        bounds = StreamBounds(max_bytes=1000, lifetime_us=60_000_000, max_producers=5)
        world = self.world
        self.service = StreamService(
            world.log, world.followed, world.publishing, bounds, world.clock.seconds
        )

    def topic(self, number: int) -> Topic:
        return Topic.of("~stream", {"path": str(number)})

    def look(self, number: int) -> None:
        looking = ensureDeferred(self.service.look(self.topic(number)))
        self.world.log.answer(self.world.log.reads_waiting - 1)
        self.assertIsNone(self.successResultOf(looking))

    def test_bounded(self) -> None:
        """Also while the oldest of all waits for the log."""
        answer = self.service.change(self.topic(0), Create(Spec("text/plain", 0)))
        for number in range(1, 20):
            self.look(number)
        self.assertEqual(len(self.service), 3)
        self.assertNoResult(answer)
        self.world.settle()
        self.assertGreater(self.successResultOf(answer).tail, 0)

    def test_all_busy(self) -> None:
        """What is being changed is not forgotten, nor what is asked for; when it is done it is."""
        answers = [
            self.service.change(self.topic(number), Create(Spec("text/plain", 0)))
            for number in range(6)
        ]
        self.assertEqual(len(self.service), 6)
        self.look(6)
        self.assertEqual(len(self.service), 7)
        self.world.settle()
        for answer in answers:
            self.assertGreater(self.successResultOf(answer).tail, 0)
        self.look(7)
        self.assertEqual(len(self.service), 3)
