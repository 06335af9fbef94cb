"""Bytes straight to the sockets of a group: whole, in order, and never behind an end."""

from __future__ import annotations

import contextlib
from itertools import chain

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.fanout import FEW, Group, Subscription
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
