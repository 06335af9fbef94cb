"""The bounds of a route must fit each other."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.webtransport import WebTransportConfig


class ConfigTests(SynchronousTestCase):
    """`WebTransportConfig`."""

    def test_lists(self) -> None:
        """Lists are taken for tuples, so that a configuration stays frozen."""
        config = WebTransportConfig(allowed_origins=["https://a.example"])
        self.assertEqual(config.allowed_origins, ("https://a.example",))

    def test_conflict(self) -> None:
        """Marks that are not in order are refused, and named."""
        error = self.assertRaises(
            ValueError, lambda: WebTransportConfig(high_water=2048, low_water=4096)
        )
        self.assertIn("low_water", str(error))
