"""What a channel may say of itself.

One name, one definition.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.channel import (
    RESERVED_QUERY_KEYS,
    ChannelDefinition,
    Defined,
    Lifecycle,
    Registry,
)
from takotwist.core.params import Params
from takotwist.errors import ChannelUnknown, DefinitionError


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


def defined(name: str, place: str = "here") -> Defined:
    """A definition of this name."""
    return Defined(ChannelDefinition(name=name), place, local=True)


class TestRegistry(SynchronousTestCase):
    """Finding and replacing."""

    def test_find(self) -> None:
        """A known name is found, another is channel-unknown."""
        registry = Registry.of([defined("a"), defined("b")])
        self.assertEqual(registry.get("a").definition.name, "a")
        self.assertIn("'c'", self.assertRaises(ChannelUnknown, registry.get, "c").sentence)
        self.assertEqual([one.definition.name for one in registry], ["a", "b"])
        self.assertEqual((len(registry), "a" in registry, "c" in registry), (2, True, False))

    def test_duplicates(self) -> None:
        """Who comes second is told who was first."""
        wrong = self.assertRaises(
            DefinitionError, Registry.of, [defined("a", "one.py"), defined("a", "two.py")]
        )
        self.assertEqual((wrong.place, "one.py" in wrong.reason), ("two.py", True))

    def test_replace(self) -> None:
        """Whoever holds the registry sees the new definitions, and later changes of neither's."""
        registry, other = Registry.of([defined("a")]), Registry.of([defined("b")])
        registry.replace(other)
        other.add(defined("c"))
        self.assertEqual([one.definition.name for one in registry], ["b"])
