"""One name, one definition."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.channel import ChannelDefinition
from takotwist.core.registry import Defined, Registry
from takotwist.errors import ChannelUnknown, DefinitionError


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
