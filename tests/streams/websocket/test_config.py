from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.http.peer import OriginPolicy
from takotwist.streams.websocket.config import Deflate, WebSocketConfig


class ConfigTests(SynchronousTestCase):
    """Options are checked when they are given."""

    def test_impossible_values(self) -> None:
        """Each is refused by its name."""
        cases: list[dict[str, Any]] = [
            {"max_frame_size": 0},
            {"max_message_size": -1},
            {"ping_interval": 0},
            {"pong_timeout": 0},
            {"upgrade_timeout": 0},
            {"max_lifetime": -1},
            {"max_queued": 0},
            {"subprotocols": ["two words"]},
            {"subprotocols": ["a\r\nX-Evil: b"]},
        ]
        for options in cases:
            with self.subTest(options=options):
                error = self.assertRaises(ValueError, WebSocketConfig, **options)
                self.assertIn(next(iter(options)), str(error))
        for name in ("server_max_window_bits", "client_max_window_bits"):
            for bits in (8, 16):
                error = self.assertRaises(ValueError, Deflate, **{name: bits})
                self.assertIn(name, str(error))

    def test_origins(self) -> None:
        """Origins are given as a list, ``*``, nothing, or a policy made before."""
        policy = OriginPolicy.of(["https://x"])
        self.assertEqual(WebSocketConfig(allowed_origins=["https://X:443"]).allowed_origins, policy)
        self.assertIs(WebSocketConfig(allowed_origins=policy).allowed_origins, policy)
        self.assertEqual(WebSocketConfig().allowed_origins, OriginPolicy(None))
        self.assertRaises(ValueError, WebSocketConfig, allowed_origins=["x"])

    def test_equal_configurations_are_one(self) -> None:
        """A configuration is a value: equal ones share what is built from them."""
        one, other = (WebSocketConfig(subprotocols=["a"], deflate=Deflate()) for _ in range(2))
        self.assertEqual(hash(one), hash(other))
        self.assertEqual(one, other)
