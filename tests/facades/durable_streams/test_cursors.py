"""Cursors of live reads, by which a cache in between does not answer the same for ever."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.facades.durable_streams.cursors import EPOCH, INTERVAL, JITTER, cursor

NOW = EPOCH + 1000 * INTERVAL


class CursorTests(SynchronousTestCase):
    """By time, and by the one that a client came with."""

    def test_time(self) -> None:
        """Who comes without one is given that of the interval, which all share."""
        for seconds in (0, INTERVAL - 0.001):
            self.assertEqual(cursor(None, NOW + seconds, lambda: 0.5), "1000")
        self.assertEqual(cursor(None, NOW + INTERVAL, lambda: 0.5), "1001")

    def test_older(self) -> None:
        """Who comes with an older one is given the same as all."""
        self.assertEqual(cursor("999", NOW, lambda: 1.0), "1000")
        self.assertEqual(cursor("0", NOW, lambda: 1.0), "1000")

    def test_spread(self) -> None:
        """Who comes with the present one is given a later one, by up to the jitter."""
        for random, ahead in ((0.0, 1), (1e-9, 1), (0.5, JITTER // INTERVAL // 2), (1.0, 180)):
            self.assertEqual(cursor("1000", NOW, lambda random=random: random), str(1000 + ahead))

    def test_no_cursor(self) -> None:
        """What is none counts as nothing, however long it is."""
        for said in (
            "",
            "x",
            "-5",
            "1e9",
            " 1000",
            "\u0661\u0660\u0660\u0660",
            "9" * 16,
            "9" * 10_000,
        ):
            self.assertEqual(cursor(said, NOW, lambda: 0.5), "1000")

    @given(st.integers(0, 10**15 - 1), st.floats(0, 1), st.floats(EPOCH, EPOCH * 2))
    def test_never_the_same(self, said: int, random: float, now: float) -> None:
        """Whatever a client comes with, it is given another; never one of the past."""
        given = int(cursor(str(said), now, lambda: random))
        self.assertGreaterEqual(given, (now - EPOCH) // INTERVAL)
        self.assertNotEqual(given, said)
