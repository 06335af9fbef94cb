"""Answers wait for the other side's reports, and what it may ask meanwhile is bounded."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist.live.machine.frames import Bounds, Broken, Deliver, Frame, Output, Position, Transmit
from takotwist.live.machine.machine import Machine

BOUNDS = Bounds(window_messages=10, replay=401 * 5)


class AnswersTests(SynchronousTestCase):
    """One end that answers at once, and another that asks."""

    def setUp(self) -> None:
        self.machine = Machine(BOUNDS, 0.0)
        self.machine.attach(Position(0, 0, 0), 0.0)
        self.out: list[Output] = []
        self.asked = 0
        self.answers = 0

    def _turn(self) -> bool:
        """Answer what has come; whether the other side is still listened to."""
        while out := self.machine.take():
            self.out += out
            for output in out:
                if isinstance(output, Deliver):
                    self.machine.answer(output.frame.seq, b"1", None, 0.0)
                elif isinstance(output, Transmit) and output.frame.do == "ack":
                    self.answers += 1
        return not any(isinstance(output, Broken) for output in self.out)

    def _ask(self, frame: Frame) -> bool:
        self.asked += 1
        self.machine.receive(frame, 0.0)
        return self._turn()

    def _request(self) -> bool:
        return self._ask(Frame("send", seq=self.asked + 1, data=b"1", ack=True))

    def _subscribe(self) -> bool:
        return self._ask(Frame("subscribe", seq=self.asked + 1, kind="text", ack=True))

    def test_never_reported(self) -> None:
        """Who asks and reports nothing has the credit for the answers that left, and no more."""
        while self._request():
            self.assertLess(self.asked, 100)
        self.assertEqual(self.answers, 5)
        self.assertEqual(self.asked, 5 + BOUNDS.window_messages + 1)

    def test_reported(self) -> None:
        """Who reports what it has can ask for ever, and every answer comes."""
        for _ in range(500):
            self.assertTrue(self._request())
            if self.asked % 4 == 0:
                self.machine.receive(Frame("credit", position=Position(self.answers, 0, 0)), 0.0)
                self.assertTrue(self._turn())
        while self.answers < 500:
            self.machine.receive(Frame("credit", position=Position(self.answers, 0, 0)), 0.0)
            self.assertTrue(self._turn())

    def test_requests_without_credit(self) -> None:
        """What needs no credit is bounded by the answers that wait, twice the window."""
        while self._subscribe():
            self.assertLess(self.asked, 100)
        self.assertEqual(self.answers, 5)
        self.assertEqual(self.asked, 5 + 2 * BOUNDS.window_messages + 1)

    def test_beside_each_other(self) -> None:
        """One who has used all its credit for requests may still subscribe."""
        for _ in range(5 + BOUNDS.window_messages):
            self.assertTrue(self._request())
        self.assertTrue(self._subscribe())
