"""When to say something on a silent connection, and when to give it up."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.keepalive import Comments, Pings, Pulse


class TestComments(SynchronousTestCase):
    """Something is written into silence."""

    def test_silence(self) -> None:
        """After an interval without a byte, and not before."""
        comments = Comments(25.0)
        self.assertEqual(comments.check(24.9, 0.0), (Pulse.NOTHING, 25.0))
        self.assertEqual(comments.check(25.0, 0.0), (Pulse.SPEAK, 50.0))

    def test_traffic_puts_it_off(self) -> None:
        """A message counts as a sign of life."""
        self.assertEqual(Comments(25.0).check(25.0, 20.0), (Pulse.NOTHING, 45.0))


class TestPings(SynchronousTestCase):
    """A peer that answers nothing for two intervals is dropped."""

    def test_answered(self) -> None:
        """Every interval a ping, as long as something is heard."""
        pings = Pings(10.0, 0.0)
        for now in (10.0, 20.0, 30.0):
            self.assertEqual(pings.check(now), (Pulse.SPEAK, now + 10.0))
            pings.heard(now + 1)

    def test_silent(self) -> None:
        """Two intervals without a sign are the end."""
        pings = Pings(10.0, 0.0)
        self.assertEqual(pings.check(10.0)[0], Pulse.SPEAK)
        self.assertEqual(pings.check(20.0)[0], Pulse.SPEAK)
        self.assertEqual(pings.check(20.25)[0], Pulse.DROP)
