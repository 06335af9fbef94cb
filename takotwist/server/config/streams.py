"""``[streams]``: durable streams, and streamed messages of topics.

Rule: values alone, so that a server without durable streams imports nothing of their routes.
"""

from __future__ import annotations

import attrs

from takotwist.server.config.kind import Number, Text, Whole
from takotwist.server.config.setting import setting

KIB, MIB = 2**10, 2**20


@attrs.frozen(kw_only=True)
class Streams:
    """Durable streams: bytes or JSON that are appended, read from any offset, and end."""

    path: str = setting(
        Text(r"(/[A-Za-z0-9._~-]{1,64}){0,4}", "empty, or a path such as /streams"),
        "",
        "Below which path streams are served. Empty: there are none.",
    )
    channel: str = setting(
        Text(r"([A-Za-z0-9][A-Za-z0-9._~:@-]{0,127})?", "empty, or a channel's name"),
        "",
        "The channel whose verify decides who may create, append, read and delete; its one param"
        " is path. Empty: who has a publish key, and nobody else.",
    )
    max_append_bytes: int = setting(
        Whole(1 * KIB, 64 * MIB),
        1 * MIB,
        "The most that one request may create a stream with, or append to it; at most"
        " limits.max_body_bytes.",
        unit="bytes",
    )
    max_stream_bytes: int = setting(
        Whole(4 * KIB, 1024 * MIB),
        16 * MIB,
        "The most that one stream may hold; each chunk counts 68 bytes more.",
        unit="bytes",
    )
    max_producers: int = setting(
        Whole(1, 100_000),
        1_000,
        "Producers that one stream remembers, so that a retry of theirs is stored once.",
        unit="producers",
    )
    lifetime_hours: float = setting(
        Number(0.001, 8_760),
        168.0,
        "How long a stream lives after it was created, whatever is read or written.",
        unit="hours",
    )
    long_poll_seconds: float = setting(
        Number(1, 300),
        20.0,
        "How long a long-poll waits for the next chunk.",
        unit="seconds",
    )
    sse_seconds: float = setting(
        Number(1, 3_600),
        60.0,
        "After which an event stream of a stream is ended, and its client comes again.",
        unit="seconds",
    )
    message_bytes: int = setting(
        Whole(1 * KIB, 16 * MIB),
        256 * KIB,
        "The most that a streamed message of a topic may have, as JSON.",
        unit="bytes",
    )
    message_seconds: float = setting(
        Number(1, 86_400),
        3_600.0,
        "How long a streamed message may be open; then it ends as failed.",
        unit="seconds",
    )
    message_lease_seconds: float = setting(
        Number(1, 3_600),
        15.0,
        "Without a word of its writer for so long, a streamed message ends as failed.",
        unit="seconds",
    )
    message_kept_seconds: float = setting(
        Number(1, 86_400),
        600.0,
        "How long the stream of a message can be read after its end; the final message stays.",
        unit="seconds",
    )
    message_open: int = setting(
        Whole(1, 10_000),
        100,
        "Streamed messages that are open in one topic.",
        unit="messages",
    )
