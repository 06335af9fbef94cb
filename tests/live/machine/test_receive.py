"""The receiver: sequence, duplicates, credit, open requests, and reports."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.live.machine.frames import Bounds, Deliver, Frame, Output, Position, Transmit
from takotwist.live.machine.receive import (
    REPORT_BYTES,
    REPORT_FRAMES,
    Receiver,
    ReceiveWindow,
    SendCredit,
    Verdict,
)


def message(seq: int, data: bytes = b"1", *, ack: bool = False) -> Frame:
    """A message with a sequence number."""
    return Frame("send", seq=seq, data=data, ack=ack)


class SendCreditTests(SynchronousTestCase):
    """Credit that the other side has granted."""

    def test_none(self) -> None:
        """Nothing may be sent before the other side has granted something."""
        self.assertFalse(SendCredit().open)

    def test_either(self) -> None:
        """Bytes and messages both limit; the last message may exceed the bytes."""
        credit = SendCredit()
        credit.granted(Position(0, 10, 3))
        credit.sent(message(1, b"123456789"))
        self.assertTrue(credit.open)
        credit.sent(message(2, b"123456789"))
        self.assertFalse(credit.open)
        credit.granted(Position(2, 1000, 3))
        self.assertTrue(credit.open)
        credit.sent(message(3))
        self.assertFalse(credit.open)

    @given(st.lists(st.builds(Position, st.just(0), st.integers(0, 50), st.integers(0, 50))))
    def test_order_of_positions(self, positions: list[Position]) -> None:
        """Totals only grow: positions may come late or twice, in any order."""
        one, other = SendCredit(), SendCredit()
        for position in positions:
            one.granted(position)
        for position in sorted(positions * 2, key=lambda each: (-each.bytes, each.messages)):
            other.granted(position)
        self.assertEqual(one._bytes, other._bytes)
        self.assertEqual(one._messages, other._messages)


class ReceiveWindowTests(SynchronousTestCase):
    """Credit that we grant."""

    def test_over_credit(self) -> None:
        """A message beyond the window is refused until an earlier one is consumed."""
        window = ReceiveWindow(1000, 2)
        self.assertTrue(window.take(message(1)))
        self.assertTrue(window.take(message(2)))
        self.assertFalse(window.take(message(3)))
        window.consumed(1)
        self.assertTrue(window.take(message(3)))

    def test_control_frames(self) -> None:
        """Answers and the close handshake need no credit."""
        window = ReceiveWindow(1, 1)
        window.take(message(1, b"12"))
        self.assertTrue(window.take(Frame("ack", seq=2, of=1, data=b"1")))
        self.assertEqual(window.position.seq, 2)

    def test_consumed_twice(self) -> None:
        """A message gives its credit back once."""
        window = ReceiveWindow(100, 10)
        window.take(message(1, b"12345"))
        window.consumed(1)
        window.consumed(1)
        window.consumed(99)
        self.assertEqual(window.position, Position(1, 105, 11))

    def test_due(self) -> None:
        """A report does not wait for a ping after many frames, many bytes, or a quarter of the
        window."""
        by_frames = ReceiveWindow(10**9, 10**9)
        for seq in range(1, REPORT_FRAMES):
            by_frames.take(message(seq))
        self.assertFalse(by_frames.due)
        by_frames.take(message(REPORT_FRAMES))
        self.assertTrue(by_frames.due)
        by_bytes = ReceiveWindow(10**9, 10**9)
        by_bytes.take(message(1, b"x" * REPORT_BYTES))
        self.assertTrue(by_bytes.due)
        by_credit = ReceiveWindow(1000, 4)
        by_credit.take(message(1))
        self.assertFalse(by_credit.due)
        by_credit.consumed(1)
        self.assertTrue(by_credit.due)
        by_credit.say()
        self.assertFalse(by_credit.due)

    @given(st.lists(st.tuples(st.booleans(), st.integers(0, 40)), max_size=60))
    def test_never_beyond(self, moves: list[tuple[bool, int]]) -> None:
        """What is taken and not consumed is at most the window, and one message more in bytes."""
        window, sizes = ReceiveWindow(100, 4), dict[int, int]()
        for take, number in moves:
            if take:
                if window.take(message(window.seq + 1, b"x" * number)):
                    sizes[window.seq] = number
            elif sizes:
                seq = sorted(sizes)[number % len(sizes)]
                del sizes[seq]
                window.consumed(seq)
            self.assertLessEqual(len(sizes), 4)
            self.assertLess(sum(sizes.values()), 100 + 40)


class ReceiverTests(SynchronousTestCase):
    """The receiving half of a machine."""

    def setUp(self) -> None:
        self.out: list[Output] = []
        self.receiver = Receiver(Bounds(window_bytes=100, window_messages=2), self.out)

    def test_next_duplicate_skip(self) -> None:
        """The next frame is taken, an earlier one dropped, and a gap breaks the protocol."""
        self.assertIs(self.receiver.judge(message(1), 0), Verdict.NEXT)
        self.assertIs(self.receiver.judge(message(1), 0), Verdict.DUPLICATE)
        self.assertIs(self.receiver.judge(message(3), 0), Verdict.SKIPS)
        self.assertEqual(self.receiver.position().seq, 1)

    def test_over_credit(self) -> None:
        """A message beyond the window is not taken."""
        for seq in (1, 2):
            self.receiver.judge(message(seq), 0)
        self.assertIs(self.receiver.judge(message(3), 0), Verdict.OVER_CREDIT)

    def test_over_answers(self) -> None:
        """Requests without credit are bounded by answers: those not given and those not sent."""
        for seq in (1, 2):
            frame = Frame("subscribe", seq=seq, kind="text", ack=True)
            self.assertIs(self.receiver.judge(frame, 1), Verdict.NEXT)
            self.receiver.deliver(frame)
        third = Frame("subscribe", seq=3, kind="text", ack=True)
        self.assertIs(self.receiver.judge(third, 2), Verdict.OVER_ANSWERS)

    def test_answered_once(self) -> None:
        """A request is answered once; its credit comes back when its answer has left."""
        self.receiver.judge(request := message(1, ack=True), 0)
        self.receiver.deliver(request)
        self.assertEqual(self.out, [Deliver(request)])
        self.assertTrue(self.receiver.owes)
        self.assertTrue(self.receiver.answered(1))
        self.assertEqual(self.receiver.position().messages, 2)
        self.receiver.consumed(1)
        self.assertEqual(self.receiver.position().messages, 3)
        self.assertFalse(self.receiver.answered(1))
        self.assertFalse(self.receiver.owes)

    def test_answered_without_request(self) -> None:
        """An answer that nobody asked for only gives the credit back."""
        self.receiver.judge(plain := message(1), 0)
        self.receiver.deliver(plain)
        self.assertFalse(self.receiver.answered(1))
        self.assertEqual(self.receiver.position().messages, 3)

    def test_settle(self) -> None:
        """At the end no request is open."""
        self.receiver.judge(request := message(1, ack=True), 0)
        self.receiver.deliver(request)
        self.receiver.settle()
        self.assertFalse(self.receiver.owes)
        self.assertFalse(self.receiver.answered(1))

    def test_report(self) -> None:
        """A ping reports each change once; between pings only what is due goes."""
        self.receiver.report(when_due=False)
        self.assertEqual(self.out, [])
        self.receiver.judge(message(1), 0)
        self.receiver.report(when_due=True)
        self.assertEqual(self.out, [])
        self.receiver.report(when_due=False)
        self.receiver.report(when_due=False)
        self.assertEqual(self.out, [Transmit(Frame("credit", position=Position(1, 100, 2)))])
