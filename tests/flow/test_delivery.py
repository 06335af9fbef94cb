"""Every interleaving of publishes, attaches, page reads, pauses and cuts.

A model of what each subscriber must have been given is compared with what it
was given, while hypothesis chooses what happens next.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from twisted.internet.defer import ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from takotwist.codecs.wire_forms import SSE_CHUNKED, WEBSOCKET, WireForm
from takotwist.core import fanout as group
from takotwist.core.channel import Lifecycle
from takotwist.core.fanout import Subscription
from takotwist.core.replay import Gate
from takotwist.core.send_queue import SendQueue
from takotwist.core.topic import NEWEST, Topic
from takotwist.errors import CursorInvalid, ReplayTooOld, StoreUnavailable
from tests.flow.delivery_world import PLAIN, TOPICS, Client, DeliveryWorld


class DeliveryMachine(RuleBasedStateMachine):
    """Chooses what happens next."""

    clients = Bundle("clients")

    def __init__(self) -> None:
        super().__init__()
        self.world = DeliveryWorld(
            2_000,
            Lifecycle(replay_window_ms=3_600_000, replay_max_messages=12),
        )

    @rule(topic=st.sampled_from(TOPICS), count=st.integers(1, 4))
    def publish(self, topic: Topic, count: int) -> None:
        self.world.publish(topic, count)

    @rule(topic=st.sampled_from(TOPICS), count=st.integers(1, 3))
    def publish_through(self, topic: Topic, count: int) -> None:
        self.world.publish(topic, count)
        while self.world.log.report():
            pass

    @rule()
    def report(self) -> None:
        self.world.log.report()

    @rule(index=st.integers(0, 2))
    def snapshot(self, index: int) -> None:
        self.world.log.snapshot(index)

    @rule(index=st.integers(0, 2))
    def answer(self, index: int) -> None:
        self.world.log.answer(index)

    @rule()
    def sweep(self) -> None:
        self.world.log.sweep(int(self.world.clock.seconds() * 1e6), self.world.fanout.keys())

    @rule(broken=st.booleans())
    def store(self, broken: bool) -> None:
        self.world.log.broken = broken

    @rule()
    def forget_tails(self) -> None:
        self.world.tails.clear()

    @rule(seconds=st.floats(0.0, 2.0))
    def time_passes(self, seconds: float) -> None:
        self.world.clock.advance(seconds)
        for action in self.world.deadlines.tick(self.world.clock.seconds()):
            action()

    @rule(
        target=clients,
        topic=st.sampled_from(TOPICS),
        back=st.one_of(st.none(), st.just(NEWEST), st.integers(0, 20)),
        reset=st.booleans(),
        way=st.sampled_from(("joined", "at once", "straight")),
    )
    def attach(self, topic: Topic, back: int | None, reset: bool, way: str) -> Client:
        cursor = back
        if back not in (None, NEWEST):
            known = [0, *self.world.stored[topic.key]]
            cursor = known[-1 - min(back, len(known) - 1)]
        had = [one for one in self.world.stored[topic.key] if one <= self.world.log.head]
        client = Client(self.world, topic, cursor, reset, way != "joined", way == "straight")
        client.newest = max(had, default=0) if back == NEWEST else 0
        return client

    @rule(client=clients)
    def clog(self, client: Client) -> None:
        client.clogged = True

    @rule(client=clients)
    def unclog(self, client: Client) -> None:
        client.unclog()

    @rule(client=consumes(clients))
    def leave(self, client: Client) -> None:
        client.leave()
        self.world.clients.remove(client)
        check(client, complete=False)

    @invariant()
    def nothing_twice_or_out_of_order(self) -> None:
        for client in self.world.clients:
            check(client, complete=False)

    def teardown(self) -> None:
        self.world.log.broken = False
        self.world.settle()
        for client in self.world.clients:
            check(client, complete=True)
            client.leave()
        assert not self.world.fanout.keys()
        assert self.world.metrics.subscriptions == 0


def check(client: Client, *, complete: bool) -> None:
    """Hold what `client` was given against what was stored."""
    world = client.world
    if client.cursor is None:
        assert not client.received, "messages before the subscription began"
        if complete:
            assert isinstance(client.ended, ReplayTooOld | CursorInvalid | StoreUnavailable)
        return
    wanted = [one for one in world.stored[client.topic.key] if one > client.cursor]
    if client.asked == 0 and not client.was_reset:
        # Everything still in the window: it begins somewhere, and then has no gap.
        wanted = [one for one in wanted if client.received and one >= client.received[0]]
    given = client.received
    reported = [one for one in given if one <= max(world.stored[client.topic.key], default=0)]
    assert reported == wanted[: len(reported)], "a gap, a repetition or a wrong order"
    assert given == sorted(set(given))
    if complete and client.ended is None:
        assert not client.newest or max(given, default=0) >= client.newest, "no state"
        assert client.newest <= client.cursor + 1, "more than the newest"
        assert client.subscription.replay.gate is Gate.OPEN
        assert given == wanted, "a live subscriber misses something"
    if client.ended is not None and complete:
        # A definite end: too old while lagging.
        assert isinstance(client.ended, ReplayTooOld)


DeliveryMachine.TestCase.settings = settings(max_examples=250, stateful_step_count=40)


class TestDelivery(SynchronousTestCase):
    """Whatever happens in between, a subscriber has each message once, in order, or a refusal."""

    def test_every_interleaving(self) -> None:
        """Each subscriber is given what came after its cursor, or is told it is too old."""
        # Two subscribers are a crowd here.
        self.patch(group, "FEW", 2)
        DeliveryMachine.TestCase("runTest").debug()


class TestOnePath(SynchronousTestCase):
    """Single interleavings worth a name."""

    def setUp(self) -> None:
        self.world = DeliveryWorld(100_000, Lifecycle())

    def test_live(self) -> None:
        """Without a cursor a subscriber gets what is published from now on."""
        self.world.publish(TOPICS[0], 2)
        self.world.settle()
        client = Client(self.world, TOPICS[0], None, False)
        self.world.publish(TOPICS[0], 2)
        self.world.settle()
        self.assertEqual(client.received, self.world.stored[TOPICS[0].key][2:])

    def test_rooms_are_rooms(self) -> None:
        """A subscriber of one room sees nothing of another, live or replayed."""
        self.world.publish(TOPICS[1], 3)
        self.world.settle()
        clients = [Client(self.world, TOPICS[0], cursor, False) for cursor in (None, 0)]
        self.world.publish(TOPICS[1], 3)
        self.world.settle()
        self.assertEqual([client.received for client in clients], [[], []])

    def test_published_while_a_page_is_read(self) -> None:
        """A message that commits between a snapshot and its answer comes once, after it."""
        self.world.publish(TOPICS[0], 2)
        self.world.log.settle()
        self.world.tails.clear()
        client = Client(self.world, TOPICS[0], 0, False)
        self.world.log.snapshot()
        self.world.publish(TOPICS[0], 1)
        self.world.log.report()
        self.assertEqual(client.received, [])
        self.world.settle()
        self.assertEqual(client.received, self.world.stored[TOPICS[0].key])

    def test_stored_and_not_reported(self) -> None:
        """A page may see a commit before it is reported; the message still comes once."""
        client = Client(self.world, TOPICS[0], 0, False)
        self.world.publish(TOPICS[0], 1)
        self.world.log.answer()
        self.world.settle()
        self.assertEqual(client.received, self.world.stored[TOPICS[0].key])

    def test_the_newest_of_an_old_read(self) -> None:
        """Who asks for the newest message while an older read of it is under way is given the
        newest of now, also where there was none then."""
        for count in (0, 1):
            world = self.world = DeliveryWorld(100_000, Lifecycle())
            if count:
                world.publish(TOPICS[0], count)
                world.log.settle()
                world.tails.clear()
            first = Client(world, TOPICS[0], NEWEST, False)
            world.log.snapshot()
            world.publish(TOPICS[0], 1)
            world.log.report()
            world.tails.clear()
            second = Client(world, TOPICS[0], NEWEST, False)
            world.settle()
            stored = world.stored[TOPICS[0].key]
            self.assertEqual((first.received, second.received), (stored, stored[-1:]))

    def test_an_old_read_of_one_who_left(self) -> None:
        """A read begun for somebody who left does not pass for complete to who comes later."""
        gone = Client(self.world, TOPICS[0], 0, False)
        self.world.log.snapshot()
        gone.leave()
        self.world.publish(TOPICS[0], 1)
        self.world.log.report()
        self.world.tails.clear()
        client = Client(self.world, TOPICS[0], 0, False)
        self.world.settle()
        self.assertEqual(client.received, self.world.stored[TOPICS[0].key])

    def test_a_stale_page_is_no_tail(self) -> None:
        """A page that was overtaken by a commit is not kept as the topic's newest messages."""
        self.world.publish(TOPICS[0], 1)
        self.world.log.settle()
        self.world.tails.clear()
        first = Client(self.world, TOPICS[0], 0, False)
        self.world.log.snapshot()
        self.world.publish(TOPICS[0], 1)
        self.world.log.report()
        self.world.tails.clear()
        self.world.log.answer()
        first.leave()
        second = Client(self.world, TOPICS[0], self.world.stored[TOPICS[0].key][0], False)
        self.world.settle()
        self.assertEqual(second.received, self.world.stored[TOPICS[0].key][1:])

    def test_resumes_share_a_read(self) -> None:
        """A thousand clients that resume at one cursor cost one read of the log."""
        self.world.publish(TOPICS[0], 20)
        self.world.log.settle()
        self.world.tails.clear()
        clients = [Client(self.world, TOPICS[0], 0, False) for _ in range(1000)]
        self.assertEqual(self.world.log.reads_waiting, 1)
        self.world.settle()
        self.assertEqual(self.world.metrics.replay_reads, 1)
        for client in clients:
            self.assertEqual(client.received, self.world.stored[TOPICS[0].key])

    def test_slow_reader(self) -> None:
        """A clogged connection holds almost nothing, and gets everything when it reads again."""
        slow = Client(self.world, TOPICS[0], None, False)
        slow.clogged = True
        for _ in range(200):
            self.world.publish(TOPICS[0], 10, size=1000)
            self.world.log.settle()
        self.assertLess(len(slow.received), 100)
        self.assertEqual(self.world.metrics.catch_ups, 1)
        self.world.settle()
        self.assertEqual(slow.received, self.world.stored[TOPICS[0].key])

    def test_store_fails_while_a_reader_is_behind(self) -> None:
        """A reader that is behind waits for a broken log, and goes on when it is well."""
        slow = Client(self.world, TOPICS[0], None, False)
        slow.clogged = True
        self.world.publish(TOPICS[0], 5)
        self.world.publish(TOPICS[0], 300, size=1000)
        self.world.log.settle()
        self.world.log.broken = True
        slow.unclog()
        self.world.log.settle()
        self.assertIsNone(slow.ended)
        self.world.log.broken = False
        self.world.settle()
        self.assertEqual(slow.received, self.world.stored[TOPICS[0].key])

    def test_forms_are_encoded_once(self) -> None:
        """A thousand deliveries of one message in one wire form encode it once."""
        encoded: list[int] = []

        def encode(message: Any) -> bytes:
            encoded.append(message.id)
            return PLAIN.encode(message)

        counted = WireForm("counted", encode)
        for _ in range(1000):
            client = Client(self.world, TOPICS[0], None, False)
            client.leave()
            client = Client(self.world, TOPICS[0], None, False)
            self.world.attacher.detach(client.subscription)
        subscribers = []
        for _ in range(1000):
            send_queue = SendQueue(limit=1000, flush_batch=self.world.flush_batch)
            send_queue.connect(counted, lambda blob: None)
            one = Subscription(TOPICS[0], 1, send_queue, lambda *_: None, lambda *_: None)
            self.world.attacher.attach(one)
            ensureDeferred(self.world.attacher.start(one, None, False))
            subscribers.append(one)
        self.world.publish(TOPICS[0], 1)
        self.world.settle()
        self.assertEqual(len(encoded), 1)
        self.assertEqual(self.world.metrics.deliveries, 1000)

    def test_wire_forms(self) -> None:
        """The forms that are sent are what their protocols say."""
        self.world.publish(TOPICS[0], 1)
        self.world.log.settle()
        items = self.world.tails.after(TOPICS[0].key, 0, 1000, 0) or self.world.tails.after(
            TOPICS[0].key, self.world.stored[TOPICS[0].key][0] - 1, 1000, 0
        )
        assert items is not None
        (item,) = items
        text = b'{"id":"%d","channel":"chat","type":"m","data":"xxxxx"}' % item.id
        self.assertEqual(item.frame(WEBSOCKET), b"\x81" + bytes([len(text)]) + text)
        block = b"id: %d\ndata: %b\n\n" % (item.id, text)
        self.assertEqual(item.frame(SSE_CHUNKED), b"%x\r\n%b\r\n" % (len(block), block))
