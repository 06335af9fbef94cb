"""Fan-out by topic, and bytes straight to the sockets of a group: whole and in order."""

from __future__ import annotations

import contextlib
from itertools import chain

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.fanout import FEW, SLICE_BYTES, FanOut, Group, Subscription
from takotwist.core.replay import Gate
from takotwist.core.send_queue import FlushBatch, SendQueue
from takotwist.core.topic import Topic

TOPIC = Topic.of("chat", {})

#: Bytes in the transport past which it pauses.
HIGH = 20


class Connection:
    """A socket with room for so many bytes, a transport that holds the rest, and a send queue."""

    def __init__(self, flush_batch: FlushBatch) -> None:
        self.room = 30
        self.taken = b""
        self.held = b""
        self.calls = 0
        self.broken = False
        self.send_queue = SendQueue(1000, flush_batch)
        self.send_queue.connect("form", self.write, at_once=True, send=self.send)
        self.subscription = Subscription(
            TOPIC, 0, self.send_queue, lambda *_: None, lambda refusal: None
        )
        self.wanted = b""

    def send(self, data: bytes) -> int:
        self.calls += 1
        if self.broken:
            raise ConnectionResetError
        if not self.room:
            raise BlockingIOError
        size = min(self.room, len(data))
        self.taken += data[:size]
        self.room -= size
        return size

    def write(self, data: bytes) -> None:
        """As `direct_write` makes it."""
        if not self.held:
            with contextlib.suppress(OSError):
                data = data[self.send(data) :]
        self.hold(data)

    def hold(self, data: bytes) -> None:
        """Whoever writes to the transport itself."""
        self.held += data
        if len(self.held) > HIGH:
            self.send_queue.paused = True

    def drain(self, room: int) -> None:
        """The peer has read."""
        self.room += room
        if self.held and not self.broken:
            self.held = self.held[self.send(self.held) :]
        if not self.held and self.send_queue.send is not None:
            self.send_queue.paused = False

    @property
    def pending(self) -> bytes:
        pending = self.send_queue._pending
        return b"".join(pending) if isinstance(pending, list) else pending or b""


class GroupMachine(RuleBasedStateMachine):
    """Chooses what happens next to a dozen connections."""

    chosen = st.integers(0, FEW + 3)

    def __init__(self) -> None:
        super().__init__()
        self.flush_batch, self.group = FlushBatch(), Group()
        self.all = [Connection(self.flush_batch) for _ in range(FEW + 4)]
        self.members = set(range(len(self.all)))
        self.gone: set[int] = set()
        self.count = 0
        for one in self.all:
            self.group.add(one.subscription)

    def waiting(self) -> chain[object]:
        return chain(self.flush_batch.holding, (one.send for one in self.all if one.held))

    def frame(self, size: int) -> bytes:
        self.count += 1
        return b"<%0*d>" % (size, self.count)

    @rule(size=st.integers(1, 40))
    def hand(self, size: int) -> None:
        self.flush_batch.now += 1
        blob = self.frame(size)
        refused = self.group.hand(blob, self.flush_batch.now, self.waiting)  # type: ignore[arg-type]
        assert len(refused) == len(set(refused))
        for index in sorted(self.members):
            one = self.all[index]
            if one.subscription in refused:
                # As the fan-out does.
                self.group.discard(one.subscription)
                self.members.discard(index)
            else:
                assert index not in self.gone, "it was given something behind its end"
                one.wanted += blob
                assert one.send_queue.written_at == self.flush_batch.now or one.pending

    @rule(index=chosen, size=st.integers(1, 10))
    def push(self, index: int, size: int) -> None:
        """A control frame that leaves at the end of the turn."""
        frame = self.frame(size)
        if self.all[index].send_queue.push(frame):
            self.all[index].wanted += frame

    @rule()
    def end_turn(self) -> None:
        self.flush_batch.end()
        assert not self.flush_batch.holding

    @rule(index=chosen, size=st.integers(1, 30))
    def write_below(self, index: int, size: int) -> None:
        """Somebody writes to the transport, as Autobahn does."""
        one = self.all[index]
        one.send_queue.flush()
        frame = self.frame(size)
        one.hold(frame)
        one.wanted += frame

    @rule(index=chosen, room=st.integers(1, 100))
    def drain(self, index: int, room: int) -> None:
        self.all[index].drain(room)

    @rule(index=chosen)
    def come_back(self, index: int) -> None:
        """It was not live, and has been given what it missed."""
        if index not in self.members | self.gone and not self.all[index].send_queue.paused:
            self.all[index].send_queue.flush()
            self.group.add(self.all[index].subscription)
            self.members.add(index)

    @rule(index=chosen)
    def leave(self, index: int) -> None:
        self.group.discard(self.all[index].subscription)
        self.members.discard(index)

    @rule(index=chosen)
    def breaks(self, index: int) -> None:
        """The peer has reset the connection, and nobody has noticed yet."""
        self.all[index].broken = True

    @rule(index=chosen)
    def ends(self, index: int) -> None:
        """A close frame was sent: it is a member still, until the transport has gone."""
        one = self.all[index]
        one.send_queue.flush()
        one.send_queue.discard()
        self.gone.add(index)

    @invariant()
    def whole_and_in_order(self) -> None:
        for one in self.all:
            assert one.taken + one.held + one.pending == one.wanted

    @invariant()
    def members_are_members(self) -> None:
        assert len(self.group) == len(self.members)
        for index, one in enumerate(self.all):
            assert one.send_queue.group is None or index in self.members - self.gone


GroupMachine.TestCase.settings = settings(max_examples=300, stateful_step_count=50)


class TestGroup(SynchronousTestCase):
    """Handing a blob to many sockets."""

    def test_whatever_happens(self) -> None:
        """Full sockets, short sends, resets, closes, other writers: each connection that is said
        to have been given a blob has it, whole, behind all that came before."""
        GroupMachine.TestCase("runTest").debug()

    def test_one_send_each(self) -> None:
        """A socket that takes all is sent to once; one that failed is tried by its writer."""
        flush_batch, group = FlushBatch(), Group()
        connections = [Connection(flush_batch) for _ in range(FEW)]
        for one in connections:
            group.add(one.subscription)
        connections[3].room = 0
        self.assertEqual(group.hand(b"frame", 1.0, tuple), [])
        self.assertEqual([one.calls for one in connections], [1, 1, 1, 2] + [1] * (FEW - 4))
        self.assertEqual(connections[3].held, b"frame")

    def test_written_at(self) -> None:
        """What went straight counts as written, also once the subscriber has left."""
        flush_batch, group = FlushBatch(), Group()
        connections = [Connection(flush_batch) for _ in range(FEW)]
        for one in connections:
            group.add(one.subscription)
        group.hand(b"frame", 7.0, tuple)
        self.assertEqual(connections[0].send_queue.written_at, 7.0)
        group.discard(connections[0].subscription)
        group.hand(b"frame", 9.0, tuple)
        self.assertEqual(connections[0].send_queue.written_at, 7.0)

    def test_two_topics_on_one_connection(self) -> None:
        """A connection is written to straight by one topic at a time."""
        flush_batch, first, second = FlushBatch(), Group(), Group()
        one = Connection(flush_batch)
        other = Subscription(TOPIC, 0, one.send_queue, lambda *_: None, lambda refusal: None)
        first.add(one.subscription)
        second.add(other)
        second.hand(b"b", 1.0, tuple)
        first.discard(one.subscription)
        second.hand(b"d", 1.0, tuple)
        self.assertEqual(one.taken, b"bd")
        self.assertEqual((len(first), len(second)), (0, 1))


class Item:
    """A stored message that counts how often it is encoded."""

    def __init__(self, number: int, size: int = 1) -> None:
        self.id, self.size = number, size
        self.encoded: list[object] = []

    def frame(self, form: object) -> bytes:
        self.encoded.append(form)
        return b"%d " % self.id


class TestFanOut(SynchronousTestCase):
    """Audiences, gates, and the messages between them."""

    def setUp(self) -> None:
        self.batch = FlushBatch()
        self.fanout = FanOut(self.batch)
        self.written: dict[Subscription, bytes] = {}

    def subscriber(self, head: int, position: int, form: object = "form") -> Subscription:
        """One that is attached, and live where it has been given everything."""
        queue = SendQueue(1000, self.batch)
        one = Subscription(TOPIC, 0, queue, lambda *_: None, lambda refusal: None)
        self.written[one] = b""

        def write(blob: bytes) -> None:
            self.written[one] += blob

        queue.connect(form, write, at_once=True)
        one.replay.position = position
        self.fanout.attach(one, head)
        self.fanout.open_gate(one, head)
        return one

    def test_nobody(self) -> None:
        """A topic without subscribers costs nothing, and has no entry."""
        item = Item(1)
        self.assertEqual(self.fanout.publish(TOPIC.key, [item]), (0, []))
        self.assertEqual(item.encoded, [])
        self.assertNotIn(TOPIC.key, self.fanout)

    def test_live(self) -> None:
        """Only who is live is given a message, and the deliveries are counted."""
        live, behind = self.subscriber(5, 5), self.subscriber(5, 3)
        self.assertEqual(self.fanout.publish(TOPIC.key, [Item(6), Item(7)]), (2, []))
        self.assertEqual((self.written[live], self.written[behind]), (b"6 7 ", b""))

    def test_gate_after_a_publish(self) -> None:
        """The gate of who was behind opens at the newest message, and not before."""
        self.subscriber(5, 5)
        behind = self.subscriber(5, 3)
        self.fanout.publish(TOPIC.key, [Item(6)])
        for position, opens in ((5, False), (6, True)):
            behind.replay.position = position
            self.assertEqual(self.fanout.open_gate(behind, 9), opens)

    def test_begins_at_the_head(self) -> None:
        """A new audience begins at the log's head, so an older page is not complete."""
        self.assertIs(self.subscriber(8, 7).replay.gate, Gate.CLOSED)

    def test_head_found_later(self) -> None:
        """An audience that is there before the log's head is known begins at that."""
        one = self.subscriber(0, -1)
        for position, opens in ((7, False), (8, True)):
            one.replay.position = position
            self.assertEqual(self.fanout.open_gate(one, 8), opens)

    def test_encoded_once_for_each_form(self) -> None:
        """A message is encoded once for a wire form, however many take it."""
        for form in ("a", "a", "b", "b", "b"):
            self.subscriber(0, 0, form)
        item = Item(1)
        self.assertEqual(self.fanout.publish(TOPIC.key, [item]), (5, []))
        self.assertEqual(item.encoded, ["a", "b"])

    def test_lagging(self) -> None:
        """Who could not take a message is no longer live, and stands before it."""
        quick, slow = self.subscriber(0, 0), self.subscriber(0, 0)
        slow.send_queue.paused = True
        self.assertEqual(self.fanout.publish(TOPIC.key, [Item(1)]), (1, [slow]))
        self.assertEqual(self.fanout.publish(TOPIC.key, [Item(2)]), (1, []))
        self.assertEqual((slow.replay.gate, slow.replay.position), (Gate.CLOSED, 0))
        self.assertEqual(self.written[quick], b"1 2 ")

    def test_slices(self) -> None:
        """A burst is handed on in slices: who fails in the second has the first."""
        slow = self.subscriber(0, 0)
        write = slow.send_queue.write

        def full_after_one(blob: bytes) -> None:
            write(blob)
            slow.send_queue.paused = True

        slow.send_queue.write = full_after_one
        items = [Item(number, SLICE_BYTES // 2) for number in range(1, 6)]
        self.assertEqual(self.fanout.publish(TOPIC.key, items), (2, [slow]))
        self.assertEqual((self.written[slow], slow.replay.position), (b"1 2 ", 2))

    def test_detach(self) -> None:
        """Who has left is given nothing; the last one takes the audience with it."""
        first, second = self.subscriber(0, 0), self.subscriber(0, 0)
        self.fanout.detach(first)
        self.fanout.detach(first)
        self.assertEqual(self.fanout.publish(TOPIC.key, [Item(1)]), (1, []))
        self.assertEqual((self.written[first], self.written[second]), (b"", b"1 "))
        self.assertTrue(first.ended)
        self.fanout.detach(second)
        self.assertEqual(self.fanout.keys(), frozenset())

    def test_interrupted(self) -> None:
        """After a failed publish nobody is live, and gates open past its messages only."""
        live, behind = self.subscriber(5, 5), self.subscriber(5, 3)
        self.assertEqual(self.fanout.interrupted(TOPIC.key, 7), ([live], [behind]))
        self.assertEqual(self.fanout.publish(TOPIC.key, [Item(8)]), (0, []))
        for position, opens in ((7, False), (8, True)):
            behind.replay.position = position
            self.assertEqual(self.fanout.open_gate(behind, 9), opens)

    def test_interrupted_without_subscribers(self) -> None:
        """Harmless where nobody follows the topic."""
        self.assertEqual(self.fanout.interrupted(TOPIC.key, 7), ([], []))
