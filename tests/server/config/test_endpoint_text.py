"""Endpoint strings are taken apart, checked, and put together the same.

UDP ports, and the listeners of HTTP/3 beside the others.
"""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.endpoints import serverFromString
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.server.config import check_listeners
from takotwist.server.config.endpoint_text import EndpointText, UdpAddress
from tests.server.config.folder import FolderTestCase


class EndpointTextTests(SynchronousTestCase):
    """What an operator writes under `listen`."""

    def _refused(self, text: str) -> str:
        return str(self.assertRaises(ValueError, EndpointText.parse, text))

    def test_tcp(self) -> None:
        """A port, and the interface by place or by name."""
        self.assertEqual(EndpointText.parse("tcp:80").port, 80)
        self.assertEqual(EndpointText.parse("tcp:80").interface, "")
        self.assertEqual(EndpointText.parse("tcp:80:127.0.0.1").interface, "127.0.0.1")
        self.assertEqual(EndpointText.parse("tcp:port=80:interface=\\:\\:1").interface, "::1")

    def test_relative_socket_is_in_its_folder(self) -> None:
        """A relative path of a Unix socket is one beside the file that names it."""
        endpoint = EndpointText.parse("unix:state/x.sock:mode=660").within(Path("/etc/tako"))
        self.assertEqual(str(endpoint), "unix:/etc/tako/state/x.sock:mode=660")
        self.assertEqual(EndpointText.parse("unix:address=/a").within(Path("/b")).path, "/a")

    def test_what_people_write_instead(self) -> None:
        """A bare port, a host with a port, a misspelling: each gets a hint."""
        self.assertIn('"tcp:8080"', self._refused("8080"))
        self.assertIn('"tcp:9000"', self._refused("0.0.0.0:9000"))
        self.assertIn("did you mean 'tcp'", self._refused("tpc:80"))
        self.assertIn("under [tls] listen", self._refused("ssl:443:privateKey=x"))

    def test_values_out_of_range(self) -> None:
        """Ports, modes, interfaces and options are checked before anything listens."""
        self.assertIn("port from 0 to 65535", self._refused("tcp:65536"))
        self.assertIn("port from 0 to 65535", self._refused("tcp:http"))
        self.assertIn("IP address as interface", self._refused("tcp:80:interface=eth0"))
        self.assertIn("IPv6 address", self._refused("tcp6:80:interface=127.0.0.1"))
        self.assertIn("octal mode", self._refused("unix:a:mode=999"))
        self.assertIn("did you mean 'interface'", self._refused("tcp:80:interfac=1.2.3.4"))
        self.assertIn("without a name", self._refused("unix:/a:600"))

    def test_systemd_needs_a_domain_and_one_socket(self) -> None:
        """A passed socket is named by its kind and by its index or name."""
        self.assertIn("domain=INET", self._refused("systemd:index=0"))
        self.assertIn("either index=0", self._refused("systemd:domain=INET"))
        self.assertIn("either index=0", self._refused("systemd:domain=INET:index=0:name=a"))
        self.assertEqual(
            str(EndpointText.parse("systemd:domain=UNIX:name=private")),
            "systemd:domain=UNIX:name=private",
        )

    def test_proxy_protocol_in_front(self) -> None:
        """``haproxy:`` before an endpoint is kept, and what follows is checked."""
        endpoint = EndpointText.parse("haproxy:tcp:80")
        self.assertEqual(
            (endpoint.proxied, endpoint.port, str(endpoint)), (True, 80, "haproxy:tcp:80")
        )
        self.assertIn("port from 0", self._refused("haproxy:tcp:99999"))

    def test_kind_of_a_plugin_passes(self) -> None:
        """Endpoints of other packages are left to Twisted."""
        self.assertEqual(str(EndpointText.parse("onion:80")), "onion:80")

    def test_option_that_is_there_stays(self) -> None:
        """An option is added only where the operator did not say it."""
        endpoint = EndpointText.parse("tcp:80:backlog=5")
        self.assertEqual(endpoint.with_option("backlog", "9"), endpoint)
        self.assertEqual(
            str(EndpointText.parse("tcp:80").with_option("backlog", "9")), "tcp:80:backlog=9"
        )

    @given(st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=1))
    def test_any_path_survives(self, path: str) -> None:
        """Whatever is in a socket's path comes out as it went in, and is text for Twisted."""
        quoted = re.sub(r"([\\:=])", r"\\\1", path)
        text = f"unix:/{quoted}:mode=600"
        endpoint = EndpointText.parse(text)
        self.assertEqual(endpoint.path, "/" + path)
        self.assertEqual(EndpointText.parse(str(endpoint)), endpoint)
        read = serverFromString(MemoryReactorClock(), str(endpoint))
        self.assertEqual(read._address, "/" + path)

    def test_twisted_reads_the_same(self) -> None:
        """What is put together is the endpoint that Twisted would have read."""
        reactor = MemoryReactorClock()
        endpoint = EndpointText.parse("tcp:81:interface=\\:\\:1").with_option("backlog", "7")
        serverFromString(reactor, str(endpoint))
        self.assertEqual(str(endpoint), "tcp:81:interface=\\:\\:1:backlog=7")


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
        self.patch(check_listeners, "find_spec", lambda name: None)
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
