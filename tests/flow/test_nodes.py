"""Several nodes over one shared log: every interleaving, and single ones worth a name."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.memory.log import InMemoryReplayLog
from takotwist.adapters.memory.node import MAX_REPORTS, MemoryNode, MemoryStore
from takotwist.core.channel import Lifecycle
from takotwist.core.log import Append, Report
from takotwist.core.replay import Gate
from takotwist.core.topic import EVERYTHING, FOREIGN, Draft, Topic
from takotwist.errors import CursorInvalid, Refusal, ReplayTooOld, StoreUnavailable
from takotwist.flow.followed import CATCH_UP_SECONDS, LINGER_SECONDS, MAX_LINGERING
from takotwist.flow.read_log import read_history
from tests.flow.delivery_world import TOPICS, Client, DeliveryWorld


class _Observer(MemoryNode):
    """Hears of everything that is stored, in order: the truth."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store, "observer")
        self.ids: dict[str, list[int]] = {topic.key: [] for topic in TOPICS}

    def stored(self, before: int, report: Report) -> None:
        for topic in report.topics:
            self.ids[topic.key] += [message.id for message in topic.messages]


class Nodes:
    """Several delivery paths over one store."""

    def __init__(self, count: int = 3, lifecycle: Lifecycle | None = None) -> None:
        self.clock = Clock()
        self.clock.advance(1_000_000.0)
        self.lifecycle = lifecycle or Lifecycle()
        inner = InMemoryReplayLog(self.clock)
        inner.start()
        self.store = MemoryStore(inner)
        self.observer = _Observer(self.store)
        self.observer.start()
        self.names = 0
        self.nodes = [self.new() for _ in range(count)]

    def new(self) -> DeliveryWorld:
        self.names += 1
        log = MemoryNode(self.store, f"n{self.names}", at_once=False)
        return DeliveryWorld(2_000, self.lifecycle, self.clock, log)

    def removed(self, topic: Topic) -> int:
        pages: list[Any] = []
        self.store.log.read(topic, EVERYTHING, 1, 1).addCallback(pages.append)
        removed: int = pages[0].removed
        return removed

    def tick(self, seconds: float) -> None:
        self.clock.advance(seconds)
        for node in self.nodes:
            for action in node.deadlines.tick(self.clock.seconds()):
                action()

    def settle(self) -> None:
        """Every way is mended, everything delivered and answered."""
        for node in self.nodes:
            if node.inner.is_cut:
                node.inner.mend()
            for client in node.clients:
                client.unclog()
        for _ in range(50):
            for node in self.nodes:
                while node.inner.deliver():
                    pass
                node.inner.catch_up()
                node.log.settle()
            self.tick(1.0)
            if not any(
                node.log.appends_waiting or node.log.reads_waiting or node.inner.reports_waiting
                for node in self.nodes
            ):
                break

    def check(self, client: Client, *, complete: bool) -> None:
        """Hold what `client` was given against what was stored."""
        stored, given = self.observer.ids[client.topic.key], client.received
        if client.cursor is None:
            assert not given, "messages before the subscription began"
            if complete:
                assert isinstance(client.ended, ReplayTooOld | CursorInvalid | StoreUnavailable)
                if client.ended.code == "cursor-invalid":
                    assert client.asked == FOREIGN, "a cursor of another node was refused"
            return
        wanted = [one for one in stored if one > client.cursor]
        if client.asked == EVERYTHING and not client.was_reset:
            wanted = [one for one in wanted if given and one >= given[0]]
        assert given == wanted[: len(given)], "a gap, a repetition or a wrong order"
        if complete and client.ended is None:
            assert client.subscription.replay.gate is Gate.OPEN
            assert given == wanted, "a live subscriber misses something"
        if complete and client.ended is not None:
            assert isinstance(client.ended, ReplayTooOld)
            had = given[-1] if given else client.cursor
            assert self.removed(client.topic) > had, "too old, and nothing was removed"


class NodesMachine(RuleBasedStateMachine):
    """Chooses what happens next, on which node."""

    clients = Bundle("clients")

    def __init__(self) -> None:
        super().__init__()
        lifecycle = Lifecycle(replay_window_ms=30_000, replay_max_messages=12)
        self.world = Nodes(3, lifecycle)

    at = st.integers(0, 2)

    @rule(at=at, topic=st.sampled_from(TOPICS), count=st.integers(1, 4))
    def publish(self, at: int, topic: Topic, count: int) -> None:
        self.world.nodes[at].publish(topic, count)

    @rule(at=at, topic=st.sampled_from(TOPICS), count=st.integers(1, 4))
    def publish_and_tell(self, at: int, topic: Topic, count: int) -> None:
        self.world.nodes[at].publish(topic, count)
        for node in self.world.nodes:
            while node.inner.deliver():
                pass

    @rule(at=at)
    def report(self, at: int) -> None:
        self.world.nodes[at].log.report()

    @rule(at=at)
    def deliver(self, at: int) -> None:
        self.world.nodes[at].inner.deliver()

    @rule(at=at, index=st.integers(0, 2))
    def snapshot(self, at: int, index: int) -> None:
        self.world.nodes[at].log.snapshot(index)

    @rule(at=at, index=st.integers(0, 2))
    def answer(self, at: int, index: int) -> None:
        self.world.nodes[at].log.answer(index)

    @rule(at=at)
    def cut(self, at: int) -> None:
        self.world.nodes[at].inner.cut()

    @rule(at=at)
    def mend(self, at: int) -> None:
        self.world.nodes[at].inner.mend()

    @rule(at=at)
    def idle_check(self, at: int) -> None:
        if not self.world.nodes[at].inner.is_cut:
            self.world.nodes[at].inner.catch_up()

    @rule(at=at)
    def lose_a_report(self, at: int) -> None:
        self.world.nodes[at].inner.lose_report()

    @rule(at=at)
    def lose_an_answer(self, at: int) -> None:
        self.world.nodes[at].inner.loses_answer = True

    @rule(at=at)
    def die(self, at: int) -> None:
        """The node is killed, with its connections, and another takes its place."""
        dead = self.world.nodes[at]
        dead.inner.stop()
        for client in dead.clients:
            self.world.check(client, complete=False)
        self.world.nodes[at] = self.world.new()

    @rule(at=at)
    def sweep(self, at: int) -> None:
        node = self.world.nodes[at]
        now_us = int(self.world.clock.seconds() * 1e6)
        node.log.sweep(now_us, node.fanout.keys()).addErrback(
            lambda failure: failure.trap(StoreUnavailable)
        )

    @rule(seconds=st.one_of(st.floats(0.0, 2.0), st.sampled_from([LINGER_SECONDS + 1, 31.0])))
    def time_passes(self, seconds: float) -> None:
        self.world.tick(seconds)

    @rule(at=at)
    def forget_tails(self, at: int) -> None:
        self.world.nodes[at].tails.clear()

    @rule(
        target=clients,
        at=at,
        topic=st.sampled_from(TOPICS),
        back=st.one_of(st.none(), st.integers(0, 20)),
        reset=st.booleans(),
        way=st.sampled_from(("joined", "at once", "straight")),
    )
    def attach(self, at: int, topic: Topic, back: int | None, reset: bool, way: str) -> Client:
        """From a cursor of any node: this one may not have heard of it."""
        cursor: int | None = None
        if back is not None:
            known = [0, *self.world.observer.ids[topic.key]]
            cursor = known[-1 - min(back, len(known) - 1)]
        node = self.world.nodes[at]
        return Client(node, topic, cursor, reset, way != "joined", way == "straight")

    @rule(client=clients)
    def clog(self, client: Client) -> None:
        client.clogged = True

    @rule(client=clients)
    def unclog(self, client: Client) -> None:
        client.unclog()

    @rule(client=consumes(clients))
    def leave(self, client: Client) -> None:
        client.leave()
        client.world.clients.remove(client)
        self.world.check(client, complete=False)

    @invariant()
    def nothing_twice_or_out_of_order(self) -> None:
        for node in self.world.nodes:
            for client in node.clients:
                self.world.check(client, complete=False)

    def teardown(self) -> None:
        self.world.settle()
        for node in self.world.nodes:
            # A store that was away for a while has refused some; nobody was told twice.
            acknowledged = [id for ids in node.stored.values() for id in ids]
            stored = [id for ids in self.world.observer.ids.values() for id in ids]
            assert set(acknowledged) <= set(stored)
            for client in node.clients:
                self.world.check(client, complete=True)
                client.leave()
            assert not node.fanout.keys()
            assert node.metrics.subscriptions == 0
        self.world.tick(LINGER_SECONDS + 1)
        assert not any(len(node.followed) for node in self.world.nodes)
        assert not any(len(node.tails) for node in self.world.nodes)


NodesMachine.TestCase.settings = settings(max_examples=250, stateful_step_count=50)


class TestNodes(SynchronousTestCase):
    """Whatever happens in between, on whatever node."""

    def test_every_interleaving(self) -> None:
        """Each subscriber on each node is given every message after its cursor, once, in
        order, or is told that it is too old."""
        NodesMachine.TestCase("runTest").debug()


class TestBetweenNodes(SynchronousTestCase):
    """Single interleavings worth a name."""

    def setUp(self) -> None:
        self.world = Nodes(2)
        self.one, self.other = self.world.nodes
        self.topic = TOPICS[0]

    def ids(self) -> list[int]:
        return self.world.observer.ids[self.topic.key]

    def test_reaches_all(self) -> None:
        """A publish on one node reaches the subscribers of all, its own included."""
        clients = [Client(node, self.topic, None, False) for node in self.world.nodes]
        self.one.publish(self.topic, 2)
        self.world.settle()
        self.assertEqual([client.received for client in clients], [self.ids(), self.ids()])

    def test_order_of_the_log(self) -> None:
        """What a node stored itself comes in its place among what others have stored."""
        client = Client(self.one, self.topic, None, False)
        self.other.publish(self.topic, 1)
        self.one.publish(self.topic, 1)
        self.one.log.report()
        self.assertEqual(client.received, [])
        self.world.settle()
        self.assertEqual(client.received, self.ids())

    def test_a_topic_of_others_costs_nothing(self) -> None:
        """A node is told of nothing that it does not follow, and keeps no tail of it."""
        self.one.publish(self.topic, 3)
        self.world.settle()
        self.assertEqual((len(self.other.tails), len(self.one.tails)), (0, 0))
        self.assertEqual(self.other.log.head, self.ids()[-1])

    def test_tail_of_a_topic_that_is_no_longer_followed_is_forgotten(self) -> None:
        """It would answer "nothing newer" to whoever comes next."""
        first = Client(self.one, self.topic, None, False)
        self.one.publish(self.topic, 1)
        self.world.settle()
        first.leave()
        self.assertEqual(len(self.one.tails), 1)
        self.world.tick(LINGER_SECONDS + 1)
        self.assertEqual(len(self.one.tails), 0)
        self.other.publish(self.topic, 2)
        self.world.settle()
        again = Client(self.one, self.topic, self.ids()[0], False)
        self.world.settle()
        self.assertEqual(again.received, self.ids()[1:])

    def test_page_of_a_topic_that_is_no_longer_followed_makes_no_tail(self) -> None:
        """A read that ends after its reader has left, and the topic with it."""
        self.one.publish(self.topic, 1)
        self.world.settle()
        gone = Client(self.one, self.topic, EVERYTHING, False)
        self.one.log.snapshot()
        gone.leave()
        self.world.tick(LINGER_SECONDS + 1)
        self.one.log.answer()
        self.assertEqual(len(self.one.tails), 0)

    def test_cursor_from_a_node_that_is_ahead_is_waited_for(self) -> None:
        """Never told `cursor-invalid`, which is final."""
        self.other.publish(self.topic, 2)
        client = Client(self.one, self.topic, self.ids()[0], False)
        self.assertEqual((client.cursor, client.ended), (None, None))
        self.one.inner.deliver()
        self.world.settle()
        self.assertEqual((client.ended, client.received), (None, self.ids()[1:]))

    def test_node_that_stays_behind(self) -> None:
        """It says that it cannot now, in bounded time."""
        self.other.publish(self.topic, 1)
        client = Client(self.one, self.topic, self.ids()[0], True)
        self.world.tick(CATCH_UP_SECONDS + 1)
        self.assertIsInstance(client.ended, StoreUnavailable)
        self.assertEqual(self.one.fanout.keys(), frozenset())

    def test_cursor_of_no_node(self) -> None:
        """An id that the store never gave out is refused, or reset where that is asked for."""
        refused = Client(self.one, self.topic, FOREIGN, False)
        self.assertIsInstance(refused.ended, CursorInvalid)
        again = Client(self.one, self.topic, FOREIGN, True)
        self.assertEqual((again.ended, again.cursor), (None, self.one.log.head))

    def test_store_away(self) -> None:
        """Nobody is refused for good, and who is live stays; it goes on by itself."""
        live = Client(self.one, self.topic, None, False)
        self.one.inner.cut()
        for cursor in (None, EVERYTHING, FOREIGN):
            client = Client(self.one, TOPICS[1], cursor, False)
            self.assertIsInstance(client.ended, StoreUnavailable)
        self.other.publish(self.topic, 3)
        self.assertEqual((live.ended, live.received), (None, []))
        self.world.settle()
        self.assertEqual((live.ended, live.received), (None, self.ids()))

    def test_lost_last_report(self) -> None:
        """It is found by asking for the store's head."""
        client = Client(self.one, self.topic, None, False)
        self.other.publish(self.topic, 1)
        self.one.inner.lose_report()
        self.assertEqual(client.received, [])
        self.one.inner.newest()
        self.one.inner.catch_up()
        self.world.settle()
        self.assertEqual(client.received, self.ids())

    def test_far_behind(self) -> None:
        """A node that lets too many reports wait goes on from the log."""
        client = Client(self.one, self.topic, None, False)
        for _ in range(3 * MAX_REPORTS):
            self.other.publish(self.topic, 1)
            self.other.log.settle()
        self.assertLessEqual(self.one.inner.reports_waiting, MAX_REPORTS)
        self.world.settle()
        self.assertEqual(client.received, self.ids())

    def test_answer_lost(self) -> None:
        """A batch whose answer was cut off is asked about again, and stored once."""
        client = Client(self.other, self.topic, None, False)
        self.one.inner.loses_answer = True
        self.one.publish(self.topic, 2)
        self.world.settle()
        self.assertEqual(self.one.stored[self.topic.key], self.ids())
        self.assertEqual(client.received, self.ids())
        self.assertEqual(len(self.ids()), 2)

    def test_left_while_it_joins(self) -> None:
        """Whoever leaves before the topic is followed is gone, and the topic with it."""
        self.one.inner.cut()
        client = Client(self.one, self.topic, None, False)
        client.leave()
        self.assertEqual(len(self.one.followed), 0)
        self.assertEqual(self.one.metrics.subscriptions, 0)

    def test_bounded_linger(self) -> None:
        """Topics of nobody are followed for a while, and not more than so many."""
        for number in range(MAX_LINGERING + 5):
            topic = Topic.of("chat", {"roomId": str(number)})
            self.successResultOf(self.one.followed.enter(topic))
            self.one.followed.leave(topic)
        self.assertEqual(len(self.one.followed), MAX_LINGERING)
        self.world.tick(LINGER_SECONDS + 1)
        self.assertEqual(len(self.one.followed), 0)

    def test_history(self) -> None:
        """Who was told of a message by another node finds it in this one's history."""
        self.other.publish(self.topic, 1)
        self.other.log.settle()
        found: list[Any] = []

        ensureDeferred(
            read_history(self.one.log, self.one.followed, self.topic, EVERYTHING, 10)
        ).addBoth(found.append)
        self.one.log.answer()
        self.assertEqual(found, [])
        self.world.settle()
        self.assertEqual([message.id for message in found[0].messages], self.ids())

    def test_numbered(self) -> None:
        """A numbered topic is counted in the store, whoever appends."""
        places: list[tuple[int, int] | None] = []
        for node in (self.one, self.other, self.one):
            append = Append(self.topic, (Draft("m", b"1"),) * 2, Lifecycle(), numbered=True)
            node.inner.append([append], 1).addCallback(
                lambda answers: places.extend(one.place for one in answers[0].messages)
            )
        epochs, numbers = zip(*[place for place in places if place is not None], strict=True)
        self.assertEqual((len(set(epochs)), numbers), (1, (1, 2, 3, 4, 5, 6)))

    def test_too_old_is_definite(self) -> None:
        """A reader whose node was away for longer than the window is told."""
        ended: list[Refusal | None] = []
        world = Nodes(2, Lifecycle(replay_window_ms=1000))
        one, other = world.nodes
        client = Client(one, self.topic, None, False)
        one.inner.cut()
        other.publish(self.topic, 1)
        world.tick(10.0)
        other.log.sweep(int(world.clock.seconds() * 1e6), other.fanout.keys())
        world.settle()
        ended.append(client.ended)
        self.assertIsInstance(ended[0], ReplayTooOld)
