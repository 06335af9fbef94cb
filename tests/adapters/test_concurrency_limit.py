"""Whose turn it is, when more ask than the app may be asked at once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.concurrency_limit import ConcurrencyLimit, share
from takotwist.errors import AuthUnavailable, Overloaded


class Case(SynchronousTestCase):
    places, length = 4, 100

    def setUp(self) -> None:
        self.clock = Clock()
        self.line = ConcurrencyLimit(
            self.clock, places=self.places, length=self.length, patience=30.0
        )
        self.served: list[str] = []

    def ask(self, name: str, channel: str = "a", address: str = "1") -> Deferred[None]:
        """Ask for a place."""
        place = self.line.enter(channel, address)
        place.addCallback(lambda _: self.served.append(name))
        return place


class TurnTests(Case):
    def test_channels_take_turns(self) -> None:
        """Who came first on another channel is not behind all those of the first."""
        for number in range(4):
            self.ask(f"a{number}")
        for number in range(4):
            self.ask(f"b{number}", "b")
        self.assertEqual(self.served, ["a0", "a1", "a2", "b0"])
        for _ in range(3):
            self.line.leave("a")
        self.assertEqual(self.served[4:], ["a3", "b1", "b2"])

    def test_share(self) -> None:
        """A channel has three quarters of the places, also while the others stand empty."""
        self.assertEqual([share(of) for of in (1, 2, 4, 16, 64)], [1, 2, 3, 12, 48])
        for number in range(10):
            self.ask(f"a{number}")
        self.assertEqual(self.served, ["a0", "a1", "a2"])
        self.ask("b0", "b")
        self.assertEqual(self.served[3:], ["b0"])

    def test_addresses_take_turns(self) -> None:
        """A client that asks many times on one channel makes only itself wait."""
        for number in range(20):
            self.ask(f"greedy{number}", address="9")
        for address in "12":
            self.ask(f"one{address}", address=address)
        for _ in range(4):
            self.line.leave("a")
        self.assertEqual(self.served[3:], ["greedy3", "one1", "one2", "greedy4"])

    def test_order_within(self) -> None:
        """Of one address on one channel who came first goes first."""
        for number in range(9):
            self.ask(str(number))
        for _ in range(6):
            self.line.leave("a")
        self.assertEqual(self.served, [str(number) for number in range(9)])


class LongLineTests(Case):
    places, length = 4, 10_000

    def test_done_at_once(self) -> None:
        """Thousands who are done as soon as it is their turn do not fill the stack."""
        for _ in range(3):
            self.ask("held")
        for number in range(5_000):
            self.ask(f"{number}").addCallback(lambda _: self.line.leave("a"))
        for _ in range(3):
            self.line.leave("a")
        self.assertEqual(len(self.served), 5_003)
        self.assertEqual(self.served[3:6], ["0", "1", "2"])
        for _ in range(3):
            self.ask("again")
        self.assertEqual(self.served[5_003:], ["again"] * 3)
        self.assertEqual(self.line.waiting, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class BoundTests(Case):
    length = 8

    def test_channel_fills_its_share(self) -> None:
        """The line of one channel is full before the line is, so others find room in it."""
        for number in range(3 + 6):
            self.ask(f"a{number}")
        self.assertRaises(Overloaded, self.line.enter, "a", "2")
        self.ask("b0", "b")
        for _ in range(2):
            self.ask("b", "b")
        self.assertRaises(Overloaded, self.line.enter, "b", "1")
        self.assertEqual(self.line.waiting, 8)

    def test_no_line(self) -> None:
        """A length of nothing lets nobody wait."""
        line = ConcurrencyLimit(self.clock, places=1, length=0)
        self.assertTrue(line.take("a"))
        self.assertRaises(Overloaded, line.enter, "b", "1")

    def test_patience(self) -> None:
        """Who has waited in vain is told so in time, also where no place comes free."""
        places = [self.ask(f"a{number}") for number in range(3)]
        self.clock.advance(1)
        late = self.ask("late")
        self.clock.advance(10)
        later = self.ask("later")
        self.clock.advance(20)
        self.failureResultOf(late, AuthUnavailable)
        self.assertNoResult(later)
        self.clock.advance(10)
        self.failureResultOf(later, AuthUnavailable)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        for place in places:
            self.successResultOf(place)

    def test_gone(self) -> None:
        """Who goes away leaves nothing behind, and takes no turn."""
        for _ in range(3):
            self.ask("in")
        gone, stays = self.ask("gone"), self.ask("stays")
        gone.addErrback(lambda _: None)
        gone.cancel()
        self.line.leave("a")
        self.successResultOf(stays)
        self.assertEqual((self.line.waiting, self.clock.getDelayedCalls()), (0, []))


class Model(SynchronousTestCase):
    @given(
        st.integers(1, 9),
        st.lists(
            st.tuples(
                st.sampled_from(["ask", "leave", "go"]), st.sampled_from("abc"), st.integers(0, 2)
            ),
            max_size=60,
        ),
    )
    def test_any_sequence(self, places: int, steps: list[tuple[str, str, int]]) -> None:
        """Never more inside than there are places, of one channel never more than its share; and
        nobody waits while a place is free that they may have."""
        clock = Clock()
        line = ConcurrencyLimit(clock, places=places, length=1000)
        inside = dict.fromkeys("abc", 0)
        waiting: list[tuple[str, Deferred[None]]] = []

        def entered(_: object, channel: str) -> None:
            inside[channel] += 1

        for step, channel, address in steps:
            if step == "ask":
                place = line.enter(channel, str(address))
                place.addCallback(entered, channel)
                place.addErrback(lambda _: None)
                waiting.append((channel, place))
            elif step == "leave" and inside[channel]:
                inside[channel] -= 1
                line.leave(channel)
            elif step == "go" and waiting:
                waiting[address % len(waiting)][1].cancel()
            waiting = [(one, place) for one, place in waiting if not place.called]
            self.assertLessEqual(sum(inside.values()), places)
            self.assertLessEqual(max(inside.values()), share(places))
            self.assertEqual(line.waiting, len(waiting))
            if sum(inside.values()) < places:
                self.assertTrue(all(inside[one] == share(places) for one, _ in waiting))
        self.assertEqual(bool(clock.getDelayedCalls()), bool(waiting))
