"""What a start costs, as it is printed."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.start import Start, table


class TableTests(SynchronousTestCase):
    def test_multiples(self) -> None:
        """Each figure is a median, beside its quartiles, as a multiple of the first one's."""
        found = {
            "before": [Start(1.0, 0.5, 50.0), Start(2.0, 0.5, 50.0), Start(3.0, 0.5, 50.0)],
            "checkout": [Start(3.0, 0.25, 55.0)] * 3,
        }
        self.assertEqual(
            [" ".join(line.split()) for line in table(found)],
            [
                "before 2.00 s to ready (1.00 to 3.00), 1.000 times",
                "checkout 3.00 s to ready (3.00 to 3.00), 1.500 times",
                "before 0.50 s of CPU (0.50 to 0.50), 1.000 times",
                "checkout 0.25 s of CPU (0.25 to 0.25), 0.500 times",
                "before 50.00 MB (50.00 to 50.00), 1.000 times",
                "checkout 55.00 MB (55.00 to 55.00), 1.100 times",
            ],
        )
