"""Live objects: how long they wait, and how much of them is kept.

Rule: as for limits, a default is safe on a small VPS.
"""

from __future__ import annotations

import attrs

from takotwist.server.config.kind import Number, Whole
from takotwist.server.config.setting import setting

KIB = 1024
MIB = 1024 * KIB


@attrs.frozen(kw_only=True)
class Live:
    """Functions that pages call, and the live objects that they return."""

    connect_ttl_seconds: float = setting(
        Number(0, 3600),
        5.0,
        "How long a live object waits for the page that it was returned to.",
        unit="seconds",
    )
    reconnect_timeout_seconds: float = setting(
        Number(0, 86400),
        60.0,
        "How long a live object waits for a page that has lost its connection.",
        unit="seconds",
    )
    idle_timeout_seconds: float = setting(
        Number(0, 86400),
        60.0,
        "How long a page keeps its connection after its last live object.",
        unit="seconds",
    )
    ping_interval_seconds: float = setting(
        Number(1, 3600),
        5.0,
        "Between signs of life; who gives none for two of these has lost the connection.",
        unit="seconds",
    )
    replay_bytes: int = setting(
        Whole(0, 1024 * MIB),
        MIB,
        "What one live object sent, as text, and keeps until the page has reported it; a message"
        " counts for its data and 400 bytes more.",
        unit="bytes",
    )
    replay_bytes_binary: int = setting(
        Whole(0, 1024 * MIB), 2 * MIB, "The same for binary data.", unit="bytes"
    )
    client_replay_bytes: int = setting(
        Whole(0, 1024 * MIB), MIB, "The same at the page, as text.", unit="bytes"
    )
    client_replay_bytes_binary: int = setting(
        Whole(0, 1024 * MIB), 2 * MIB, "The same at the page, binary.", unit="bytes"
    )
    buffer_limit: int = setting(
        Whole(0, 1024 * MIB),
        16 * MIB,
        "What waits to be sent by one end of a live object, as text, counted likewise; beyond it"
        " the object ends with `ChannelOverflowError`, or drops the oldest where it was made to.",
        unit="bytes",
    )
    buffer_limit_binary: int = setting(
        Whole(0, 1024 * MIB), 16 * MIB, "The same for binary data.", unit="bytes"
    )
    buffer_total_bytes: int = setting(
        Whole(1 * MIB, 1024 * 1024 * MIB),
        256 * MIB,
        "What all live objects keep for their pages, waiting or sent and not reported; beyond it"
        " the one that keeps most ends with `ChannelOverflowError`.",
        unit="bytes",
    )
    window_bytes: int = setting(
        Whole(1, 1024 * MIB),
        MIB,
        "How far one end may send ahead of what the other has listened to.",
        unit="bytes",
    )
    window_messages: int = setting(
        Whole(1, 1_000_000), 1024, "The same, counted in messages.", unit="messages"
    )
    max_message_bytes: int = setting(
        Whole(1 * KIB, 64 * MIB), MIB, "The largest message of a live object.", unit="bytes"
    )
    max_call_bytes: int = setting(
        Whole(1 * KIB, 64 * MIB), 256 * KIB, "The largest body of a function's call.", unit="bytes"
    )
    call_timeout_seconds: float = setting(
        Number(0.1, 3600),
        30.0,
        "How long a function may take until it returns.",
        unit="seconds",
    )
    call_rate: float = setting(
        Number(0, 1e6),
        50.0,
        "Calls a second from one address, and of one subject; 0 is no limit.",
        unit="calls a second",
        live=True,
    )
    call_burst: int = setting(
        Whole(1, 1_000_000),
        200,
        "Calls that may come at once before that rate holds.",
        unit="calls",
        live=True,
    )
    max_sessions: int = setting(
        Whole(1, 10_000_000), 50_000, "Pages that have live objects, at once.", unit="pages"
    )
