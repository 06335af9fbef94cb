"""A topic that the server follows itself."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.channel import Lifecycle
from takotwist.core.tail import Tails
from takotwist.flow.attach import RETRY_SECONDS
from takotwist.flow.listening import Listening
from tests.flow.delivery_world import TOPICS, DeliveryWorld


class ListeningTests(SynchronousTestCase):
    """One topic, over a log that answers when told."""

    def setUp(self) -> None:
        self.world = DeliveryWorld(2_000, Lifecycle())
        self.world.publish(TOPICS[0], 1)
        self.world.log.settle()
        self.heard: list[bytes] = []
        self.begun = 0

    def listen(self, **more: Any) -> Listening:
        one = Listening(
            self.world.attacher,
            self.world.flush_batch,
            TOPICS[0],
            Lifecycle(),
            lambda kind, data: self.heard.append(data),
            self.again,
            **more,
        )
        self.addCleanup(one.stop)
        one.start()
        return one

    def again(self) -> None:
        self.begun += 1

    def publish(self) -> None:
        self.world.publish(TOPICS[0], 1)
        self.world.log.settle()
        self.world.flush_batch.end()

    def advance(self, seconds: float) -> None:
        self.world.clock.advance(seconds)
        for action in self.world.deadlines.tick(self.world.clock.seconds()):
            action()

    def test_hears(self) -> None:
        """What comes from then on, at once or when the turn is handed."""
        for at_once in (True, False):
            self.heard.clear()
            one = self.listen(at_once=at_once)
            self.publish()
            self.assertEqual(len(self.heard), 1)
            one.stop()
            self.publish()
            self.assertEqual(len(self.heard), 1)
        self.assertEqual(self.begun, 2)

    def test_begins_again(self) -> None:
        """Also after what nobody has thought of: it would be deaf for ever."""
        broken = self.patch(Tails, "after", lambda *arguments: 1 / 0)
        one = self.listen(cursor=1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual((self.world.metrics.subscriptions, self.begun), (0, 0))
        broken.restore()
        self.advance(RETRY_SECONDS + 1)
        self.world.log.settle()
        self.assertEqual((self.world.metrics.subscriptions, self.begun), (1, 1))
        before = len(self.heard)
        self.publish()
        self.assertEqual(len(self.heard), before + 1)
        one.stop()
        self.assertEqual(self.world.metrics.subscriptions, 0)

    def test_stopped_meanwhile(self) -> None:
        """Who has stopped does not begin again."""
        self.patch(Tails, "after", lambda *arguments: 1 / 0)
        self.listen(cursor=1).stop()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.advance(RETRY_SECONDS + 1)
        self.assertEqual((self.world.metrics.subscriptions, self.begun), (0, 0))
