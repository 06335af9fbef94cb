from __future__ import annotations

from random import Random

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.unfinished import Cut, Incoming, Unfinished
from tests.settings import change_limits, limited


class UnfinishedTests(SynchronousTestCase):
    """Windows of 30 s, 10 bytes a second, 1,000 bytes in all."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.told: list[Cut] = []
        self.settings = limited(input_seconds=30, input_rate=10, max_unfinished_bytes=1000)
        self.all = Unfinished(self.clock, self.settings, self.told.append)
        self.cut: list[tuple[str, Cut]] = []

    def begin(self, name: str) -> Incoming:
        return self.all.begin(lambda why: self.cut.append((name, why)))

    def test_stalled(self) -> None:
        """What does not come on is cut when its window ends, and nothing of it stays."""
        one = self.begin("a")
        one.holds(290)
        self.clock.advance(29.9)
        self.assertEqual(self.cut, [])
        self.clock.advance(0.1)
        self.assertEqual(self.cut, [("a", Cut.TOO_SLOW)])
        self.assertEqual(self.told, [Cut.TOO_SLOW])
        self.assertEqual((self.all.held, self.all.waited_for), (0, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        one.holds(500)
        self.assertEqual(self.all.held, 0)

    def test_slow_and_honest(self) -> None:
        """What comes on by the least rate is waited for, whatever its pace within a window."""
        one = self.begin("a")
        for window in range(5):
            self.clock.advance(29)
            one.holds(100 + 300 * window % 900)
            one.holds(100 + 300 * window % 900 + 300)
            self.clock.advance(1)
        self.assertEqual(self.cut, [])

    def test_much_and_then_nothing(self) -> None:
        """Much that came at once buys no time beyond its window."""
        self.begin("a").holds(999)
        self.clock.advance(30)
        self.assertEqual(self.cut, [])
        self.clock.advance(30)
        self.assertEqual(self.cut, [("a", Cut.TOO_SLOW)])

    def test_waits_for_us(self) -> None:
        """While it is not read, no time passes for it; then it has a whole window."""
        one = self.begin("a")
        self.clock.advance(20)
        one.wait()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(100)
        one.go_on()
        self.clock.advance(20)
        one.go_on()
        self.assertEqual(self.cut, [])
        self.clock.advance(10)
        self.assertEqual(self.cut, [("a", Cut.TOO_SLOW)])

    def test_busy_reactor(self) -> None:
        """A timer that comes late found nobody who could read: another window."""
        self.begin("a")
        self.clock.advance(45)
        self.assertEqual(self.cut, [])
        self.clock.advance(30)
        self.assertEqual(self.cut, [("a", Cut.TOO_SLOW)])

    def test_too_much(self) -> None:
        """Past the bound the largest is cut, of those of one size the one that has it longest."""
        sizes = {"first": 130, "second": 140, "small": 10, "large": 600}
        parts = {name: self.begin(name) for name in sizes}
        for name, size in sizes.items():
            parts[name].holds(size)
        parts["small"].holds(11)
        self.assertEqual(self.cut, [])
        parts["small"].holds(131)
        self.assertEqual(self.cut, [("large", Cut.OVERLOADED)])
        self.assertEqual(self.all.held, 130 + 140 + 131)
        self.begin("late").holds(255)
        change_limits(self.settings, max_unfinished_bytes=600)
        self.begin("last").holds(10)
        self.assertEqual(self.cut[1:], [("first", Cut.OVERLOADED)])

    def test_its_own_size(self) -> None:
        """What alone is too much is cut itself."""
        self.begin("other").holds(1)
        self.begin("a").holds(1001)
        self.assertEqual(self.cut, [("a", Cut.OVERLOADED)])

    def test_change(self) -> None:
        """Other bounds hold from now on."""
        one = self.begin("a")
        change_limits(self.settings, input_seconds=10, input_rate=0, max_unfinished_bytes=100)
        one.holds(101)
        self.assertEqual(self.cut, [("a", Cut.OVERLOADED)])
        self.begin("b")
        self.clock.advance(100)
        self.assertEqual(len(self.cut), 1)

    def test_sum(self) -> None:
        """What is held is the sum of what each holds, whatever they do; one timer at most."""
        random = Random(7)
        alive: dict[Incoming, int] = {}
        for _ in range(3000):
            if not alive or random.random() < 0.2:
                alive[self.begin("")] = 0
            one = random.choice(list(alive))
            match random.randrange(5):
                case 0:
                    one.end()
                    del alive[one]
                case 1:
                    one.wait()
                case 2:
                    one.go_on()
                case _:
                    alive[one] = random.randrange(60)
                    one.holds(alive[one])
            self.clock.advance(random.random())
            alive = {one: held for one, held in alive.items() if one._on_cut is not None}
            self.assertEqual(self.all.held, sum(alive.values()))
            self.assertLessEqual(self.all.held, 1000)
            self.assertLessEqual(len(self.clock.getDelayedCalls()), 1)
        for one in alive:
            one.end()
        self.assertEqual((self.all.held, self.all._sizes, self.all.waited_for), (0, {}, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])
