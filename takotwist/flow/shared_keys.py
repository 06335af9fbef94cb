"""A set of which each node has a part, and all know the whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection

import attrs
import msgspec

from takotwist.flow.attach import Attacher
from takotwist.flow.node_states import NodeStates
from takotwist.flow.publish import PublisherService


@attrs.define(slots=True, eq=False)
class SharedKeys:
    """One set of keys.

    :ivar own: those of this node.
    """

    own: Callable[[], frozenset[str]]
    _states: NodeStates | None = attrs.field(default=None, init=False)
    _here: frozenset[str] = attrs.field(default=frozenset(), init=False)
    _away: dict[str, set[str]] = attrs.field(factory=dict, init=False)
    _counts: Counter[str] = attrs.field(factory=Counter, init=False)

    @classmethod
    def of(
        cls,
        of: str,
        own: Callable[[], frozenset[str]],
        node: str,
        publishing: PublisherService,
        attacher: Attacher,
    ) -> SharedKeys:
        """:param of: what keys they are; `node`: a name of this process that no other has."""
        one = cls(own)
        if not publishing.log.everything:
            one._states = NodeStates(
                node, of, lambda: one._here, one._state, one._heard, publishing, attacher
            )
        return one

    def start(self) -> None:
        """Begin to hear of the other nodes."""
        if self._states is not None:
            self._states.start()

    def stop(self) -> None:
        """Say nothing more."""
        if self._states is not None:
            self._states.stop()

    def look(self) -> None:
        """See what has changed here, and tell the others."""
        if self._states is not None:
            before, self._here = self._here, self.own()
            for key in before ^ self._here:
                self._states.changed(key)

    def keys(self) -> Collection[str]:
        """All of them, of whatever node."""
        return self.own() if self._states is None else self._here | self._counts.keys()

    def _state(self, key: str) -> bytes | None:
        return b"1" if key in self._here else None

    def _heard(self, node: str, key: str, state: msgspec.Raw | None) -> None:
        had = self._away.setdefault(node, set())
        if state is not None and key not in had:
            had.add(key)
            self._counts[key] += 1
        elif state is None and key in had:
            had.discard(key)
            self._counts[key] -= 1
            if not self._counts[key]:
                del self._counts[key]
        if not had:
            del self._away[node]
