"""The numbers of live objects.  Rule: a length of time is seconds, a size is bytes."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Bounds:
    """What one end of a live object keeps, and how long it waits.

    :ivar connect_ttl: until the first attach; `None` waits for ever.
    :ivar reconnect_timeout: until the next attach after a cut.
    :ivar replay: bytes that are sent and not reported, text.
    :ivar replay_binary: the same, binary.
    :ivar buffer: bytes that wait to be sent, text.
    :ivar buffer_binary: the same, binary.
    :ivar drop_oldest: whether the oldest that wait make room for the newest; else the object
        ends where more would wait.
    :ivar window_bytes: what the other side may send ahead of what is consumed.
    :ivar window_messages: likewise.
    """

    connect_ttl: float | None = 5.0
    reconnect_timeout: float = 60.0
    replay: int = 1024 * 1024
    replay_binary: int = 2 * 1024 * 1024
    buffer: int = 16 * 1024 * 1024
    buffer_binary: int = 16 * 1024 * 1024
    drop_oldest: bool = False
    window_bytes: int = 1024 * 1024
    window_messages: int = 1024

    def with_buffer(self, limit: int) -> Bounds:
        """The same with other bytes that wait, in both lanes."""
        return attrs.evolve(self, buffer=limit, buffer_binary=limit)
