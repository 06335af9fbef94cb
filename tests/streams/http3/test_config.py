"""The bounds of an endpoint must fit each other."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.http3 import Http3Config


class ConfigTests(SynchronousTestCase):
    """`Http3Config`."""

    def test_defaults_fit(self) -> None:
        """The defaults are a valid configuration."""
        self.assertGreater(Http3Config().max_connections, 0)

    def test_conflicts_are_named(self) -> None:
        """Two values that exclude each other are refused, and named."""
        for wrong, name in (
            ({"keepalive": 20.0, "idle_timeout": 30.0}, "keepalive"),
            ({"low_water": 9000, "high_water": 9000}, "low_water"),
            ({"connection_window": 32768, "stream_window": 65536}, "connection_window"),
        ):
            error = self.assertRaises(ValueError, lambda w=wrong: Http3Config(**w))
            self.assertIn(name, str(error))

    def test_impossible_values(self) -> None:
        """A bound of nothing is no bound."""
        self.assertRaises(ValueError, lambda: Http3Config(max_connections=0))
