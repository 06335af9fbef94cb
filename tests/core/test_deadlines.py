"""Everything that shall happen at some time.

When to say something on a silent connection, and when to give it up.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.deadlines import Comments, Deadlines, Pings, Pulse


class TestDeadlines(SynchronousTestCase):
    """Not before its time, and at most one grain after it."""

    def run_until(self, deadlines: Deadlines, now: float) -> None:
        """Do what is due."""
        for action in deadlines.tick(now):
            action()

    def test_in_time(self) -> None:
        """An action happens in the first tick at or after its time, once."""
        deadlines, done = Deadlines(grain=0.25), []
        deadlines.at(1.0, lambda: done.append("a"))
        self.run_until(deadlines, 0.99)
        self.assertEqual(done, [])
        self.run_until(deadlines, 1.0)
        self.run_until(deadlines, 2.0)
        self.assertEqual((done, len(deadlines)), (["a"], 0))

    def test_cancelled(self) -> None:
        """What was cancelled does not happen and leaves nothing."""
        deadlines, done = Deadlines(), []
        one = deadlines.at(1.0, lambda: done.append("a"))
        one.cancel()
        one.cancel()
        self.assertEqual(len(deadlines), 0)
        self.run_until(deadlines, 5.0)
        self.assertEqual(done, [])

    def test_cancelled_long_before(self) -> None:
        """Of deadlines that were cancelled hours before their time no places stay."""
        deadlines, done = Deadlines(), []
        for seconds in range(0, 7_000, 1_000):
            deadlines.at(seconds + 0.5, lambda seconds=seconds: done.append(seconds))
        for seconds in range(1, 7_200):
            deadlines.at(seconds, lambda: done.append("late")).cancel()
        self.assertLess(len(deadlines._buckets), 200)
        self.run_until(deadlines, 7_200)
        self.assertEqual(done, list(range(0, 7_000, 1_000)))

    def test_cancelled_by_another(self) -> None:
        """Cancelling after it was taken up is harmless."""
        deadlines = Deadlines()
        one = deadlines.at(1.0, lambda: None)
        (action,) = deadlines.tick(1.0)
        one.cancel()
        action()

    def test_in_the_past(self) -> None:
        """What is due already happens in the next tick."""
        deadlines, done = Deadlines(), []
        self.run_until(deadlines, 100.0)
        deadlines.at(3.0, lambda: done.append("a"))
        self.run_until(deadlines, 100.25)
        self.assertEqual(done, ["a"])

    def test_put_again_by_an_action(self) -> None:
        """An action may put itself again."""
        deadlines, done = Deadlines(grain=1.0), []

        def beat() -> None:
            done.append(len(done))
            deadlines.at(float(len(done)) + 1, beat)

        deadlines.at(1.0, beat)
        for now in range(5):
            self.run_until(deadlines, float(now))
        self.assertEqual(done, [0, 1, 2, 3])

    @given(st.lists(st.floats(0, 50), max_size=30), st.lists(st.floats(0, 5), max_size=40))
    def test_any_times(self, times: list[float], steps: list[float]) -> None:
        """However time passes, each happens once, not early, and not a grain late."""
        deadlines, now, done = Deadlines(grain=0.25), 0.0, []
        for when in times:
            deadlines.at(when, lambda when=when: done.append(when))
        for step in [*steps, 60.0]:
            before, now, already = now, now + step, len(done)
            self.run_until(deadlines, now)
            for when in done[already:]:
                self.assertGreaterEqual(now, when)
                # A tick a grain after its time would have done it before.
                self.assertLess(before, when + 0.25)
        self.assertEqual(sorted(done), sorted(times))


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
