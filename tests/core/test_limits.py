"""Counting what is open and how fast things come."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.limits import Concurrency, ConnectionLimits, Rate, TopicNames, network_of
from takotwist.errors import Overloaded, RateLimited
from tests.settings import change_limits, limited


class TestRate(SynchronousTestCase):
    """A token bucket for each key."""

    def test_burst_and_refill(self) -> None:
        """A burst goes at once, then the rate holds, and it is said when to come again."""
        rate = Rate()
        for _ in range(3):
            rate.take("a", 10.0, 2.0, 3)
        refusal = self.assertRaises(RateLimited, rate.take, "a", 10.0, 2.0, 3)
        self.assertEqual(refusal.retry_after, 0.5)
        rate.take("a", 10.5, 2.0, 3)
        self.assertRaises(RateLimited, rate.take, "a", 10.5, 2.0, 3)
        rate.take("b", 10.5, 2.0, 3)

    def test_refused_takes_nothing(self) -> None:
        """Trying in vain does not put the time off at which it works."""
        rate = Rate()
        rate.take("a", 0.0, 1.0, 1)
        for moment in range(10):
            self.assertRaises(RateLimited, rate.take, "a", moment / 10, 1.0, 1)
        rate.take("a", 1.0, 1.0, 1)

    def test_more_than_the_burst(self) -> None:
        """A batch larger than the burst passes from a full bucket, and is paid for after."""
        rate = Rate()
        rate.take("a", 0.0, 10.0, 5, 20)
        refusal = self.assertRaises(RateLimited, rate.take, "a", 0.0, 10.0, 5)
        self.assertEqual(refusal.retry_after, 1.6)

    def test_off(self) -> None:
        """Zero is no limit and no memory."""
        rate = Rate()
        for _ in range(1000):
            rate.take("a", 0.0, 0.0, 1)
        self.assertEqual(len(rate._buckets), 0)

    def test_bounded(self) -> None:
        """Strangers cannot fill the memory with keys."""
        rate = Rate(keys=10)
        for number in range(100):
            rate.take(str(number), 0.0, 1.0, 1)
        self.assertEqual(len(rate._buckets), 10)

    def test_clock_set_back(self) -> None:
        """A clock that goes back gives and takes nothing."""
        rate = Rate()
        rate.take("a", 100.0, 1.0, 2)
        rate.take("a", 50.0, 1.0, 2)
        self.assertRaises(RateLimited, rate.take, "a", 50.0, 1.0, 2)


class TestConcurrency(SynchronousTestCase):
    """How many are open at once."""

    def test_enter_and_leave(self) -> None:
        """One too many is refused, and a place that came free is given again."""
        places = Concurrency()
        places.enter("a", 2)
        places.enter("a", 2)
        self.assertRaises(RateLimited, places.enter, "a", 2)
        places.enter("a", 3)
        places.enter("b", 2)
        places.leave("a")
        places.leave("a")
        places.enter("a", 2)

    def test_nothing_left(self) -> None:
        """A key that holds nothing is not remembered."""
        places = Concurrency()
        for _ in range(3):
            places.enter("a", 0)
        for _ in range(4):
            places.leave("a")
        self.assertEqual(len(places), 0)


class TestConnections(SynchronousTestCase):
    """One more connection."""

    def limits(self, most: int = 2, each: int = 1) -> ConnectionLimits:
        """Limits of these numbers."""
        return ConnectionLimits(
            limited(max_connections=most, max_connections_per_address=each, connect_rate=0)
        )

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

    def test_subjects(self) -> None:
        """A subject has as many as the settings say at the time; 0 is no limit."""
        settings = limited(max_connections_per_subject=1)
        limits = ConnectionLimits(settings)
        limits.enter_subject("ada")
        self.assertRaises(RateLimited, limits.enter_subject, "ada")
        limits.enter_subject("bob")
        change_limits(settings, max_connections_per_subject=0)
        limits.enter_subject("ada")
        limits.leave_subject("ada")
        limits.leave_subject("ada")
        self.assertEqual(len(limits.by_subject), 1)

    def test_change(self) -> None:
        """Other settings hold from the next connection on; who is here stays."""
        settings = limited(max_connections=2, connect_rate=0)
        limits = ConnectionLimits(settings)
        limits.enter("a", 0.0)
        limits.enter("a", 0.0)
        change_limits(settings, max_connections=1)
        limits.leave("a")
        self.assertRaises(Overloaded, limits.enter, "a", 0.0)
        change_limits(settings, max_connections=9, connect_rate=1.0, connect_burst=1)
        limits.enter("a", 0.0)
        self.assertRaises(RateLimited, limits.enter, "a", 0.0)
        self.assertEqual(limits.open, 2)


class TopicNamesTests(SynchronousTestCase):
    """Three names, 100 bytes in all, 60 of a connection."""

    def setUp(self) -> None:
        settings = limited(
            max_subscriptions=3, max_topic_bytes_total=100, max_topic_bytes_per_connection=60
        )
        self.names = TopicNames(settings)

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
        limits = ConnectionLimits(limited(max_connections_per_address=3, connect_rate=0))
        for number in range(3):
            limits.enter(f"2001:db8::{number}", 0)
        self.assertRaises(RateLimited, limits.enter, "2001:db8::9", 0)
        limits.enter("2001:db8:0:1::9", 0)
        limits.leave("2001:db8::1")
        limits.enter("2001:db8::9", 0)
