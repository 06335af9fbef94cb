"""The sender: send queue, retransmit buffer, open requests, and the sum of all buffers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.live.machine.frames import (
    CLOSED,
    NETWORK,
    OVERFLOW,
    OVERHEAD,
    Answered,
    Bounds,
    Failed,
    Frame,
    Output,
    Position,
    Sent,
    Transmit,
    Trouble,
)
from takotwist.live.machine.send import (
    Backlog,
    QueuedFrame,
    RetransmitBuffer,
    Sender,
    SendQueue,
)

GENEROUS = Position(0, 10**9, 10**9)


def text(data: bytes = b"1", seq: int = 0) -> Frame:
    """A text message."""
    return Frame("send", seq=seq, data=data)


def binary(data: bytes = b"1", seq: int = 0) -> Frame:
    """A binary message."""
    return Frame("send", seq=seq, data=data, binary=True)


class SendQueueTests(SynchronousTestCase):
    """Frames without a number."""

    def test_kinds_apart(self) -> None:
        """Binary data never counts against the limit of text, nor text against that of binary."""
        queue = SendQueue((OVERHEAD, OVERHEAD))
        queue.push(QueuedFrame(binary(b"x" * 100)))
        self.assertTrue(queue.over(True))
        self.assertFalse(queue.over(False))

    def test_drop_oldest(self) -> None:
        """The oldest message of the kind goes; control frames and the other kind stay in order."""
        queue = SendQueue((0, 0))
        control = Frame("subscribe", kind="text")
        for frame in (control, binary(b"a"), text(b"b"), binary(b"c")):
            queue.push(QueuedFrame(frame))
        self.assertEqual(queue.drop_oldest(True).frame.data, b"a")
        self.assertEqual(queue.drop_oldest(False).frame.data, b"b")
        self.assertEqual([one.frame for one in queue.clear()], [control, binary(b"c")])

    @given(st.lists(st.sampled_from(["text", "binary", "control", "pop", "drop"])))
    def test_size(self, moves: list[str]) -> None:
        """The size is the weight of the messages that are in it, whatever came and went."""
        queue, model = SendQueue((0, 0)), list[Frame]()
        frames = {"text": text(b"12"), "binary": binary(b"345"), "control": Frame("closed")}
        for move in moves:
            if move in frames:
                model.append(frames[move])
                queue.push(QueuedFrame(frames[move]))
            elif move == "pop" and model:
                self.assertEqual(queue.pop().frame, model.pop(0))
            elif move == "drop" and frames["text"] in model:
                model.remove(frames["text"])
                queue.drop_oldest(False)
            weights = [one.weight for one in model if one.do == "send"]
            self.assertEqual((queue.size, len(queue)), (sum(weights), len(model)))


class RetransmitBufferTests(SynchronousTestCase):
    """Frames that are sent and not acknowledged."""

    def test_acknowledge(self) -> None:
        """Acknowledged frames are dropped; the rest stays in order."""
        buffer = RetransmitBuffer((10**6, 10**6))
        for seq in (1, 2, 3):
            buffer.keep(text(seq=seq))
        self.assertTrue(buffer.acknowledge(2))
        self.assertEqual([one and one.seq for one in buffer.missing()], [3])

    def test_impossible(self) -> None:
        """Nobody acknowledges less than before, or what was never sent."""
        buffer = RetransmitBuffer((10**6, 10**6))
        buffer.keep(text(seq=1))
        self.assertFalse(buffer.acknowledge(2))
        self.assertTrue(buffer.acknowledge(1))
        self.assertFalse(buffer.acknowledge(0))

    def test_fits(self) -> None:
        """One frame always fits an empty buffer, of each kind; a second one within the limit."""
        buffer = RetransmitBuffer((OVERHEAD + 10, OVERHEAD + 10))
        large = text(b"x" * 1000, seq=1)
        self.assertTrue(buffer.fits(large))
        buffer.keep(text(b"x" * 10, seq=1))
        self.assertFalse(buffer.fits(text()))
        self.assertTrue(buffer.fits(binary()))

    def test_hole(self) -> None:
        """A frame larger than the limit is sent and not kept: it is missing on a new wire."""
        buffer = RetransmitBuffer((500, 500))
        buffer.keep(text(b"x" * 501, seq=1))
        self.assertEqual(list(buffer.missing()), [None])
        self.assertEqual(buffer.size, OVERHEAD)


class SenderTests(SynchronousTestCase):
    """The sending half of a machine."""

    def setUp(self) -> None:
        self.out: list[Output] = []
        self.sender = Sender(Bounds(replay=2 * (OVERHEAD + 1)), self.out)

    def _sent(self) -> list[int]:
        return [one.frame.seq for one in self.out if isinstance(one, Transmit)]

    def test_without_credit(self) -> None:
        """A message has no number until there is credit for it; answers need none."""
        self.sender.push(text(), "first")
        self.sender.push_answer(Frame("ack", of=9, data=b"1"))
        self.assertEqual(self.sender.flush(), [9])
        self.assertEqual(self._sent(), [1])
        self.sender.granted(Position(0, 100, 1))
        self.sender.flush()
        self.assertEqual(self.out[-2:], [Transmit(text(seq=2)), Sent("first")])

    def test_full_retransmit_buffer(self) -> None:
        """Sending stops while the other side acknowledges nothing, and goes on when it does."""
        self.sender.granted(GENEROUS)
        for _ in range(3):
            self.sender.push(text(), None)
        self.sender.flush()
        self.assertEqual(self._sent(), [1, 2])
        self.assertFalse(self.sender.fits(text()))
        self.sender.granted(Position(1, 0, 0))
        self.sender.flush()
        self.assertEqual(self._sent(), [1, 2, 3])

    def test_retransmit(self) -> None:
        """A new wire gets what the other side lacks, under the same numbers."""
        self.sender.granted(GENEROUS)
        for _ in range(2):
            self.sender.push(text(), None)
        self.sender.flush()
        self.out.clear()
        self.assertTrue(self.sender.retransmit(Position(1, 0, 0)))
        self.assertEqual(self._sent(), [2])

    def test_retransmit_impossible(self) -> None:
        """Where a frame was dropped nothing is sent: a gap must not reach the other side."""
        self.sender.granted(GENEROUS)
        self.sender.push(text(b"x" * 1000), None)
        self.sender.flush()
        self.out.clear()
        self.assertFalse(self.sender.retransmit(Position(0, 0, 0)))
        self.assertFalse(self.sender.retransmit(Position(7, 0, 0)))
        self.assertEqual(self.out, [])

    def test_late_position(self) -> None:
        """A position that an older wire brings late changes nothing; an impossible one is told."""
        self.sender.granted(GENEROUS)
        self.sender.push(text(), None)
        self.sender.flush()
        self.assertTrue(self.sender.granted(Position(1, 0, 0)))
        self.assertTrue(self.sender.granted(Position(0, 0, 0)))
        self.assertFalse(self.sender.granted(Position(2, 0, 0)))

    def test_answers_to_us(self) -> None:
        """A request gets its answer or its error, once."""
        self.sender.granted(GENEROUS)
        for name in ("one", "two"):
            self.sender.push(Frame("send", data=b"1", ack=True), name)
        self.sender.flush()
        self.assertTrue(self.sender.owes)
        self.out.clear()
        self.sender.answered(Frame("ack", of=1, data=b"2", values=b"[]"))
        self.sender.answered(Frame("ack", of=1, data=b"3"))
        self.sender.answered(Frame("ack", of=2, error=Trouble("failed")))
        self.assertEqual(self.out, [Answered("one", b"2", b"[]"), Failed("two", Trouble("failed"))])
        self.assertFalse(self.sender.owes)

    def test_settle(self) -> None:
        """At the end open requests and queued messages fail; without an error as closed."""
        self.sender.granted(Position(0, 100, 1))
        self.sender.push(Frame("send", data=b"1", ack=True), "asked")
        self.sender.push(text(), "queued")
        self.sender.push(text(), None)
        self.sender.flush()
        self.out.clear()
        self.sender.settle(NETWORK)
        self.assertEqual(self.out, [Failed("asked", NETWORK), Failed("queued", NETWORK)])
        self.sender.push(text(), "late")
        self.sender.settle(None)
        self.assertEqual(self.out[-1], Failed("late", CLOSED))
        self.assertFalse(self.sender.owes)

    def test_drop_oldest(self) -> None:
        """A dropped message fails with overflow."""
        self.sender.push(text(), "old")
        self.sender.push(text(), "new")
        self.sender.drop_oldest(False)
        self.assertEqual(self.out, [Failed("old", OVERFLOW)])

    def test_held(self) -> None:
        """The size counts what is queued and what may be sent again, and is 0 at the end."""
        self.sender.granted(Position(0, 100, 1))
        for _ in range(2):
            self.sender.push(text(), None)
        self.sender.flush()
        self.assertEqual(self.sender.held, 2 * (OVERHEAD + 1))
        self.sender.settle(None)
        self.sender.forget()
        self.assertEqual(self.sender.held, 0)


class _Owner:
    """An object that lets go of everything when it is told to end, or only later."""

    def __init__(self, backlog: Backlog, *, at_once: bool = True) -> None:
        self.backlog, self.at_once, self.overflows = backlog, at_once, 0

    def overflow(self) -> None:
        self.overflows += 1
        if self.at_once:
            self.backlog.note(self, 0)


class BacklogTests(SynchronousTestCase):
    """The sum of the buffers of all objects."""

    def test_largest_ends(self) -> None:
        """Over the limit the one that holds most ends, and not the one that came last."""
        backlog = Backlog(100)
        large, small = _Owner(backlog), _Owner(backlog)
        backlog.note(large, 80)
        backlog.note(small, 30)
        self.assertEqual((large.overflows, small.overflows, backlog.size), (1, 0, 30))

    def test_shrinking(self) -> None:
        """Nobody ends for holding less than before."""
        backlog = Backlog(100)
        slow, other = _Owner(backlog, at_once=False), _Owner(backlog)
        backlog.note(slow, 150)
        backlog.note(other, 0)
        self.assertEqual(slow.overflows, 1)
        backlog.note(slow, 120)
        self.assertEqual((slow.overflows, backlog.size), (1, 120))
