"""What all live objects together keep for their pages.

Each has bounds of its own, which are generous; a page that reads nothing can have
many objects, and there can be many such pages.  Rule: over the bound whoever holds
most ends, so that pages that keep up do not pay for those that do not.
"""

from __future__ import annotations

from typing import Protocol

import attrs


class Holder(Protocol):
    """A live object, as the sum sees it."""

    def overflow(self) -> None:
        """End: it holds most of what is too much."""


@attrs.define(slots=True, eq=False)
class Backlog:
    """The sum of what objects hold.

    :ivar limit: bytes, as `Machine.held` counts them.
    :ivar size: bytes now.
    """

    limit: int
    size: int = attrs.field(default=0, init=False)
    _held: dict[Holder, int] = attrs.field(factory=dict, init=False)

    def note(self, holder: Holder, held: int) -> None:
        """Take down what an object holds now."""
        before = self._held.pop(holder, 0)
        if held:
            self._held[holder] = held
        self.size += held - before
        while self.size > self.limit and held > before:
            size = self.size
            max(self._held, key=self._held.__getitem__).overflow()
            if self.size >= size:
                # It is ending already, and says so when it has.
                return
