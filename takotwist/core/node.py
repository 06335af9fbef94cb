"""A node: one process among those that share a store."""

from __future__ import annotations

import attrs


@attrs.frozen(slots=True)
class Node:
    """One node, as the others see it.

    :ivar name: of this run of the process.
    :ivar since: when it came, by unix time in seconds.
    :ivar info: what it says of itself; empty before it has said anything.
    """

    name: str
    since: float
    info: bytes
