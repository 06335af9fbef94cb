"""Plain numbers, counted where they happen."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.metrics import Histogram, Metrics


class TestHistogram(SynchronousTestCase):
    """Buckets by upper edge."""

    def test_edges(self) -> None:
        """An observation at an edge is in its bucket, and one past the last is in none."""
        histogram = Histogram((1, 2, 4))
        for value in (0, 1, 1.5, 4, 5):
            histogram.observe(value)
        self.assertEqual(histogram.counts, [2, 1, 1])
        self.assertEqual((histogram.observations, histogram.total), (5, 11.5))

    @given(st.lists(st.integers(0, 10)))
    def test_each_once(self, values: list[int]) -> None:
        """Buckets together hold each observation up to the last edge once."""
        histogram = Histogram((2, 5, 8))
        for value in values:
            histogram.observe(value)
        self.assertEqual(sum(histogram.counts), sum(value <= 8 for value in values))
        self.assertEqual(histogram.counts[0], sum(value <= 2 for value in values))


class TestMetrics(SynchronousTestCase):
    """One server's counters."""

    def test_begin(self) -> None:
        """Counters begin at nothing, and two servers share none."""
        one, other = Metrics(), Metrics()
        one.refusals["rate-limited"] += 1
        one.commit_seconds.observe(0.1)
        self.assertEqual((other.refusals, other.commit_seconds.observations), ({}, 0))
