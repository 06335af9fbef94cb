from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.webtransport.config import WebTransportConfig
from takotwist.streams.webtransport.route import webtransport


async def handler(session: Any) -> None:
    """Serves nothing."""


class RouteTests(SynchronousTestCase):
    """Routes as an app writes them."""

    def test_defaults(self) -> None:
        """A route has bounds without being asked, and sessions of its own only."""
        one, other = webtransport("/a", handler), webtransport("/a", handler)
        self.assertEqual(one.config, WebTransportConfig())
        self.assertIsNone(one.admit)
        self.assertEqual(one.sessions, 0)
        self.assertIsNot(one.ending, other.ending)

    def test_given(self) -> None:
        """Bounds and admission are those that are given."""
        config = WebTransportConfig(max_sessions=1)
        route = webtransport("/a", handler, config=config, admit=lambda request: 403)
        self.assertIs(route.config, config)
        self.assertIsNotNone(route.admit)

    def test_paths(self) -> None:
        """A path that no request can have is refused where it is written, and named."""
        for path in ("", "a", "/a?b", "/a#b"):
            with self.assertRaises(ValueError) as caught:
                webtransport(path, handler)
            self.assertIn(repr(path), str(caught.exception))
