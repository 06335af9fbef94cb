"""One end of a live object: every input, and the outputs that it leaves.

The whole protocol is told in steps by `tests/vectors/live.json`, and its laws are tested in
`tests.live.test_machine_properties`; here stands what each input does by itself.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist.live.machine.frames import (
    CLOSED,
    NETWORK,
    OVERFLOW,
    OVERHEAD,
    Bounds,
    Broken,
    Deliver,
    Ended,
    Failed,
    Forgotten,
    Frame,
    Opened,
    Output,
    Position,
    Sent,
    Transmit,
    Trouble,
)
from takotwist.live.machine.machine import Machine, Phase

ABORT = Trouble("abort", b"7")
ROOM = Position(0, 10**6, 10**6)


def message(seq: int = 0, data: bytes = b"1", *, ack: bool = False) -> Frame:
    """A message, of ours without a number."""
    return Frame("send", seq=seq, data=data, ack=ack)


class MachineTests(SynchronousTestCase):
    """Inputs of the user and of the wire."""

    def _machine(self, bounds: Bounds | None = None, *, attached: bool = True) -> Machine:
        machine = Machine(bounds or Bounds(), 0.0)
        if attached:
            machine.attach(ROOM, 0.0)
            self.assertEqual(machine.take(), [Opened()])
        return machine

    def _sent(self, out: list[Output]) -> list[tuple[str, int]]:
        return [(one.frame.do, one.frame.seq) for one in out if isinstance(one, Transmit)]

    def test_take(self) -> None:
        """Outputs are given once."""
        machine = self._machine()
        machine.send(message(), "a", 0.0)
        self.assertEqual(machine.take(), [Transmit(message(1)), Sent("a")])
        self.assertEqual(machine.take(), [])

    def test_send_before_attach(self) -> None:
        """Messages wait for the first wire, and leave in order."""
        machine = self._machine(attached=False)
        machine.send(message(data=b"1"), "a", 0.0)
        machine.send(message(data=b"2"), "b", 0.0)
        self.assertEqual((machine.take(), machine.ready), ([], False))
        self.assertGreater(machine.held, 0)
        machine.attach(ROOM, 1.0)
        self.assertEqual(
            machine.take(),
            [
                Opened(),
                Transmit(message(1, b"1")),
                Sent("a"),
                Transmit(message(2, b"2")),
                Sent("b"),
            ],
        )

    def test_overflow_ends(self) -> None:
        """More than the queue holds ends the object: no message is missed unseen."""
        machine = self._machine(Bounds(buffer=OVERHEAD + 1), attached=False)
        machine.send(message(), "a", 0.0)
        machine.send(message(), "b", 0.0)
        self.assertEqual(
            machine.take(), [Failed("a", OVERFLOW), Failed("b", OVERFLOW), Ended(OVERFLOW)]
        )

    def test_overflow_drops(self) -> None:
        """Where it was asked for, the oldest makes room, and the object goes on."""
        bounds = Bounds(buffer=OVERHEAD + 1, drop_oldest=True)
        machine = self._machine(bounds, attached=False)
        machine.send(message(data=b"1"), "a", 0.0)
        machine.send(message(data=b"2"), "b", 0.0)
        self.assertEqual(machine.take(), [Failed("a", OVERFLOW)])
        machine.attach(ROOM, 0.0)
        self.assertIn(Transmit(message(1, b"2")), machine.take())

    def test_back_pressure(self) -> None:
        """A wire that takes no more holds messages back; a new wire starts open."""
        machine = self._machine()
        machine.block(True, 0.0)
        machine.send(message(), "a", 0.0)
        self.assertEqual((machine.take(), machine.ready), ([], False))
        machine.block(False, 0.0)
        self.assertEqual(self._sent(machine.take()), [("send", 1)])
        machine.block(True, 0.0)
        machine.detach(0.0)
        machine.attach(ROOM, 0.0)
        self.assertTrue(machine.ready)

    def test_would_send(self) -> None:
        """A frame that the retransmit buffer cannot take would not leave at once."""
        machine = self._machine(Bounds(replay=2 * OVERHEAD))
        self.assertTrue(machine.would_send(message()))
        machine.send(message(), None, 0.0)
        self.assertFalse(machine.would_send(message(data=b"x" * OVERHEAD)))
        self.assertTrue(machine.ready)

    def test_answer(self) -> None:
        """A request is delivered and answered once."""
        machine = self._machine()
        machine.receive(message(1, ack=True), 0.0)
        self.assertEqual(machine.take(), [Deliver(message(1, ack=True))])
        machine.answer(1, b"2", None, 0.0)
        machine.answer(1, b"3", None, 0.0)
        self.assertEqual(machine.take(), [Transmit(Frame("ack", 1, b"2", of=1))])

    def test_duplicate(self) -> None:
        """A frame that comes again on a new wire is dropped without a word."""
        machine = self._machine()
        machine.receive(message(1), 0.0)
        machine.receive(message(1), 0.0)
        self.assertEqual(machine.take(), [Deliver(message(1))])

    def test_broken(self) -> None:
        """A gap, or an acknowledgement of what was never sent, breaks the protocol."""
        for frame in (message(2), Frame("credit", position=Position(9, 0, 0))):
            machine = self._machine()
            machine.receive(frame, 0.0)
            out = machine.take()
            self.assertIsInstance(out[0], Broken)
            self.assertIn(Ended(NETWORK), out)

    def test_report(self) -> None:
        """A ping reports what has changed, on a wire only."""
        machine = self._machine()
        machine.report()
        self.assertEqual(machine.take(), [])
        machine.receive(message(1), 0.0)
        machine.take()
        machine.report()
        self.assertEqual(self._sent(machine.take()), [("credit", 0)])
        machine.receive(message(2), 0.0)
        machine.take()
        machine.detach(0.0)
        machine.report()
        self.assertEqual(machine.take(), [])

    def test_resume(self) -> None:
        """A new wire gets what was not acknowledged, and no second `Opened`."""
        machine = self._machine()
        for handle in ("a", "b"):
            machine.send(message(), handle, 0.0)
        machine.take()
        machine.detach(1.0)
        machine.attach(Position(1, 10**6, 10**6), 2.0)
        self.assertEqual(machine.take(), [Transmit(message(2))])

    def test_cannot_resume(self) -> None:
        """A position that cannot be served ends the object, and does not skip a frame."""
        machine = self._machine()
        machine.attach(Position(5, 0, 0), 1.0)
        self.assertIn(Ended(NETWORK), machine.take())
        self.assertIs(machine.phase, Phase.FORGOTTEN)

    def test_close(self) -> None:
        """The close handshake: close, closed, end, ended."""
        machine = self._machine()
        machine.close(5.0, 0.0)
        self.assertEqual(machine.take(), [Transmit(Frame("close", 1, timeout=5.0))])
        self.assertTrue(machine.closed)
        machine.send(message(), "late", 1.0)
        self.assertEqual(machine.take(), [Failed("late", CLOSED)])
        machine.receive(Frame("closed", 1), 2.0)
        self.assertEqual(machine.take(), [Ended(None), Transmit(Frame("end"))])
        machine.receive(Frame("ended"), 3.0)
        self.assertEqual(machine.take(), [Forgotten()])
        self.assertIsNone(machine.deadline)

    def test_close_excused(self) -> None:
        """A listener that closes while it is asked is answered first, or it would wait for
        itself."""
        machine = self._machine()
        machine.receive(message(1, ack=True), 0.0)
        machine.take()
        machine.close(5.0, 0.0, excused=[1])
        self.assertEqual(self._sent(machine.take()), [("ack", 1), ("close", 2)])

    def test_closed_by_the_other_side(self) -> None:
        """Their close is answered when ours is done; messages after the end are only counted."""
        machine = self._machine()
        machine.receive(Frame("close", 1, timeout=5.0), 0.0)
        self.assertEqual(machine.take(), [Transmit(Frame("closed", 1)), Ended(None)])
        machine.receive(message(2), 0.0)
        self.assertEqual((machine.take(), machine.phase), ([], Phase.LINGERING))
        machine.receive(Frame("end"), 1.0)
        self.assertEqual(machine.take(), [Transmit(Frame("ended")), Forgotten()])

    def test_end_twice(self) -> None:
        """Only the first end counts."""
        machine = self._machine()
        machine.end(ABORT, 0.0)
        machine.take()
        machine.end(OVERFLOW, 0.0)
        machine.close(5.0, 0.0)
        self.assertEqual((machine.take(), machine.outcome), ([], ABORT))

    def test_abandon(self) -> None:
        """What is closed before it was handed out ends at once: nobody need agree."""
        machine = self._machine(attached=False)
        machine.abandon()
        machine.abandon()
        self.assertEqual(machine.take(), [Ended(None)])

    def test_after_the_end(self) -> None:
        """A forgotten object answers nothing, and no wire carries it."""
        machine = self._machine()
        machine.end(NETWORK, 0.0)
        machine.take()
        machine.attach(ROOM, 1.0)
        machine.receive(message(1), 1.0)
        machine.tick(1e9)
        self.assertEqual((machine.take(), machine.attached), ([], False))
