from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.http.peer import (
    OriginPolicy,
    Peer,
    TrustedProxies,
    asked_host,
    normalize_origin,
    peer_of,
    resolve_peer,
)
from tests.streams.exchange import Http1Exchange

PROXIES = TrustedProxies.of(["10.0.0.0/8", "2001:db8::1", "unix"])


def _resolve(address: str | None, *forwarded_for: str, **more: Any) -> str | None:
    more = {"secure": False, "host": "x", "trusted": PROXIES, **more}
    return resolve_peer(address, forwarded_for=forwarded_for, **more).address


class AddressTests(SynchronousTestCase):
    """Who the client is."""

    def test_a_stranger_is_not_believed(self) -> None:
        """A forwarding header of somebody who is no proxy changes nothing."""
        peer = resolve_peer(
            "198.51.100.1",
            secure=False,
            host="me.example",
            forwarded_for=["203.0.113.9"],
            forwarded_proto=["https"],
            forwarded_host=["evil.example"],
            trusted=PROXIES,
        )
        self.assertEqual(peer, Peer("198.51.100.1", "http://me.example"))

    def test_one_proxy(self) -> None:
        """Behind a proxy, it is who the proxy says."""
        self.assertEqual(_resolve("10.0.0.1", "203.0.113.9"), "203.0.113.9")

    def test_forged(self) -> None:
        """What the client itself put into the header is left of what the proxy added."""
        self.assertEqual(_resolve("10.0.0.1", "1.1.1.1, 203.0.113.9"), "203.0.113.9")

    def test_several_proxies(self) -> None:
        """A chain is followed as far as it is trusted, over repeated lines too."""
        self.assertEqual(_resolve("10.0.0.1", "1.1.1.1", "203.0.113.9, 10.0.0.2"), "203.0.113.9")
        self.assertEqual(_resolve("10.0.0.1", "10.0.0.3,10.0.0.2"), "10.0.0.3")

    def test_unix_socket(self) -> None:
        """A peer on a Unix socket is a proxy where that is said."""
        self.assertEqual(_resolve(None, "203.0.113.9"), "203.0.113.9")
        self.assertIsNone(_resolve(None, "203.0.113.9", trusted=TrustedProxies.of([])))

    def test_spellings(self) -> None:
        """Ports, brackets, mapped addresses and zones."""
        for spelled, address in [
            ("203.0.113.9:1234", "203.0.113.9"),
            ("[2001:db8::9]:1234", "2001:db8::9"),
            ("2001:db8::9", "2001:db8::9"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
        ]:
            self.assertEqual(_resolve("::ffff:10.0.0.1", spelled), address)
        self.assertEqual(_resolve("2001:db8::1", "203.0.113.9"), "203.0.113.9")

    def test_nonsense(self) -> None:
        """What is no address ends the chain."""
        self.assertEqual(_resolve("10.0.0.1", "203.0.113.9, unknown"), "10.0.0.1")
        self.assertEqual(_resolve("10.0.0.1", ""), "10.0.0.1")
        self.assertEqual(_resolve("10.0.0.1"), "10.0.0.1")

    def test_bad_configuration(self) -> None:
        """An entry that is no address is refused by name."""
        error = self.assertRaises(ValueError, TrustedProxies.of, ["10.0.0.1", "proxy.example"])
        self.assertIn("'proxy.example'", str(error))


class OwnOriginTests(SynchronousTestCase):
    """As which origin the client reached us."""

    def test_proxy_with_tls(self) -> None:
        """A proxy's word on scheme and host is taken, the last one where there are several."""
        peer = resolve_peer(
            "10.0.0.1",
            secure=False,
            host="internal:8080",
            forwarded_proto=["http, https"],
            forwarded_host=["app.example.com"],
            trusted=PROXIES,
        )
        self.assertEqual(peer.origin, "https://app.example.com")
        self.assertTrue(peer.secure)

    def test_chain(self) -> None:
        """Scheme and host are those that the farthest trusted proxy has said, whether the ones
        behind it add to that or put their own in its place."""
        near, far, stranger = "10.0.0.1", "10.0.0.2", "198.51.100.7"
        for forwarded_for, proto, host, origin in (
            (f"203.0.113.9, {far}", "https, http", "app.example, in", "https://app.example"),
            (f"203.0.113.9, {far}", "https,http", "", "https://x"),
            (f"203.0.113.9, {far}", "https", "app.example", "https://app.example"),
            (f"203.0.113.9, {far}", "http,https,http", "evil, app, in", "https://app"),
            (f"203.0.113.9, {stranger}", "https, http", "evil, in", "http://in"),
            ("", "https, http", "evil, in", "http://in"),
            (f"unknown, {far}", "https, http", "evil, in", "http://in"),
        ):
            forwarded: Any = {"forwarded_proto": [proto], "forwarded_host": [host]}
            for_lines = [forwarded_for] if forwarded_for else []
            peer = resolve_peer(
                near,
                secure=False,
                host="x",
                forwarded_for=for_lines,
                trusted=PROXIES,
                **forwarded,
            )
            self.assertEqual(peer.origin, origin, (forwarded_for, proto, host))
            hosts: list[Any] = []

            def answer(request: Any, hosts: list[Any] = hosts) -> bytes:
                hosts.append(asked_host(request, TrustedProxies.of(["192.0.2.7", "10.0.0.0/8"])))
                return b""

            exchange = Http1Exchange(answer)
            lines = [f"X-Forwarded-For: {forwarded_for}", f"X-Forwarded-Host: {host}"]
            exchange.ask("/", *lines)
            named = origin.partition("://")[2]
            self.assertEqual(hosts, [named if host else "example.com"])

    def test_of_a_request(self) -> None:
        """The same from a request's headers."""
        peers: list[Peer] = []

        def answer(request: Any) -> bytes:
            peers.append(peer_of(request, TrustedProxies.of(["192.0.2.0/24"])))
            peers.append(peer_of(request))
            return b""

        exchange = Http1Exchange(answer)
        exchange.ask("/", "X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https")
        self.assertEqual(
            peers,
            [Peer("203.0.113.9", "https://example.com"), Peer("192.0.2.7", "http://example.com")],
        )


class NormalizeTests(SynchronousTestCase):
    """Two spellings of one origin are one origin."""

    def test_spellings(self) -> None:
        """Case, the scheme's own port, a path, and the names of IPv6 and IDN hosts."""
        for spelled, normal in [
            ("HTTPS://APP.example.com:443", "https://app.example.com"),
            ("http://app.example.com:80/path?q", "http://app.example.com"),
            ("http://app.example.com:443", "http://app.example.com:443"),
            ("wss://x:443", "wss://x"),
            ("ws://x:80", "ws://x"),
            ("https://x:", "https://x"),
            ("https://x:08443", "https://x:8443"),
            ("https://[2001:DB8:0::1]:443", "https://[2001:db8::1]"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
            ("capacitor://localhost", "capacitor://localhost"),
        ]:
            with self.subTest(spelled=spelled):
                self.assertEqual(normalize_origin(spelled), normal)

    def test_no_origin(self) -> None:
        """What is no origin of a page has no normal form."""
        for text in (
            "null",
            "",
            " ",
            "*",
            "app.example.com",
            "https://",
            "https://user@x",
            "https://user:pw@x",
            "https://x:70000",
            "https://x:0",
            "https://x:y",
            "https://[::g]",
            "https://x y",
            "//x",
            "https:/x",
            "https://x\\@y",
            "https://a..b",
        ):
            with self.subTest(text=text):
                self.assertIsNone(normalize_origin(text))

    @given(st.text())
    def test_normal_stays_normal(self, text: str) -> None:
        """Normalizing twice is normalizing once, and nothing raises."""
        once = normalize_origin(text)
        if once is not None:
            self.assertEqual(normalize_origin(once), once)


class PolicyTests(SynchronousTestCase):
    """Who may use the server."""

    def test_own(self) -> None:
        """By default only pages of the server itself, in any spelling."""
        policy = OriginPolicy.of(None)
        self.assertTrue(policy.permits("https://x", "https://X:443"))
        for origin in ("https://y", "http://x", "https://x:444", "null", ""):
            self.assertFalse(policy.permits(origin, "https://x"), origin)
        self.assertFalse(policy.permits("https://x", None))
        self.assertFalse(policy.permits("null", "null"))

    def test_listed(self) -> None:
        """A list adds to the server's own pages; both sides are normalized."""
        policy = OriginPolicy.of(["https://App.example.com:443/"])
        self.assertTrue(policy.permits("HTTPS://APP.example.com", "https://x"))
        self.assertTrue(policy.permits("https://x", "https://x"))
        self.assertFalse(policy.permits("https://example.com", "https://x"))
        self.assertFalse(policy.permits("https://app.example.com.evil", "https://x"))

    def test_all(self) -> None:
        """``*``, alone or in a list, is everybody."""
        for allowed in ("*", ["https://x", "*"]):
            self.assertTrue(OriginPolicy.of(allowed).permits("null", None))

    def test_no_header(self) -> None:
        """A request without an Origin header comes from no page."""
        self.assertTrue(OriginPolicy.of(["https://x"]).permits(None, None))

    def test_bad_configuration(self) -> None:
        """An entry that is no origin is refused by name, and text in the place of a list."""
        error = self.assertRaises(ValueError, OriginPolicy.of, ["https://x", "app.example.com"])
        self.assertIn("'app.example.com'", str(error))
        self.assertRaises(ValueError, OriginPolicy.of, "https://x")
        self.assertRaises(ValueError, OriginPolicy.of, ["null"])
