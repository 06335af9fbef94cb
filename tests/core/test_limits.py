"""Counting what is open and how fast things come."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.limits import Concurrency, ConnectionLimits, Rate, TopicNames, network_of
from takotwist.errors import Overloaded, RateLimited


class TestRate(SynchronousTestCase):
    """A token bucket for each key."""

    def test_burst_and_refill(self) -> None:
        """A burst goes at once, then the rate holds, and it is said when to come again."""
        rate = Rate(2.0, 3)
        for _ in range(3):
            rate.take("a", 10.0)
        refusal = self.assertRaises(RateLimited, rate.take, "a", 10.0)
        self.assertEqual(refusal.retry_after, 0.5)
        rate.take("a", 10.5)
        self.assertRaises(RateLimited, rate.take, "a", 10.5)
        rate.take("b", 10.5)

    def test_refused_takes_nothing(self) -> None:
        """Trying in vain does not put the time off at which it works."""
        rate = Rate(1.0, 1)
        rate.take("a", 0.0)
        for moment in range(10):
            self.assertRaises(RateLimited, rate.take, "a", moment / 10)
        rate.take("a", 1.0)

    def test_more_than_the_burst(self) -> None:
        """A batch larger than the burst passes from a full bucket, and is paid for after."""
        rate = Rate(10.0, 5)
        rate.take("a", 0.0, 20)
        refusal = self.assertRaises(RateLimited, rate.take, "a", 0.0)
        self.assertEqual(refusal.retry_after, 1.6)

    def test_off(self) -> None:
        """Zero is no limit and no memory."""
        rate = Rate(0.0, 1)
        for _ in range(1000):
            rate.take("a", 0.0)
        self.assertEqual(len(rate._buckets), 0)

    def test_bounded(self) -> None:
        """Strangers cannot fill the memory with keys."""
        rate = Rate(1.0, 1, keys=10)
        for number in range(100):
            rate.take(str(number), 0.0)
        self.assertEqual(len(rate._buckets), 10)

    def test_clock_set_back(self) -> None:
        """A clock that goes back gives and takes nothing."""
        rate = Rate(1.0, 2)
        rate.take("a", 100.0)
        rate.take("a", 50.0)
        self.assertRaises(RateLimited, rate.take, "a", 50.0)


class TestConcurrency(SynchronousTestCase):
    """How many are open at once."""

    def test_enter_and_leave(self) -> None:
        """One too many is refused, and a place that came free is given again."""
        places = Concurrency(2)
        places.enter("a")
        places.enter("a")
        self.assertRaises(RateLimited, places.enter, "a")
        places.enter("b")
        places.leave("a")
        places.enter("a")

    def test_nothing_left(self) -> None:
        """A key that holds nothing is not remembered."""
        places = Concurrency(0)
        for _ in range(3):
            places.enter("a")
        for _ in range(4):
            places.leave("a")
        self.assertEqual(len(places), 0)


class TestConnections(SynchronousTestCase):
    """One more connection."""

    def limits(self, most: int = 2, each: int = 1) -> ConnectionLimits:
        """Limits of these numbers."""
        return ConnectionLimits(most, Concurrency(each), Concurrency(0), Rate(0, 1))

    def test_all(self) -> None:
        """The server's own bound is "overloaded", an address's is "rate-limited"."""
        limits = self.limits()
        limits.enter("a", 0.0)
        self.assertRaises(RateLimited, limits.enter, "a", 0.0)
        limits.enter("b", 0.0)
        self.assertRaises(Overloaded, limits.enter, "c", 0.0)
        limits.leave("a")
        limits.enter("c", 0.0)
        self.assertEqual(limits.open, 2)

    def test_without_an_address(self) -> None:
        """A peer on a Unix socket counts in all and for no address."""
        limits = self.limits(most=3)
        for _ in range(3):
            limits.enter("", 0.0)
        self.assertRaises(Overloaded, limits.enter, "", 0.0)
        for _ in range(3):
            limits.leave("")
        self.assertEqual(limits.open, 0)


class TopicNamesTests(SynchronousTestCase):
    """Three names, 100 bytes in all, 60 of a connection."""

    def setUp(self) -> None:
        self.names = TopicNames(3, 100, 60)

    def test_of_a_connection(self) -> None:
        """Up to its very bound, and not past it."""
        self.names.enter(40, 0)
        self.names.enter(20, 40)
        self.assertRaises(RateLimited, self.names.enter, 1, 60)
        self.assertEqual((self.names.count, self.names.bytes), (2, 60))

    def test_of_all(self) -> None:
        """Bytes and number are bounded; what has left makes room."""
        self.names.enter(60, 0)
        self.names.enter(40, 0)
        self.assertRaises(Overloaded, self.names.enter, 1, 0)
        self.names.leave(60)
        self.names.enter(1, 0)
        self.names.enter(1, 1)
        self.assertRaises(Overloaded, self.names.enter, 1, 2)
        self.assertEqual((self.names.count, self.names.bytes), (3, 42))

    def test_plenty(self) -> None:
        """What is only remembered takes no more than half."""
        self.assertTrue(self.names.has_plenty(30, 0))
        self.assertFalse(self.names.has_plenty(31, 0))
        self.assertFalse(self.names.has_plenty(10, 21))
        self.names.enter(45, 0)
        self.assertTrue(self.names.has_plenty(5, 0))
        self.assertFalse(self.names.has_plenty(6, 0))
        self.names.enter(0, 0)
        self.assertFalse(self.names.has_plenty(5, 0))


class NetworkTests(SynchronousTestCase):
    """What limits by address count."""

    def test_networks(self) -> None:
        """An address of IPv4 is itself, however written; one of IPv6 is its /64."""
        for address, network in (
            ("203.0.113.7", "203.0.113.7"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::", "2001:db8:1:2::/64"),
            ("fe80::1%eth0", "fe80::/64"),
            ("no:address", "no:address"),
            ("", ""),
        ):
            self.assertEqual(network_of(address), network)

    def test_connections(self) -> None:
        """A client that takes another address of its network for each connection is one."""
        limits = ConnectionLimits(100, Concurrency(3), Concurrency(0), Rate(0, 1))
        for number in range(3):
            limits.enter(f"2001:db8::{number}", 0)
        self.assertRaises(RateLimited, limits.enter, "2001:db8::9", 0)
        limits.enter("2001:db8:0:1::9", 0)
        limits.leave("2001:db8::1")
        limits.enter("2001:db8::9", 0)
