"""The channels that are defined, by name.

Definitions come from several places (Python, configuration, an app's
registry).  Rule: one name, one definition; whoever comes second is told who
was first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs

from takotwist.core.channel import ChannelDefinition
from takotwist.errors import ChannelUnknown, DefinitionError


@attrs.frozen(slots=True)
class Defined:
    """One definition and where it came from.

    :ivar definition: the channel.
    :ivar place: file, module or URL, for people.
    :ivar local: whether its callables are in this process; else the app is asked over HTTP.
    """

    definition: ChannelDefinition
    place: str
    local: bool


@attrs.define(slots=True)
class Registry:
    """Name -> definition.  Replaced as a whole when definitions are read again."""

    _by_name: dict[str, Defined] = attrs.field(factory=dict)

    @classmethod
    def of(cls, defined: Iterable[Defined]) -> Registry:
        """:raises DefinitionError: when two have the same name."""
        registry = cls()
        for one in defined:
            registry.add(one)
        return registry

    def add(self, defined: Defined) -> None:
        """:raises DefinitionError: when the name is taken; names both places."""
        first = self._by_name.get(defined.definition.name)
        if first is not None:
            raise DefinitionError(
                f"channel {defined.definition.name!r} is already defined in {first.place}",
                place=defined.place,
            )
        self._by_name[defined.definition.name] = defined

    def replace(self, other: Registry) -> None:
        """Take over all that `other` holds: who has this registry sees the new definitions."""
        self._by_name = dict(other._by_name)

    def get(self, name: str) -> Defined:
        """:raises ChannelUnknown: when there is none of this name."""
        try:
            return self._by_name[name]
        except KeyError:
            raise ChannelUnknown(f"There is no channel named {name!r}.") from None

    def __iter__(self) -> Iterator[Defined]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name
