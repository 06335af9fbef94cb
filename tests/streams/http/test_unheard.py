from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.http.unheard import Unheard


class UnheardTests(SynchronousTestCase):
    """Many are waited for with one timer."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.late: list[str] = []
        self.unheard: Unheard[str] = Unheard(self.clock, 10, self.late.append)

    def test_each_in_its_time(self) -> None:
        """Each is overdue when its own time is over, and one timer runs at most."""
        for name in "abc":
            self.unheard.add(name)
            self.assertEqual(len(self.clock.getDelayedCalls()), 1)
            self.clock.advance(3.3)
        self.clock.advance(0.2)
        self.assertEqual(self.late, ["a"])
        self.assertAlmostEqual(self.unheard.remove("b"), 3.2)
        self.clock.advance(6.4)
        self.assertEqual(self.late, ["a"])
        self.clock.advance(0.2)
        self.assertEqual(self.late, ["a", "c"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_together(self) -> None:
        """Those who came together are overdue together."""
        for name in "abc":
            self.unheard.add(name)
        self.clock.advance(10)
        self.assertEqual(self.late, ["a", "b", "c"])
        self.assertNotIn("a", self.unheard)

    def test_all_have_spoken(self) -> None:
        """When nobody is waited for there is no timer."""
        self.unheard.add("a")
        self.unheard.add("b")
        self.unheard.remove("a")
        self.assertIn("b", self.unheard)
        self.unheard.remove("b")
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(100)
        self.assertEqual(self.late, [])

    def test_who_is_overdue_may_come_again(self) -> None:
        """What is called may wait for another one."""
        again: list[str] = []

        def overdue(name: str) -> None:
            again.append(name)
            if len(again) == 1:
                unheard.add("b")

        unheard: Unheard[str] = Unheard(self.clock, 10, overdue)
        unheard.add("a")
        self.clock.advance(10)
        self.clock.advance(10)
        self.assertEqual(again, ["a", "b"])
