"""Numbers with nouns."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.counted import counted


class CountedTests(SynchronousTestCase):
    """One, and any other number."""

    def test_counted(self) -> None:
        """One is one, whatever kind of number it is; nothing else is."""
        said = [counted(number, "topic") for number in (0, 1, 2, 1_000_000, 1.0, 0.5, 10.0)]
        self.assertEqual(
            said,
            [
                "0 topics",
                "1 topic",
                "2 topics",
                "1000000 topics",
                "1 topic",
                "0.5 topics",
                "10 topics",
            ],
        )
        self.assertEqual(
            [counted(n, "publish", "publishes") for n in (1, 2)], ["1 publish", "2 publishes"]
        )
