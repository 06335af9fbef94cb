"""The send queue of one connection, and the flush batch."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.fanout import FEW, Group, Subscription
from takotwist.core.send_queue import FlushBatch, SendQueue
from takotwist.core.topic import Topic


class TestSendQueue(SynchronousTestCase):
    """Joined, bounded, in order."""

    def setUp(self) -> None:
        self.batch = FlushBatch()
        self.written: list[bytes] = []
        self.queue = SendQueue(10, self.batch)

    def connect(self, *, at_once: bool = False) -> None:
        self.queue.connect("form", self.written.append, at_once=at_once)

    def test_joined(self) -> None:
        """Frames of one batch leave in one write, in order, at its end."""
        self.connect()
        for blob in (b"a", b"b", b"c"):
            self.assertTrue(self.queue.push(blob))
        self.assertEqual(self.written, [])
        self.batch.end()
        self.batch.end()
        self.assertEqual(self.written, [b"abc"])

    def test_bounded(self) -> None:
        """What does not fit is refused whole, and what was taken is written."""
        self.connect()
        self.assertTrue(self.queue.push(b"12345678"))
        self.assertFalse(self.queue.push(b"345"))
        self.assertTrue(self.queue.push(b"90"))
        self.batch.end()
        self.assertEqual(self.written, [b"1234567890"])

    def test_larger_than_the_bound(self) -> None:
        """An empty queue takes a frame of any size, or it could never be delivered."""
        self.connect()
        self.assertTrue(self.queue.push(b"x" * 50))
        self.assertFalse(self.queue.push(b"y"))
        self.queue.flush()
        self.assertTrue(self.queue.push(b"y"))

    def test_back_pressure(self) -> None:
        """While the transport's buffer is full nothing is taken, either way."""
        self.connect()
        self.queue.paused = True
        self.assertFalse(self.queue.push(b"a"))
        self.assertFalse(self.queue.push_at_once(b"a"))
        self.queue.paused = False
        self.assertTrue(self.queue.push_at_once(b"b"))
        self.assertEqual(self.written, [b"b"])

    def test_at_once(self) -> None:
        """A connection with one topic is written to in the delivery itself."""
        self.connect(at_once=True)
        self.assertTrue(self.queue.deliver(b"a"))
        self.assertEqual(self.written, [b"a"])

    def test_at_once_behind_what_waits(self) -> None:
        """A delivery does not overtake a control frame that waits for the batch's end."""
        self.connect(at_once=True)
        self.queue.push(b"control")
        self.queue.deliver(b"a")
        self.assertEqual(self.written, [])
        self.batch.end()
        self.assertEqual(self.written, [b"controla"])

    def test_before_the_connection_is_open(self) -> None:
        """Bytes before `connect` go nowhere, and do not come later."""
        self.queue.push(b"a")
        self.batch.end()
        self.connect()
        self.batch.end()
        self.assertEqual(self.written, [])

    def test_discard(self) -> None:
        """A connection that is gone takes nothing, and what was pending is not written."""
        self.connect()
        self.queue.push(b"a")
        self.queue.discard()
        self.assertFalse(self.queue.deliver(b"b"))
        self.assertFalse(self.queue.push(b"c"))
        self.batch.end()
        self.assertEqual(self.written, [])

    def test_discard_of_a_group_member(self) -> None:
        """A connection that is gone is not sent to by its group either."""
        group, sent = Group(), list[bytes]()
        members = []
        for _ in range(FEW + 1):
            queue = SendQueue(10, self.batch)
            # A method of an object of its own, as a socket's is: no two are equal.
            queue.connect("form", sent.append, at_once=True, send=_Socket(sent).send)
            members.append(queue)
            group.add(Subscription(Topic.of("chat", {}), 0, queue, lambda *_: None, lambda _: None))
        members[0].discard()
        refused = group.hand(b"a", 1.0, tuple)
        self.assertEqual([one.send_queue for one in refused], [members[0]])
        self.assertEqual(sent, [b"a"] * FEW)

    def test_written_at(self) -> None:
        """The time of the last write is the batch's, whichever way the bytes left."""
        self.connect(at_once=True)
        self.batch.now = 3.0
        self.queue.push(b"a")
        self.assertEqual(self.queue.written_at, 0.0)
        self.batch.end()
        self.assertEqual(self.queue.written_at, 3.0)
        self.batch.now = 4.0
        self.queue.deliver(b"b")
        self.assertEqual(self.queue.written_at, 4.0)

    @given(
        st.lists(
            st.one_of(st.binary(min_size=1, max_size=12), st.sampled_from(("end", "pause", "go")))
        ),
        st.booleans(),
    )
    def test_taken_is_written(self, steps: list[bytes | str], at_once: bool) -> None:
        """What was taken is written, once and in order; what was refused is not."""
        batch, written, wanted = FlushBatch(), list[bytes](), list[bytes]()
        queue = SendQueue(16, batch)
        queue.connect("form", written.append, at_once=at_once)
        for step in steps:
            if isinstance(step, bytes):
                if queue.deliver(step):
                    wanted.append(step)
            elif step == "end":
                batch.end()
            else:
                queue.paused = step == "pause"
            pending = sum(map(len, wanted)) - sum(map(len, written))
            self.assertLessEqual(pending, 16)
        batch.end()
        self.assertEqual(b"".join(written), b"".join(wanted))


class _Socket:
    """A socket that takes everything."""

    def __init__(self, sent: list[bytes]) -> None:
        self.sent = sent

    def send(self, data: bytes) -> int:
        self.sent.append(data)
        return len(data)


class _Member:
    """A member of a batch that fails, or adds another."""

    def __init__(self, act: object = None) -> None:
        self.act, self.flushed = act, 0

    def flush(self) -> None:
        self.flushed += 1
        if callable(self.act):
            self.act()


class TestFlushBatch(SynchronousTestCase):
    """The members of one turn of the reactor."""

    def test_order(self) -> None:
        """Members are flushed in the order in which they were added."""
        batch, order = FlushBatch(), list[int]()
        for number in range(3):
            batch.add(_Member(lambda number=number: order.append(number)))
        batch.end()
        self.assertEqual(order, [0, 1, 2])

    def test_added_meanwhile(self) -> None:
        """A member that is added by a flush is flushed in the same end."""
        batch, late = FlushBatch(), _Member()
        batch.add(_Member(lambda: batch.add(late)))
        batch.end()
        self.assertEqual(late.flushed, 1)

    def test_failure(self) -> None:
        """A flush that fails is not tried again, and a further `end` goes on with the others."""
        batch, last = FlushBatch(), _Member()
        failing = _Member(lambda: 1 / 0)
        batch.delivering = True
        batch.add(failing)
        batch.add(last)
        self.assertRaises(ZeroDivisionError, batch.end)
        self.assertEqual((failing.flushed, last.flushed), (1, 0))
        self.assertTrue(batch.delivering)
        batch.end()
        self.assertEqual((failing.flushed, last.flushed), (1, 1))
        self.assertFalse(batch.delivering)

    def test_holding(self) -> None:
        """Direct sends of connections with something pending are known until the end."""
        batch, socket = FlushBatch(), _Socket([])
        send = socket.send
        queue = SendQueue(10, batch)
        queue.connect("form", lambda blob: None, send=send)
        queue.push(b"a")
        queue.push(b"b")
        self.assertEqual(batch.holding, [send])
        batch.end()
        self.assertEqual(batch.holding, [])
