"""Queries that were bound to params before.

Connections to one topic, and publishes on it, bring the same query again and again, and to
validate it costs more than all else that is read of it.  Rule: only what was found
valid is remembered, for the very definition that found it so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import attrs

from takotwist.core.channel import ChannelDefinition

if TYPE_CHECKING:
    from takotwist.flow.authorize import Asked

#: Queries remembered, and the most fields and characters that one may have: together
#: a few megabytes at most, whatever clients ask for.
MAX_QUERIES, MAX_FIELDS, MAX_CHARACTERS = 8192, 8, 256

_Key = tuple[str, tuple[tuple[str, str], ...]]


@attrs.define(slots=True, eq=False)
class Bindings:
    """What was bound; the oldest is forgotten first."""

    _known: dict[_Key, Asked] = attrs.field(factory=dict, init=False)

    def key(self, definition: ChannelDefinition, query: Mapping[str, Sequence[str]]) -> _Key | None:
        """What `query` is remembered under; `None` where it is not remembered at all."""
        if len(query) > MAX_FIELDS:
            return None
        size, fields = 0, []
        for name, values in query.items():
            size += len(name) + len(values[0])
            if len(values) > 1 or size > MAX_CHARACTERS:
                return None
            fields.append((name, values[0]))
        return definition.name, tuple(fields)

    def find(self, definition: ChannelDefinition, key: _Key) -> Asked | None:
        """What it was bound to."""
        asked = self._known.get(key)
        return asked if asked is not None and asked.definition is definition else None

    def remember(self, key: _Key, asked: Asked) -> None:
        """It is valid."""
        self._known.pop(key, None)
        if len(self._known) >= MAX_QUERIES:
            del self._known[next(iter(self._known))]
        self._known[key] = asked

    def forget(self) -> None:
        """Definitions were read again."""
        self._known.clear()

    def __len__(self) -> int:
        return len(self._known)
