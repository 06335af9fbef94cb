"""Publish, group commit, fan-out: what is acknowledged, when, and what failures cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.codecs.wire_forms import WireForm
from takotwist.core.channel import Lifecycle
from takotwist.core.log import Appended
from takotwist.core.replay import Gate
from takotwist.core.topic import Draft, Topic
from takotwist.errors import InternalError, ShuttingDown, StoreUnavailable
from tests.flow.delivery_world import PLAIN, TOPICS, Client, DeliveryWorld

ONE, OTHER = TOPICS


class Broken(Exception):
    """A fault of our own."""


def fails(*_: Any, **__: Any) -> Any:
    raise Broken


class TestPublish(SynchronousTestCase):
    """One publish: acknowledged after its commit, delivered in the same turn."""

    def setUp(self) -> None:
        self.world = DeliveryWorld(100_000, Lifecycle())

    def publish(self, topic: Topic = ONE, count: int = 1, key: str | None = None) -> list[Any]:
        """The answers to a publish, as they come."""
        answers: list[Any] = []
        drafts = [Draft("m", b"1")] * count
        publishing = self.world.publishing.publish(topic, drafts, Lifecycle(), key)
        publishing.addCallbacks(answers.append, lambda failure: answers.append(type(failure.value)))
        return answers

    def test_after_the_commit(self) -> None:
        """Nothing is acknowledged or delivered before the transaction is reported."""
        client = Client(self.world, ONE, None, False)
        answers = self.publish(count=2)
        self.assertEqual((answers, client.received), ([], []))
        self.world.log.report()
        (appended,) = answers
        self.assertEqual(client.received, [one.id for one in appended.messages])

    def test_delivered_before_it_is_acknowledged(self) -> None:
        """A reader that is written to at once has the message when its publisher is told."""
        client = Client(self.world, ONE, None, False, at_once=True)
        seen: list[list[int]] = []
        publishing = self.world.publishing.publish(ONE, [Draft("m", b"1")], Lifecycle())
        publishing.addCallback(lambda _: seen.append(list(client.received)))
        self.world.log.report()
        self.assertEqual(seen, [client.received])
        self.assertEqual(len(client.received), 1)

    def test_group_commit(self) -> None:
        """What comes while a transaction is under way is stored together in the next one."""
        answers = [self.publish(topic) for topic in (ONE, OTHER, ONE)]
        self.assertEqual(self.world.log.appends_waiting, 1)
        self.world.log.report()
        self.assertEqual([len(one) for one in answers], [1, 0, 0])
        self.world.log.report()
        self.assertEqual([len(one) for one in answers], [1, 1, 1])
        self.assertEqual(self.world.log.appends_waiting, 0)

    def test_one_write_for_one_commit(self) -> None:
        """Messages of one commit reach a connection in one write, in the order of ids."""
        writes: list[bytes] = []
        client = Client(self.world, ONE, None, False)
        client.send_queue.write = writes.append
        self.publish(OTHER)
        for _ in range(3):
            self.publish()
        self.world.log.settle()
        (blob,) = writes
        self.assertEqual(list(map(int, blob.split())), sorted(map(int, blob.split())))
        self.assertEqual(len(blob.split()), 3)

    def test_repeated(self) -> None:
        """A repetition of an idempotency key is answered as the first was, and not delivered."""
        client = Client(self.world, ONE, None, False)
        first, second = self.publish(key="k"), self.publish(key="k")
        self.world.log.settle()
        self.assertEqual(first[0].messages[0].id, second[0].messages[0].id)
        self.assertEqual((first[0].repeated, second[0].repeated), (False, True))
        self.assertEqual(len(client.received), 1)
        self.assertEqual(self.world.metrics.publishes, 1)

    def test_store_unavailable(self) -> None:
        """Where the log fails nothing is delivered, and the next publish may succeed."""
        client = Client(self.world, ONE, None, False)
        self.world.log.broken = True
        answers = self.publish()
        self.world.log.settle()
        self.assertEqual((answers, client.received), ([StoreUnavailable], []))
        self.assertFalse(self.world.publishing.storing)
        self.world.log.broken = False
        self.publish()
        self.world.log.settle()
        self.assertTrue(self.world.publishing.storing)
        self.assertEqual(len(client.received), 1)

    def test_looks(self) -> None:
        """A store that refused is tried again without a publisher, one look at a time, until it
        stores; what is stored is of no channel."""
        later: list[Callable[[], None]] = []
        self.world.publishing.later = lambda seconds, look: later.append(look)
        self.world.log.broken = True
        for _ in range(3):
            self.publish()
            self.world.log.settle()
        self.assertEqual(len(later), 1)
        later.pop()()
        self.world.log.settle()
        self.assertFalse(self.world.publishing.storing)
        self.assertEqual(len(later), 1)
        self.world.log.broken = False
        later.pop()()
        self.world.log.settle()
        self.assertTrue(self.world.publishing.storing)
        self.assertEqual(later, [])

    def test_does_not_look(self) -> None:
        """Nor is anything stored where a publisher came first, or the server stops."""
        later: list[Callable[[], None]] = []
        self.world.publishing.later = lambda seconds, look: later.append(look)
        for ends in (self.publish, self.world.publishing.stop):
            self.world.log.broken = True
            self.publish()
            self.world.log.settle()
            self.world.log.broken = False
            ends()
            self.world.log.settle()
            later.pop()()
            self.assertEqual(self.world.log.appends_waiting, 0)

    def test_stop(self) -> None:
        """A stop refuses what comes, and waits for what was taken."""
        taken = [self.publish(), self.publish()]
        stopping = self.world.publishing.stop()
        self.assertEqual(self.publish(), [ShuttingDown])
        self.assertNoResult(stopping)
        self.world.log.settle()
        self.successResultOf(stopping)
        self.assertTrue(all(isinstance(one[0], Appended) for one in taken))

    def test_stop_while_idle(self) -> None:
        """A stop with nothing under way is done at once."""
        self.successResultOf(self.world.publishing.stop())

    def test_soon(self) -> None:
        """What the reactor reads in one round forms one transaction."""
        later: list[Callable[[], object]] = []
        self.world.publishing.soon = later.append
        self.publish()
        self.publish()
        self.assertEqual(self.world.log.appends_waiting, 0)
        self.assertEqual(len(later), 1)
        later.pop()()
        self.world.log.report()
        self.assertEqual(self.world.metrics.commit_messages.total, 2)
        self.assertEqual(self.world.metrics.commit_messages.observations, 1)


class TestFanOutFails(SynchronousTestCase):
    """A fan-out that fails on its way: whoever may lack a message is ended or continued."""

    def setUp(self) -> None:
        self.world = DeliveryWorld(100_000, Lifecycle())

    def interrupt(self) -> None:
        """Publish once on `ONE`, with a fault on the way to its readers."""
        broken = Client(self.world, ONE, None, False)
        group = self.world.fanout._audiences[ONE.key]._live[PLAIN]
        group._queued[broken.subscription] = fails
        self.world.publish(ONE, 1)
        self.world.log.settle()
        self.assertEqual(len(self.flushLoggedErrors(Broken)), 1)
        self.assertIsInstance(broken.ended, InternalError)

    def test_live_readers_are_told(self) -> None:
        """Live readers are ended with a refusal to retry after, and resume without a gap."""
        before, after = (Client(self.world, ONE, None, False, at_once=True) for _ in range(2))
        self.interrupt()
        for one in (before, after):
            self.assertIsInstance(one.ended, InternalError)
            seen = one.received[-1] if one.received else one.cursor
            again = Client(self.world, ONE, seen, False)
            self.world.settle()
            self.assertEqual(one.received + again.received, self.world.stored[ONE.key])
        self.assertEqual(self.world.metrics.subscriptions, 2)

    def test_slow_reader_is_continued(self) -> None:
        """A reader that was behind is continued from the log, and misses nothing."""
        slow = Client(self.world, ONE, None, False)
        slow.clogged = True
        for _ in range(3):
            self.world.publish(ONE, 10)
            self.world.log.settle()
        self.assertIs(slow.subscription.replay.gate, Gate.CLOSED)
        self.interrupt()
        self.world.settle()
        self.assertIsNone(slow.ended)
        self.assertEqual(slow.received, self.world.stored[ONE.key])

    def test_reader_that_is_being_given_history(self) -> None:
        """A page that was read before does not pass for complete."""
        self.world.publish(ONE, 1)
        self.world.log.settle()
        self.world.tails.clear()
        client = Client(self.world, ONE, 0, False)
        self.world.log.snapshot()
        self.interrupt()
        self.world.settle()
        self.assertEqual(client.received, self.world.stored[ONE.key])

    def test_publisher_and_other_topics(self) -> None:
        """The publisher is told that it is stored, and topics of the same commit go on."""
        reader, other = (Client(self.world, topic, None, False) for topic in TOPICS)
        # The first goes alone, and the others wait for each other.
        self.world.publish(OTHER, 1)
        for topic in TOPICS:
            self.world.publish(topic, 1)
        self.world.log.report()
        self.patch(reader.send_queue, "form", WireForm("broken", fails))
        audience = self.world.fanout._audiences[ONE.key]
        audience._live = {reader.send_queue.form: audience._live[PLAIN]}
        self.world.log.report()
        self.assertEqual(len(self.flushLoggedErrors(Broken)), 1)
        self.assertEqual(len(self.world.stored[ONE.key]), 1)
        self.assertEqual(other.received, self.world.stored[OTHER.key])
        self.assertIsInstance(reader.ended, InternalError)

    def test_no_tail_with_a_gap(self) -> None:
        """Where the tail was not given the messages, resumes are answered from the log."""
        self.world.publish(ONE, 2)
        self.world.log.settle()
        first = self.world.stored[ONE.key][0]
        with_fault = self.world.tails.append
        self.patch(type(self.world.tails), "append", fails)
        self.world.publish(ONE, 1)
        self.world.log.settle()
        self.assertEqual(len(self.flushLoggedErrors(Broken)), 1)
        self.patch(type(self.world.tails), "append", lambda _, *args, **kw: with_fault(*args, **kw))
        self.world.publish(ONE, 1)
        self.world.log.settle()
        client = Client(self.world, ONE, first, False)
        self.world.settle()
        self.assertEqual(client.received, self.world.stored[ONE.key][1:])
