"""Which URLs a client asks for."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist.client.target import Target
from tests.client.vectors import VECTORS


class TargetTests(SynchronousTestCase):
    """The caller's URL as requests."""

    def test_vectors(self) -> None:
        """The URLs of SSE and WebSocket are those of all clients."""
        for vector in VECTORS["targets"]:
            target = Target.of(vector["url"])
            stale = vector.get("gone", "reset") == "reset"
            name, params = vector["channel"], vector["params"]
            self.assertEqual(target.sse(name, params, stale_reset=stale), vector["sse"])
            self.assertEqual(
                target.websocket(name, params, cursor=vector["cursor"], stale_reset=stale),
                vector["websocket"],
            )

    def test_mux(self) -> None:
        """A multiplexed connection has one address, or the one that is given."""
        self.assertEqual(Target.of("https://x.example").mux(), "wss://x.example/_tako/connect")
        self.assertEqual(Target.of("http://x.example/rt/").mux(), "ws://x.example/rt")

    def test_history(self) -> None:
        """A page of history names where it begins."""
        self.assertEqual(
            Target.of("https://x.example").history("chat", {"roomId": "a"}, "41", 10),
            "https://x.example/_tako/channels/chat/history?roomId=a&after=41&limit=10",
        )

    def test_unix(self) -> None:
        """A Unix socket is a path, and its URLs are those of localhost."""
        target = Target.of("unix:/run/tako/private.sock")
        self.assertEqual(target.socket_path, "/run/tako/private.sock")
        self.assertEqual(target.sse("chat", {}), "http://localhost/_tako/channels/chat")

    def test_refused(self) -> None:
        """A URL that would lead nowhere, or hold what is logged, is refused at once."""
        for url in (
            "chat",
            "ftp://x",
            "https://",
            "unix:relative",
            "https://u:p@x",
            "https://x?a=1",
        ):
            self.assertRaises(ValueError, Target.of, url)
