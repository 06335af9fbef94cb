"""Interface of one client's connection, as the parts of its app use it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from takotwist.core.topic import Topic
from takotwist.errors import Refusal


class Client(Protocol):
    """One client; equal to itself alone.

    :ivar socket_id: of the connection, as its client and its app call it.
    """

    @property
    def socket_id(self) -> str: ...

    def push(self, whole: bytes) -> bool:
        """Take a whole WebSocket frame; `False` where the connection is full."""

    def tell(self, said: bytes) -> None:
        """Send a frame's payload, whatever waits."""

    def end(self, refusal: Refusal) -> None:
        """End the connection."""

    def leave_out(
        self, name: str, event: str, data: bytes, user_id: str | None = None
    ) -> Callable[[], None] | None:
        """Do not give the client an event of a channel that is about to be stored.

        :return: to be called where it is not stored.
        """

    def topic_of(self, name: str) -> Topic | None:
        """The topic of a channel that the client follows."""
