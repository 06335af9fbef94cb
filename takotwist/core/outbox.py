"""Messages that an application published within its own transaction, not yet in the log."""

from __future__ import annotations

import msgspec


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """One of them, as it was written down; nobody has checked it.

    :ivar id: in the outbox.
    :ivar params: JSON.
    :ivar data: JSON.
    """

    id: int
    channel: str
    params: bytes
    type: str
    data: bytes
    idempotency_key: str | None
