"""Who may open a session, and what is agreed on with it."""

from __future__ import annotations

from twisted.internet.address import IPv4Address
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.webtransport import SessionRequest, WebTransportConfig
from takotwist.streams.webtransport.request import choose_protocol


def request(authority: bytes = b"example.com", **fields: bytes) -> SessionRequest:
    """A request with some fields."""
    headers = [(b":path", b"/wt?a=b"), (b":authority", authority)]
    headers += [(name.replace("_", "-").encode(), value) for name, value in fields.items()]
    return SessionRequest.of(headers, IPv4Address("UDP", "192.0.2.1", 1))


class OriginTests(SynchronousTestCase):
    """`SessionRequest.origin_allowed`."""

    def test_same_origin(self) -> None:
        """Without a list, only pages of the same scheme, host and port are let in."""
        for authority, origin, allowed in (
            (b"example.com", b"https://example.com", True),
            (b"example.com:443", b"https://example.com", True),
            (b"example.com:8443", b"https://example.com:8443", True),
            (b"example.com:8443", b"https://example.com", False),
            (b"example.com", b"http://example.com", False),
            (b"example.com", b"https://evil.example", False),
            (b"example.com", b"null", False),
        ):
            asked = request(authority, origin=origin)
            self.assertIs(asked.origin_allowed(()), allowed, (authority, origin))

    def test_list(self) -> None:
        """With a list, only the pages on it are."""
        asked = request(origin=b"https://app.example")
        self.assertTrue(asked.origin_allowed(("https://app.example",)))
        self.assertTrue(asked.origin_allowed(("*",)))
        self.assertFalse(asked.origin_allowed(("https://app.example.evil",)))

    def test_no_browser(self) -> None:
        """A client that sends no origin is no browser, and no page can make it one."""
        self.assertTrue(request().origin_allowed(("https://app.example",)))


class RequestTests(SynchronousTestCase):
    """`SessionRequest` and `choose_protocol`."""

    def test_fields(self) -> None:
        """Path and query are apart, and fields can be asked for."""
        asked = request(authorization=b"Bearer x")
        self.assertEqual((asked.path, asked.query), ("/wt", "a=b"))
        self.assertEqual(asked.headers.getRawHeaders("Authorization"), ["Bearer x"])

    def test_protocol(self) -> None:
        """The first of ours that the client offers is chosen, in whatever order it does."""
        config = WebTransportConfig(protocols=("tako.v2", "tako.v1"))
        for offered, chosen in (
            (b'"tako.v1", "tako.v2"', "tako.v2"),
            (b'"other", "tako.v1";q=1', "tako.v1"),
            (b'"other"', None),
            (b"tako.v1", None),
            (b"", None),
        ):
            asked = request(wt_available_protocols=offered)
            self.assertEqual(choose_protocol(asked, config), chosen, offered)
