"""What a channel may say of itself."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.channel import RESERVED_QUERY_KEYS, ChannelDefinition, Lifecycle
from takotwist.core.params import Params
from takotwist.errors import DefinitionError


class TestDefinition(SynchronousTestCase):
    """A definition that cannot work does not exist."""

    def test_names(self) -> None:
        """A name is one path segment that needs no encoding."""
        for name in ("chat", "a", "presence.v2", "a-b_c~d:e@f"):
            ChannelDefinition(name=name)
        for name in ("", "a/b", "a b", "ä", ".hidden", "-x", "a" * 129, "a?b"):
            self.assertRaises(DefinitionError, ChannelDefinition, name=name)

    def test_reserved_params(self) -> None:
        """The protocol's own query keys are no params."""
        for name in RESERVED_QUERY_KEYS:
            params = Params.of({"type": "object", "properties": {name: {"type": "string"}}})
            wrong = self.assertRaises(DefinitionError, ChannelDefinition, name="c", params=params)
            self.assertIn(name, str(wrong))

    def test_partition(self) -> None:
        """Only params can partition."""
        params = Params.of({"type": "object", "properties": {"a": {"type": "string"}}})
        ChannelDefinition(name="c", params=params, partition_by=("a",))
        self.assertRaises(
            DefinitionError, ChannelDefinition, name="c", params=params, partition_by=("b",)
        )

    def test_bidirectional(self) -> None:
        """Handlers make a WebSocket channel, as does an app that decides each frame."""
        self.assertFalse(ChannelDefinition(name="c").bidirectional)
        self.assertTrue(ChannelDefinition(name="c", handlers=frozenset({"m"})).bidirectional)
        self.assertTrue(ChannelDefinition(name="c", handlers=None).bidirectional)
        self.assertTrue(ChannelDefinition(name="c", forward_unhandled=True).bidirectional)


class TestLifecycle(SynchronousTestCase):
    """Lengths of time and bounds."""

    def test_defaults(self) -> None:
        """The protocol's defaults."""
        lifecycle = Lifecycle()
        self.assertEqual(lifecycle.replay_window_ms, 600_000)
        self.assertEqual(lifecycle.inactivity_ttl_ms, 0)
        self.assertEqual(lifecycle.keepalive_interval_ms, 25_000)
        self.assertEqual(lifecycle.max_connection_lifetime_ms, 7_200_000)
        self.assertEqual(lifecycle.replay_max_messages, 10_000)
        self.assertEqual(lifecycle.replay_max_bytes, 16 * 2**20)

    def test_bounds(self) -> None:
        """What is out of bounds or no whole number is refused by name."""
        for name, (least, most) in Lifecycle.BOUNDS.items():
            for value in (least - 1, most + 1, 1.5, "1", True):
                wrong = self.assertRaises(DefinitionError, Lifecycle, **{name: value})
                self.assertIn(name, str(wrong))
            Lifecycle(**{name: least})
            Lifecycle(**{name: most})
