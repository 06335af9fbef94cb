from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.websocket.protocol import STEP_BYTES, STEPS_A_TURN
from tests.codecs.websocket_reader import client_close, client_frame
from tests.streams.exchange import run_due
from tests.streams.websocket.test_upgrade import _Upgraded

FRAMES = [client_frame(1, b"%d" % number) for number in range(1000)]
TOLD: list[Any] = [(b"%d" % number, False) for number in range(1000)]


class TurnTests(SynchronousTestCase):
    """One client that sends thousands of small frames keeps nobody else waiting."""

    def setUp(self) -> None:
        self.client = _Upgraded()

    def _turns(self) -> int:
        turns = 0
        while self.client.clock.getDelayedCalls():
            before = len(self.client.told)
            run_due(self.client.clock)
            self.assertLessEqual(len(self.client.told) - before, STEPS_A_TURN)
            turns += 1
        return turns

    def test_in_turns(self) -> None:
        """Frames of one read are taken a part at a time, in order, and none is read meanwhile."""
        self.client.send(*FRAMES)
        self.assertLessEqual(len(self.client.told), STEPS_A_TURN)
        self.assertFalse(self.client.transport.reading)
        self.assertGreater(self._turns(), 5)
        self.assertEqual(self.client.told, TOLD)
        self.assertTrue(self.client.transport.reading)

    def test_few(self) -> None:
        """A few frames are taken at once, without a turn."""
        self.client.send(*FRAMES[:20])
        self.assertEqual(self.client.told, TOLD[:20])
        self.assertEqual(self.client.clock.getDelayedCalls(), [])

    def test_large(self) -> None:
        """Large messages are many steps each, as they may have come in few bytes."""
        large = b"x" * (STEPS_A_TURN * STEP_BYTES // 2)
        self.client.send(*[client_frame(1, large)] * 6)
        self.assertEqual(len(self.client.told), 2)
        self.assertEqual(self._turns(), 2)
        self.assertEqual(self.client.told, [(large, False)] * 6)

    def test_more_comes(self) -> None:
        """What comes meanwhile all the same is behind what is there, and no more is read."""
        self.client.send(*FRAMES[:500])
        self.client.transport.resumeProducing()
        self.client.send(*FRAMES[500:])
        self.assertFalse(self.client.transport.reading)
        self._turns()
        self.assertEqual(self.client.told, TOLD)

    def test_closed_behind(self) -> None:
        """A close behind many frames comes behind them."""
        self.client.send(*FRAMES, client_close(1000, b"bye"))
        self._turns()
        self.assertEqual(self.client.told, [*TOLD, (1000, "bye", True)])

    def test_gone_behind(self) -> None:
        """A client that has sent many and goes is taken at its word first."""
        self.client.send(*FRAMES)
        self.client.transport.hang_up()
        self._turns()
        self.assertEqual(self.client.told, [*TOLD, (1006, "", False)])

    def test_dropped_by_us(self) -> None:
        """What the server drops is over at once, whatever of it is left."""
        self.client.send(*FRAMES)
        told = len(self.client.told)
        self.client.ws.abort()
        self.assertEqual(self.client.told[told:], [(1006, "", False)])
        self.assertEqual(self.client.clock.getDelayedCalls(), [])

    def test_reading_is_paused(self) -> None:
        """Who paused reading himself stays the one who resumes it."""
        self.client.send(*FRAMES)
        self.client.ws.pause_reading()
        self._turns()
        self.assertFalse(self.client.transport.reading)
        self.client.ws.resume_reading()
        self.assertTrue(self.client.transport.reading)

    def test_bad_frame_in_a_later_turn(self) -> None:
        """A violation is found where it stands, and ends the connection there."""
        self.client.send(*FRAMES, client_frame(3, b""), *FRAMES)
        self._turns_until_closed()
        self.assertEqual(self.client.told[: len(TOLD)], TOLD)
        self.assertEqual(self.client.closed_with(), 1002)

    def _turns_until_closed(self) -> None:
        for _ in range(100):
            run_due(self.client.clock)
