"""UDP ports, and the listeners of HTTP/3 beside the others."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist.server.config import check
from takotwist.server.config.udp_address import UdpAddress
from tests.server.config.folder import FolderTestCase


class UdpAddressTests(SynchronousTestCase):
    """`UdpAddress`."""

    def test_read(self) -> None:
        """A port, and an interface where one is named, of either family."""
        for text, port, interface in (
            ("udp:443", 443, ""),
            ("udp:443:interface=127.0.0.1", 443, "127.0.0.1"),
            ("udp:0:127.0.0.1", 0, "127.0.0.1"),
            (r"udp:8443:interface=\:\:1", 8443, "::1"),
        ):
            address = UdpAddress.parse(text)
            self.assertEqual((address.port, address.interface), (port, interface))
            self.assertEqual(UdpAddress.parse(str(address)), address)

    def test_refused(self) -> None:
        """What is no UDP port is refused in words."""
        for text, reason in (
            ("tcp:443", "must begin with udp:"),
            ("443", "must begin with udp:"),
            ("udp:70000", "must have a port from 0 to 65535"),
            ("udp:x", "must have a port from 0 to 65535"),
            ("udp:1:interface=localhost", "must have an IP address as interface"),
            ("udp:1:backlog=5", "which udp has not"),
            ("udp:1:interfase=127.0.0.1", "unknown option"),
        ):
            wrong = self.assertRaises(ValueError, UdpAddress.parse, text)
            self.assertIn(reason, str(wrong))


class Http3Tests(FolderTestCase):
    """``[http3]`` beside the rest."""

    def test_off(self) -> None:
        """Nobody who does not ask for it gets it."""
        self.assertEqual(self.load("").http3.listen, ())

    def test_on(self) -> None:
        """A port, from the file or from the environment."""
        tls = '[tls]\nlisten = ["tcp:8443"]\n'
        self.assertEqual(
            self.load(f'{tls}[http3]\nlisten = ["udp:8443"]').http3.listen, ("udp:8443",)
        )
        config = self.load(tls, environ={"TAKO_HTTP3_LISTEN": "udp:1,udp:2"})
        self.assertEqual(config.http3.listen, ("udp:1", "udp:2"))

    def test_without_tls(self) -> None:
        """It shows the certificate of TLS, so there must be one."""
        [problem] = self.problems('[http3]\nlisten = ["udp:8443"]')
        self.assertIn("http3.listen: needs tls.listen too", problem)

    def test_without_aioquic(self) -> None:
        """Without the extra the error says how to get it."""
        self.patch(check, "find_spec", lambda name: None)
        tls = '[tls]\nlisten = ["tcp:8443"]\n'
        [problem] = self.problems(f'{tls}[http3]\nlisten = ["udp:8443"]')
        self.assertIn("http3.listen: needs aioquic: pip install 'takotwist[webtransport]'", problem)
        self.load(tls)

    def test_twice(self) -> None:
        """One port twice is a mistake; any port twice is two."""
        tls = '[tls]\nlisten = ["tcp:8443"]\n'
        [problem] = self.problems(f'{tls}[http3]\nlisten = ["udp:1", "udp:1"]')
        self.assertIn("http3.listen: has udp:1 twice", problem)
        self.load(f'{tls}[http3]\nlisten = ["udp:0", "udp:0"]')

    def test_bad(self) -> None:
        """A bad port is named with its key."""
        [problem] = self.problems('[http3]\nlisten = ["tcp:1"]')
        self.assertIn("http3.listen: item 1 is 'tcp:1', which must begin with udp:", problem)
