"""The lifecycle: its timeouts, the close handshake, and each way to end."""

from __future__ import annotations

from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from takotwist.live.machine.frames import (
    CLOSED,
    LEFT,
    NETWORK,
    OVERFLOW,
    TIMED_OUT,
    Bounds,
    Broken,
    Ended,
    Failed,
    Forgotten,
    Frame,
    Opened,
    Output,
    Transmit,
    Trouble,
)
from takotwist.live.machine.lifecycle import TRANSITIONS, CloseHandshake, Lifecycle, Phase
from takotwist.live.machine.receive import Receiver
from takotwist.live.machine.send import Sender

BOUNDS = Bounds(connect_ttl=5.0, reconnect_timeout=60.0)
ABORT = Trouble("abort", b"7")


class CloseHandshakeTests(SynchronousTestCase):
    """Facts of the handshake, and what is due by them."""

    def test_until(self) -> None:
        """The shorter timeout of the two sides holds, whichever comes first."""
        for first, second in ((3.0, 9.0), (9.0, 3.0)):
            closing = CloseHandshake()
            closing.until(first)
            closing.until(second)
            self.assertEqual(closing.deadline, 3.0)

    def test_never_closed_before_close(self) -> None:
        """``closed`` answers the other side's ``close``, and comes after our own ``close``."""
        for ours, theirs, close_sent, closed_sent in product((False, True), repeat=4):
            closing = CloseHandshake(ours, theirs, close_sent, closed_sent)
            if closing.closed_due:
                self.assertTrue(theirs and not closed_sent)
                self.assertFalse(closing.close_due)

    def test_complete(self) -> None:
        """Whoever did not ask to close is done with its own ``closed``; where both asked, both
        must have said it."""
        self.assertFalse(CloseHandshake().complete)
        self.assertTrue(CloseHandshake(ours=True, closed_received=True).complete)
        self.assertTrue(CloseHandshake(theirs=True, closed_sent=True).complete)
        both = CloseHandshake(ours=True, theirs=True, closed_sent=True)
        self.assertFalse(both.complete)
        both.closed_received = True
        self.assertTrue(both.complete)


class LifecycleTests(SynchronousTestCase):
    """States, by what happens in them."""

    def setUp(self) -> None:
        self.out: list[Output] = []
        self.sender = Sender(BOUNDS, self.out)
        self.receiver = Receiver(BOUNDS, self.out)
        self.life = Lifecycle(BOUNDS, 0.0, self.receiver, self.sender, self.out)

    def _open(self) -> None:
        self.life.phase, self.life.attached = Phase.OPEN, True

    def test_never_attached(self) -> None:
        """Nobody attached in time: it ends with a network error, and is forgotten."""
        self.life.begin(2.0)
        self.life.tick(6.9)
        self.assertEqual((self.life.deadline, self.out), (7.0, []))
        self.life.tick(7.0)
        self.assertEqual(self.out, [Ended(NETWORK), Forgotten()])
        self.assertIsNone(self.life.deadline)

    def test_without_connect_timeout(self) -> None:
        """Without a timeout it waits for its first attach for ever."""
        bounds = Bounds(connect_ttl=None)
        life = Lifecycle(bounds, 0.0, self.receiver, self.sender, self.out)
        self.assertIsNone(life.deadline)

    def test_attach(self) -> None:
        """The first attach opens it, which its user is told once."""
        self.life.attach()
        self.assertEqual((self.life.phase, self.out), (Phase.OPEN, [Opened()]))
        self.life.detach(1.0)
        self.life.attach()
        self.assertEqual((self.life.phase, self.out), (Phase.OPEN, [Opened()]))

    def test_no_other_phases(self) -> None:
        """A transition that the table does not have is refused, each of them, and says nothing."""
        for phase in Phase:
            for to in set(Phase) - TRANSITIONS[phase]:
                self.life.phase = phase
                self.assertRaises(RuntimeError, self.life._enter, to)
                self.assertEqual((self.life.phase, self.out), (phase, []))

    def test_settled_once(self) -> None:
        """It ends for its user once: a second end is refused and comes to nobody."""
        self.life.settle(ABORT)
        said = list(self.out)
        self.assertRaises(RuntimeError, self.life.settle, None)
        self.assertEqual((self.life.outcome, self.out), (ABORT, said))

    def test_cut(self) -> None:
        """After a cut it waits for another wire, from the first cut on."""
        self._open()
        self.assertIsNone(self.life.deadline)
        self.life.detach(10.0)
        self.life.detach(30.0)
        self.assertEqual(self.life.deadline, 70.0)
        self.life.tick(70.0)
        self.assertEqual(self.out, [Ended(NETWORK), Forgotten()])

    def test_abort(self) -> None:
        """An end with an error is told to the other side and kept until it knows."""
        self._open()
        self.life.end(ABORT, 1.0)
        self.assertEqual(self.out, [Ended(ABORT), Transmit(Frame("end", error=ABORT))])
        self.assertEqual((self.life.phase, self.life.outcome), (Phase.OVER, ABORT))
        self.assertEqual(self.life.deadline, 61.0)
        self.life.ended_received()
        self.assertIs(self.life.phase, Phase.FORGOTTEN)

    def test_abort_unknown_to_the_other_side(self) -> None:
        """Where the other side never comes for it, an end is forgotten after the timeout."""
        self.life.end(OVERFLOW, 1.0)
        self.assertEqual(self.out, [Ended(OVERFLOW)])
        self.life.tick(61.0)
        self.assertEqual(self.out[-1], Forgotten())

    def test_nobody_to_tell(self) -> None:
        """A lost or left page needs no memory of the end."""
        for trouble in (NETWORK, LEFT):
            self.setUp()
            self.life.end(trouble, 1.0)
            self.assertIs(self.life.phase, Phase.FORGOTTEN)

    def test_ended_by_the_other_side(self) -> None:
        """Their end is confirmed, and nothing is kept."""
        self._open()
        self.sender.push(Frame("send", data=b"1"), "queued")
        self.life.end_received(ABORT)
        self.assertEqual(
            self.out, [Failed("queued", ABORT), Ended(ABORT), Transmit(Frame("ended")), Forgotten()]
        )

    def test_broken(self) -> None:
        """A breach of the protocol ends the object; one after the end forgets it."""
        self._open()
        self.life.broken("why", 1.0)
        self.assertEqual(self.out[:2], [Broken("why"), Ended(NETWORK)])
        self.assertIs(self.life.phase, Phase.FORGOTTEN)
        self.setUp()
        self._open()
        self.life.end(ABORT, 1.0)
        self.life.broken("why", 1.0)
        self.assertEqual(self.out[-2:], [Broken("why"), Forgotten()])

    def test_close_waits_for_the_queue(self) -> None:
        """``close`` goes behind what was sent before it."""
        self._open()
        self.life.closing.ours = True
        self.life.closing.until(9.0)
        self.sender.push(Frame("send", data=b"1"), None)
        self.life.send_closes(2.0)
        self.assertEqual(self.out, [])
        self.sender.settle(None)
        self.life.send_closes(4.0)
        self.life.send_closes(5.0)
        self.assertEqual(self.out, [Transmit(Frame("close", seq=1, timeout=5.0))])

    def test_closed_waits_for_answers(self) -> None:
        """``closed`` goes when their requests to us are answered."""
        self._open()
        request = Frame("send", seq=1, data=b"1", ack=True)
        self.receiver.judge(request, 0)
        self.receiver.deliver(request)
        self.life.closing.theirs = True
        self.out.clear()
        self.life.send_closes(1.0)
        self.assertEqual(self.out, [])
        self.receiver.answered(1)
        self.life.send_closes(1.0)
        self.assertEqual(self.out, [Transmit(Frame("closed", seq=1))])

    def test_closed_by_us(self) -> None:
        """Who has only asked tells the end, and keeps it until the other side knows."""
        self._open()
        self.life.closing.ours = self.life.closing.closed_received = True
        self.life.conclude(3.0)
        self.assertEqual(self.out, [Ended(None), Transmit(Frame("end"))])
        self.assertIs(self.life.phase, Phase.OVER)
        self.life.conclude(4.0)
        self.assertEqual(len(self.out), 2)

    def test_closed_by_them(self) -> None:
        """Who has said ``closed`` lingers: the other side may need it again."""
        self._open()
        self.life.closing.theirs = self.life.closing.closed_sent = True
        self.life.conclude(3.0)
        self.assertEqual(self.out, [Ended(None)])
        self.assertIs(self.life.phase, Phase.LINGERING)
        self.life.ended_received()
        self.assertIs(self.life.phase, Phase.LINGERING)
        self.life.tick(63.0)
        self.assertIs(self.life.phase, Phase.FORGOTTEN)

    def test_close_timeout(self) -> None:
        """A close that takes too long ends with an error that says so."""
        self._open()
        self.life.closing.ours = True
        self.life.closing.until(9.0)
        self.sender.push(Frame("send", data=b"1"), "queued")
        self.life.tick(9.0)
        self.assertEqual(self.out[:2], [Failed("queued", TIMED_OUT), Ended(TIMED_OUT)])
        self.assertEqual(TIMED_OUT.code, CLOSED.code)
        self.assertIs(self.life.phase, Phase.OVER)

    def test_begin_after_cut(self) -> None:
        """Only the first attach, or the memory of an end, is timed anew."""
        self._open()
        self.life.detach(10.0)
        self.life.begin(50.0)
        self.assertEqual(self.life.deadline, 70.0)
