"""What one transaction stored, as everybody is told of it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from takotwist.adapters.postgres.entries import digest_of
from takotwist.core.log import Reported


class Range(msgspec.Struct, frozen=True, eq=False):
    """Consecutive ids, from behind the head before it.

    :ivar head: the last one.
    :ivar rows: of the topics that existed.
    :ivar made: rows of topics that are new, with the marks of their keys.
    :ivar own: the messages, where this node stored them itself.
    """

    head: int
    rows: frozenset[int] = frozenset()
    made: tuple[tuple[str, int], ...] = ()
    own: Sequence[Reported] | None = None

    @classmethod
    def of(cls, head: int, touched: str) -> Range:
        """Of the text in a notification or in the table of batches: ``12,15:ab12cd34``."""
        if ":" not in touched:
            return cls(head, frozenset(map(int, touched.split(","))))
        rows, made = [], []
        for part in touched.split(","):
            row, _, mark = part.partition(":")
            if mark:
                made.append((mark, int(row)))
            else:
                rows.append(int(row))
        return cls(head, frozenset(rows), tuple(made))


def mark_of(key: str) -> str:
    """The mark of a topic's key.  Two keys may have the same; then a node looks for nothing."""
    return digest_of(key)[:4].hex()
