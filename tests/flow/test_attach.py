"""Attach, replay, live: readers are brought up to their topic and kept there."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.memory.log import InMemoryReplayLog
from takotwist.adapters.memory.node import MemoryNode, MemoryStore
from takotwist.codecs.wire_forms import WireForm
from takotwist.core.channel import Lifecycle
from takotwist.core.replay import Gate
from takotwist.core.send_queue import SendQueue
from takotwist.core.topic import EVERYTHING, NEWEST
from takotwist.errors import CursorInvalid, InternalError, ReplayTooOld, StoreUnavailable
from takotwist.flow.attach import RETRY_SECONDS
from tests.flow.delivery_world import TOPICS, Client, DeliveryWorld

TOPIC = TOPICS[0]


class Broken(Exception):
    """A fault of our own."""


class TestAttach(SynchronousTestCase):
    """Each answer to a cursor, and each way on from there."""

    def setUp(self) -> None:
        self.world = DeliveryWorld(100_000, Lifecycle(replay_max_messages=5))

    def store(self, count: int = 1, size: int = 5) -> list[int]:
        self.world.publish(TOPIC, count, size)
        self.world.log.settle()
        return self.world.stored[TOPIC.key]

    def test_from_now_on(self) -> None:
        """Without a cursor a subscription begins at the head, without a read."""
        ids = self.store(2)
        client = Client(self.world, TOPIC, None, False)
        self.assertEqual((client.cursor, client.received), (ids[-1], []))
        self.assertIs(client.subscription.replay.gate, Gate.OPEN)
        self.assertEqual(self.world.log.reads_waiting, 0)

    def test_no_head(self) -> None:
        """A log that has never been read gives no cursor, and so no promise."""
        self.world.log.head = 0
        client = Client(self.world, TOPIC, None, False)
        self.assertIsInstance(client.ended, StoreUnavailable)
        self.assertEqual(self.world.fanout.keys(), frozenset())

    def test_no_head_yet(self) -> None:
        """A node that has not met its shared log yet would take what it reads there for unreported,
        and the empty rest for all that there is."""
        self.store(3)
        self.world.log.inner.head, self.world.log.inner.everything = 0, False
        for cursor in (None, EVERYTHING, NEWEST):
            client = Client(self.world, TOPIC, cursor, False)
            self.world.log.settle()
            self.assertIsInstance(client.ended, StoreUnavailable)
            self.assertEqual(client.received, [])
        self.assertEqual(self.world.log.reads_waiting, 0)

    def test_head_found_meanwhile(self) -> None:
        """Whoever comes before the log's head is known, and reads more than a page, is not live
        before all of it was given."""
        for shared in (False, True):
            clock = Clock()
            clock.advance(1_000_000.0)
            inner: Any = InMemoryReplayLog(clock)
            if shared:
                inner.start()
                inner = MemoryNode(MemoryStore(inner), "a", at_once=False)
            self.world = DeliveryWorld(100_000, Lifecycle(), clock, inner)
            ids = self.store(6, size=30_000)
            while shared and inner.deliver():
                pass
            self.world.tails.clear()
            self.world.log.head = inner.head = 0
            client = Client(self.world, TOPIC, ids[0], False)
            self.world.log.head = inner.head = ids[-1]
            self.world.follower.settled()
            self.assertTrue(self.world.log.answer())
            self.assertLess(len(client.received), len(ids) - 1)
            self.store()
            while shared and inner.deliver():
                pass
            self.world.settle()
            self.assertEqual(client.received, ids[1:])

    def test_from_the_tail(self) -> None:
        """A resume after a blink is served from memory."""
        ids = self.store(3)
        client = Client(self.world, TOPIC, ids[0], False)
        self.world.flush_batch.end()
        self.assertEqual((client.cursor, client.received), (ids[0], ids[1:]))
        self.assertEqual(self.world.metrics.replay_reads, 0)

    def test_from_the_log(self) -> None:
        """Past the tail a resume reads the log, and is live afterwards."""
        ids = self.store(3)
        self.world.tails.clear()
        client = Client(self.world, TOPIC, ids[0], False)
        self.assertIsNone(client.cursor)
        self.world.settle()
        self.store()
        self.assertEqual(client.received, self.world.stored[TOPIC.key][1:])
        self.assertEqual(self.world.metrics.replay_reads, 1)

    def test_too_old(self) -> None:
        """A cursor below what was removed is refused, and the subscription detached."""
        ids = self.store(1)[:]
        self.store(10)
        client = Client(self.world, TOPIC, ids[0] - 1, False)
        self.world.settle()
        self.assertIsInstance(client.ended, ReplayTooOld)
        self.assertEqual(self.world.metrics.subscriptions, 0)

    def test_reset(self) -> None:
        """Where it may be reset it begins at the head instead, and says so."""
        first = self.store(1)[0]
        ids = self.store(10)
        client = Client(self.world, TOPIC, first - 1, True)
        self.world.settle()
        self.assertTrue(client.was_reset)
        self.assertEqual((client.cursor, client.received), (ids[-1], []))

    def test_from_the_future(self) -> None:
        """A cursor that was never given out is refused, from memory and from the log."""
        for clear in (False, True):
            head = self.store()[-1]
            if clear:
                self.world.tails.clear()
            client = Client(self.world, TOPIC, head + 1, False)
            self.world.settle()
            self.assertIsInstance(client.ended, CursorInvalid)

    def test_everything_of_an_empty_topic(self) -> None:
        """The whole window of a topic without messages is the head."""
        self.world.publish(TOPICS[1], 1)
        self.world.log.settle()
        client = Client(self.world, TOPIC, EVERYTHING, False)
        self.world.settle()
        self.assertEqual(client.cursor, self.world.log.head)
        self.assertEqual(client.received, [])

    def test_detached_while_a_page_is_read(self) -> None:
        """A page for a reader that has left is given to nobody."""
        self.store(2)
        self.world.tails.clear()
        client = Client(self.world, TOPIC, EVERYTHING, False)
        client.leave()
        self.world.settle()
        self.assertEqual((client.cursor, client.received, client.ended), (None, [], None))

    def test_detach_is_repeatable(self) -> None:
        """Detaching twice counts once."""
        client = Client(self.world, TOPIC, None, False)
        client.leave()
        client.leave()
        self.assertEqual(self.world.metrics.subscriptions, 0)

    def test_idle_topic_has_no_tail(self) -> None:
        """The tail of a topic that may be dropped goes with its last reader."""
        self.store()
        for forgotten, tails in ((False, 1), (True, 0)):
            client = Client(self.world, TOPIC, None, False)
            client.subscription.forgotten_when_idle = forgotten
            client.leave()
            self.assertEqual(len(self.world.tails), tails)

    def test_full_connection_is_continued_when_it_drains(self) -> None:
        """A reader whose connection is full waits, without reads, and goes on at `resumed`."""
        client = Client(self.world, TOPIC, None, False)
        client.clogged = True
        for _ in range(4):
            self.store()
        self.assertIs(client.subscription.replay.gate, Gate.CLOSED)
        self.assertEqual(list(client.send_queue.waiting), [client.subscription])
        client.unclog()
        self.world.settle()
        self.assertEqual(client.received, self.world.stored[TOPIC.key])
        self.assertEqual(list(client.send_queue.waiting), [])

    def test_left_by_another(self) -> None:
        """One that another's going on has had leave is passed over, and the others go on."""
        queue = SendQueue(1000, self.world.flush_batch)
        went_on: list[str] = []

        def goes_on(name: str, *leaves: str) -> None:
            went_on.append(name)
            for one in leaves:
                queue.waiting.pop(one, None)

        queue.waiting.update(
            a=partial(goes_on, "a", "b"), b=partial(goes_on, "b"), c=partial(goes_on, "c")
        )
        self.world.attacher.resumed(queue)
        self.assertEqual((went_on, queue.waiting), (["a", "c"], {}))

    def test_log_fails(self) -> None:
        """A reader that is behind tries again after a second, and is not ended."""
        client = Client(self.world, TOPIC, None, False)
        client.clogged = True
        for _ in range(3):
            self.store()
        self.world.tails.clear()
        self.world.log.broken = True
        client.unclog()
        self.world.log.settle()
        self.world.log.broken = False
        for wait, reads in ((RETRY_SECONDS / 2, 0), (RETRY_SECONDS, 1)):
            self.world.clock.advance(wait)
            for action in self.world.deadlines.tick(self.world.clock.seconds()):
                action()
            self.assertEqual(self.world.log.reads_waiting, reads)
        self.world.settle()
        self.assertEqual(client.received, self.world.stored[TOPIC.key])

    def test_lagging_past_the_window(self) -> None:
        """A reader so far behind that its messages are gone is ended with `replay-too-old`."""
        client = Client(self.world, TOPIC, None, False)
        client.clogged = True
        for _ in range(20):
            self.store()
        client.unclog()
        self.world.settle()
        self.assertIsInstance(client.ended, ReplayTooOld)
        self.assertEqual(self.world.metrics.subscriptions, 0)

    def test_continuing_fails(self) -> None:
        """A reader that cannot be continued is ended: left as it is it would wait for ever."""
        for from_log in (False, True):
            client = Client(self.world, TOPIC, None, False)
            client.clogged = True
            for _ in range(3):
                self.store()
            if from_log:
                self.world.tails.clear()
            client.send_queue.form = WireForm("broken", _fails)
            client.unclog()
            self.world.settle()
            self.assertEqual(len(self.flushLoggedErrors(Broken)), 1)
            self.assertIsInstance(client.ended, InternalError)
        self.assertEqual(self.world.metrics.subscriptions, 0)

    def test_ending_fails(self) -> None:
        """A reader whose end fails does not keep the others from their ends."""
        clients = [Client(self.world, TOPIC, None, False) for _ in range(3)]
        clients[1].subscription.on_end = _fails
        behind = self.world.attacher.interrupted(TOPIC.key, self.world.log.head + 1)
        self.assertEqual(behind, [])
        self.assertEqual(len(self.flushLoggedErrors(Broken)), 1)
        self.assertEqual(sum(isinstance(one.ended, InternalError) for one in clients), 2)
        self.assertEqual(self.world.fanout.keys(), frozenset())


def _fails(*_: Any) -> Any:
    raise Broken
