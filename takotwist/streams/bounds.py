"""Bounds of unfinished input and of unread answers, as a server states them.

They may change while it runs.  Rule: a bound is read where it is needed, and no copy is kept.
"""

from __future__ import annotations

from typing import Protocol

import attrs


class IOBounds(Protocol):
    """Bounds of all clients together: of what they send, and of what they do not read."""

    @property
    def input_seconds(self) -> float:
        """Seconds in which an input must come on: the window."""
        ...

    @property
    def input_rate(self) -> float:
        """Bytes a second by which it must come on, over each window."""
        ...

    @property
    def max_unfinished_bytes(self) -> int:
        """Bytes of unfinished input that may be held, in all."""
        ...

    @property
    def unread_seconds(self) -> float:
        """Seconds in which a reader must take something."""
        ...

    @property
    def max_unread_bytes(self) -> int:
        """Bytes that may wait for readers, in all."""
        ...


class IOSettings(Protocol):
    """The settings of a server, as far as these bounds are in them."""

    @property
    def limits(self) -> IOBounds:
        """The bounds that hold now; another object after each change."""
        ...


@attrs.frozen(slots=True)
class DefaultBounds:
    """Bounds of a site that states none; the attributes are those of `IOBounds`."""

    input_seconds: float = 30.0
    input_rate: float = 256.0
    max_unfinished_bytes: int = 64 << 20
    unread_seconds: float = 60.0
    max_unread_bytes: int = 256 << 20


@attrs.frozen(slots=True)
class _Fixed:
    limits: DefaultBounds


#: Settings that never change.
DEFAULT_SETTINGS = _Fixed(DefaultBounds())
