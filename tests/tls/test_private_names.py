"""Which names the development CA may sign for."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist.tls.private_names import is_private


class PrivateNameTests(SynchronousTestCase):
    """Names that belong to nobody, and addresses that are on no public network."""

    def test_private(self) -> None:
        """Loopback, private networks and reserved domains are private."""
        for host in (
            "localhost",
            "a.localhost",
            "App.Test",
            "printer.local",
            "x.home.arpa",
            "127.1.2.3",
            "10.0.0.1",
            "172.31.0.1",
            "192.168.0.9",
            "::1",
            "fd00::1",
            "*.app.internal",
        ):
            self.assertTrue(is_private(host), host)

    def test_public(self) -> None:
        """Whatever somebody may own is not, however much it looks like it."""
        for host in (
            "example.com",
            "localhost.example.com",
            "notlocalhost",
            "mytest",
            "8.8.8.8",
            "172.32.0.1",
            "2001:db8::1",
            "arpa",
            "",
        ):
            self.assertFalse(is_private(host), host)
