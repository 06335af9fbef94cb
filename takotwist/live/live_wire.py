"""A connection, as live objects need it.  Rule: what it is made of is its transport's business."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import attrs

from takotwist.errors import Refusal


class LiveWire(Protocol):
    """One connection, as live objects need it."""

    @property
    def paused(self) -> bool:
        """Whether the client reads slower than is written."""

    def send(self, frame: bytes) -> None:
        """Write a text frame."""

    def send_binary(self, payload: bytes) -> None:
        """Write a binary frame."""

    def end(self, refusal: Refusal | None) -> None:
        """End the connection for a reason."""

    def abort(self, reason: str) -> None:
        """Drop the client without a word."""

    def later(self, name: str, when: float, action: Callable[[], None]) -> None:
        """Do something at a time, unless the connection has gone."""


@attrs.frozen(slots=True)
class LiveSettings:
    """What clients are told, and how wires are watched.

    :ivar told: the settings of ``live.attached``.
    :ivar ping_interval: seconds.
    :ivar max_message_bytes: most bytes of one message's data.
    """

    told: Any
    ping_interval: float
    max_message_bytes: int
