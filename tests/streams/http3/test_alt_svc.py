"""The header that leads browsers to the HTTP/3 endpoint."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.http3 import alt_svc


class AltSvcTests(SynchronousTestCase):
    """`alt_svc`."""

    def test_value(self) -> None:
        """It names the protocol, the port on the same host, and for how long."""
        self.assertEqual(alt_svc(8443, max_age=60), b'h3=":8443"; ma=60')

    def test_impossible(self) -> None:
        """A port or an age that cannot be is refused by name."""
        self.assertIn("port", str(self.assertRaises(ValueError, alt_svc, 0)))
        self.assertIn("max_age", str(self.assertRaises(ValueError, alt_svc, 1, max_age=-1)))
