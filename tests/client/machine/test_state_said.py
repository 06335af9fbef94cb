"""What a caller says of itself: the newest, at a rate, again on each connection."""

from __future__ import annotations

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from takotwist.client.errors import NoAnswer, OutgoingFull, SubscriptionClosed
from takotwist.client.machine.machine import Settle
from takotwist.client.machine.outcome import of_code
from takotwist.client.machine.policy import Policy
from takotwist.client.machine.state_said import INTERVAL_MS, StateSaid
from takotwist.errors import BodyInvalid, RateLimited


class StateSaidTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.said = StateSaid(Policy(max_publishes=5))
        self.now = 1000.0

    def sent(self, ref: int) -> object:
        self.assertTrue(self.said.may_go(self.now))
        return msgspec.json.decode(self.said.sent(ref, self.now))

    def test_newest_counts(self) -> None:
        """What is said in a burst is its last, and all of it has the same outcome."""
        self.said.say({"x": 1}, 1)
        self.said.say({"x": 2}, 2)
        self.assertEqual(self.sent(7), {"x": 2})
        self.said.say({"x": 3}, 3)
        self.assertFalse(self.said.may_go(self.now + 500))
        self.assertEqual(list(self.said.acked(6)), [])
        self.assertEqual(list(self.said.acked(7)), [Settle(1), Settle(2)])
        self.assertFalse(self.said.may_go(self.now))
        self.assertEqual(self.said.wake_at, self.now + INTERVAL_MS)
        self.now += INTERVAL_MS
        self.assertEqual(self.sent(8), {"x": 3})
        self.assertEqual(list(self.said.acked(8)), [Settle(3)])
        self.assertIsNone(self.said.wake_at)

    def test_again(self) -> None:
        """It is said on each connection, answered or not, and settled by whichever answers."""
        self.said.say(1, 1)
        self.sent(7)
        self.said.say_again()
        self.now += 1000
        self.assertEqual(self.sent(1), 1)
        self.assertEqual(list(self.said.acked(1)), [Settle(1)])
        self.said.say_again()
        self.now += 1000
        self.assertEqual(self.sent(2), 1)
        self.assertEqual(list(self.said.acked(2)), [])

    def test_refused(self) -> None:
        """For good: its caller is told, and it is not said again.  For now: it is sent later."""
        self.said.say(1, 1)
        self.sent(7)
        limited = of_code(RateLimited.code, "slower", 400.0)
        self.assertEqual(list(self.said.failed(7, limited, self.now)), [])
        self.assertEqual(self.said.wake_at, self.now + 400)
        self.now += 400
        self.sent(8)
        [settle] = self.said.failed(8, of_code(BodyInvalid.code, "state.x", None), self.now)
        self.assertIsInstance(settle.error, BodyInvalid)
        self.said.say_again()
        self.assertFalse(self.said.may_go(self.now + 10_000))

    def test_refused_while_another_waits(self) -> None:
        """A newer one is none the worse for it."""
        self.said.say(1, 1)
        self.sent(7)
        self.said.say(2, 2)
        self.assertEqual(len(list(self.said.failed(7, of_code("body-invalid", "", None), 0))), 1)
        self.now += 1000
        self.assertEqual(self.sent(8), 2)

    def test_unanswered(self) -> None:
        """Nobody waits for ever."""
        self.said.say(1, 1)
        self.sent(7)
        at = self.said.wake_at
        assert at is not None
        self.assertEqual(list(self.said.overdue(at - 1)), [])
        [settle] = self.said.overdue(at)
        self.assertIsInstance(settle.error, NoAnswer)
        self.assertEqual(list(self.said.acked(7)), [])

    def test_ends(self) -> None:
        """All who wait are told; so are too many, and who says what is no JSON."""
        for number in range(5):
            self.said.say(number, number)
        self.assertRaises(OutgoingFull, self.said.say, 5, 5)
        with self.assertRaises(BodyInvalid) as bad:
            StateSaid(Policy()).say({"x": float("nan")}, 1)
        self.assertIn("state.x", str(bad.exception))
        settled = self.said.give_up(None)
        self.assertEqual([one.number for one in settled], list(range(5)))
        self.assertIsInstance(settled[0].error, SubscriptionClosed)
        self.assertFalse(self.said.may_go(self.now))
