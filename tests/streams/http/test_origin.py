from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.http.origin import OriginPolicy, normalize_origin


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
