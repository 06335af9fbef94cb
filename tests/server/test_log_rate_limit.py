"""The rate limit of log lines: what is written, and what is said of the rest."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.server.log_rate_limit import (
    OF_ADDRESS,
    OF_FAILURES,
    OF_KIND,
    TELL_AFTER,
    LogRateLimit,
)


class LogRateLimitTests(SynchronousTestCase):
    """One log, at one moment unless time is given."""

    def setUp(self) -> None:
        self.limit = LogRateLimit()

    def takes(self, kind: str = "{address} came", now: float = 1000.0, **more: Any) -> bool:
        """Offer one line of ours."""
        event = {"log_namespace": "takotwist.x", "log_format": kind, "log_time": now, **more}
        return self.limit.takes(event)

    def taken(self, count: int, **more: Any) -> int:
        """Offer many, and count those that are written."""
        return sum(self.takes(**more) for _ in range(count))

    def test_of_an_address(self) -> None:
        """One network has its burst and then its rate, and takes nothing from another."""
        per_second, burst = OF_ADDRESS
        self.assertEqual(self.taken(burst + 50, address="192.0.2.1"), burst)
        self.assertTrue(self.takes(address="192.0.2.2"))
        self.assertTrue(self.takes("{address} went", address="192.0.2.1"))
        self.assertEqual(self.taken(500, address="192.0.2.1", now=1001.0), per_second)
        self.assertTrue(self.takes(address="2001:db8::1"))
        self.assertEqual(self.taken(burst, address="2001:db8::2"), burst - 1)

    def test_of_a_kind(self) -> None:
        """All addresses together have a rate too; another kind has its own."""
        burst = OF_KIND[1]
        many = [self.takes(address=f"192.0.{n // 250}.{n % 250}") for n in range(burst + 9)]
        self.assertEqual(sum(many), burst)
        self.assertTrue(self.takes("another kind"))

    def test_of_failures(self) -> None:
        """Lines with a traceback are few, and count apart from those without."""
        self.assertEqual(self.taken(100, log_failure=object()), OF_FAILURES[1])
        self.assertTrue(self.takes())

    def test_of_the_app(self) -> None:
        """A logger that is not ours is never limited."""
        for name in ("shop.orders", "takotwistish", ""):
            self.assertEqual(self.taken(5000, log_namespace=name), 5000)

    def test_left_out(self) -> None:
        """Said once for each kind, after a while; nothing where all was written."""
        self.assertEqual(self.limit.left_out(1000.0), [])
        self.taken(OF_KIND[1] + 7)
        self.taken(OF_KIND[1] + 1, kind="other")
        self.assertEqual(self.limit.left_out(1000.0 + TELL_AFTER - 0.1), [])
        told = self.limit.left_out(1000.0 + TELL_AFTER)
        self.assertEqual(
            [(one["kind"], one["count"]) for one in told], [("{address} came", 7), ("other", 1)]
        )
        self.assertEqual(self.limit.left_out(2000.0), [])

    def test_clock_set_back(self) -> None:
        """It is said then too, and not put off until the clock is where it was."""
        self.taken(OF_KIND[1] + 1)
        self.assertEqual(len(self.limit.left_out(500.0)), 1)
