"""Bounds: of connections, of rates, of memory, of time; and those of live objects.

Rules: everything that a stranger can make grow has a bound here; a default is safe on a small
VPS.
"""

from __future__ import annotations

import attrs

from takotwist.server.config.kind import Number, Whole
from takotwist.server.config.setting import setting

KIB, MIB = 2**10, 2**20


@attrs.frozen(kw_only=True)
class Limits:
    """Every bound of the server.  Unix sockets are not counted by address."""

    max_connections: int = setting(
        Whole(1, 10_000_000),
        10_000,
        "Connections at the same time; one more is answered overloaded."
        " Idle, one costs about 10 KB, with TLS about 15.",
        unit="connections",
        live=True,
    )
    max_connections_per_address: int = setting(
        Whole(0, 10_000_000),
        1_000,
        "The same for one peer address; 0 is no limit. Behind a proxy, set http.trusted_proxies.",
        unit="connections",
        live=True,
    )
    max_connections_per_subject: int = setting(
        Whole(0, 10_000_000),
        0,
        "The same for one subject, as the app names it; 0 is no limit.",
        unit="connections",
        live=True,
    )
    max_subscriptions_per_connection: int = setting(
        Whole(1, 100_000),
        256,
        "Topics that one multiplexed connection may hold.",
        unit="topics",
        live=True,
    )
    max_subscriptions: int = setting(
        Whole(1, 100_000_000),
        500_000,
        "The same for all connections together; each costs about 2 KB.",
        unit="topics",
        live=True,
    )
    max_topic_bytes: int = setting(
        Whole(64, 64 * KIB),
        1 * KIB,
        "The longest name of a topic: channel and params, as in a URL.",
        unit="bytes",
        live=True,
    )
    max_topic_bytes_per_connection: int = setting(
        Whole(64, 1024 * MIB),
        32 * KIB,
        "What the names of a connection's topics may be together.",
        unit="bytes",
        live=True,
    )
    max_topic_bytes_total: int = setting(
        Whole(64, 2**40),
        64 * MIB,
        "The same for all connections.",
        unit="bytes",
        live=True,
    )
    max_message_bytes: int = setting(
        Whole(128, 64 * MIB),
        64 * KIB,
        "The largest message, published or sent by a client.",
        unit="bytes",
        live=True,
    )
    max_presence_info_bytes: int = setting(
        Whole(2, 64 * KIB),
        1 * KIB,
        "The most that the app may say of a member of a topic, as JSON.",
        unit="bytes",
        live=True,
    )
    max_presence_state_bytes: int = setting(
        Whole(2, 64 * KIB),
        2 * KIB,
        "The most that a member may say of itself, as JSON.",
        unit="bytes",
        live=True,
    )
    presence_interval_seconds: float = setting(
        Number(0.01, 5),
        0.1,
        "Seconds between two times that who is at a topic is told at least. What changes in"
        " between is told together, with the latest of each member.",
        unit="seconds",
        live=True,
    )
    presence_count_interval_seconds: float = setting(
        Number(0.01, 3600),
        1.0,
        "The same for the number of those who are no members, which changes with every visitor.",
        unit="seconds",
        live=True,
    )
    presence_deliveries_per_second: int = setting(
        Whole(1, 10**9),
        100_000,
        "The most changes of who is at a topic that are delivered in a second, each to each"
        " reader. Where more would be, the next are later, by five seconds at most.",
        unit="deliveries a second",
        live=True,
    )
    max_body_bytes: int = setting(
        Whole(1 * KIB, 1024 * MIB),
        1 * MIB,
        "The largest request body, such as a batch of messages.",
        unit="bytes",
        live=True,
    )
    max_header_bytes: int = setting(
        Whole(1 * KIB, 1 * MIB),
        16 * KIB,
        "The most that the head of a request may have, over every version of HTTP. Over HTTP/2"
        " and 3 each field counts 32 bytes more.",
        unit="bytes",
    )
    input_seconds: float = setting(
        Number(1, 3600),
        30.0,
        "A body, a frame or a line that has begun must come on by input_rate over each so many"
        " seconds, or it is not waited for.",
        unit="seconds",
        live=True,
    )
    input_rate: float = setting(
        Number(0, 1e9),
        256.0,
        "How fast it must come on, at least; 0 is as slowly as it likes.",
        unit="bytes a second",
        live=True,
    )
    max_unfinished_bytes: int = setting(
        Whole(1 * MIB, 2**40),
        64 * MIB,
        "What is held of all bodies, frames and lines that have begun and are not whole; past it"
        " the largest is not waited for.",
        unit="bytes",
        live=True,
    )
    unread_seconds: float = setting(
        Number(1, 86_400),
        60.0,
        "A client for whom something waits must take some of it within so many seconds, or it is"
        " dropped.",
        unit="seconds",
        live=True,
    )
    max_unread_bytes: int = setting(
        Whole(1 * MIB, 2**40),
        256 * MIB,
        "What may wait of all answers and streams for clients that do not take it; past it those"
        " with the most are dropped.",
        unit="bytes",
        live=True,
    )
    outbox_bytes: int = setting(
        Whole(4 * KIB, 1024 * MIB),
        256 * KIB,
        "What may wait for one slow connection; beyond it, the connection is continued from the"
        " log.",
        unit="bytes",
    )
    tail_bytes: int = setting(
        Whole(0, 1024 * MIB),
        256 * KIB,
        "Newest messages of one topic that are kept in memory, encoded.",
        unit="bytes",
    )
    tail_total_bytes: int = setting(
        Whole(0, 2**40),
        64 * MIB,
        "The same for all topics together.",
        unit="bytes",
    )
    publish_rate: float = setting(
        Number(0, 1e6),
        50.0,
        "Frames a second that the clients at one address may send; 0 is no limit.",
        unit="frames a second",
        live=True,
    )
    publish_burst: int = setting(
        Whole(1, 1_000_000),
        200,
        "Frames that may come at once before that rate holds.",
        unit="frames",
        live=True,
    )
    connect_rate: float = setting(
        Number(0, 1e6),
        50.0,
        "New connections a second from one address; 0 is no limit.",
        unit="connections a second",
        live=True,
    )
    connect_burst: int = setting(
        Whole(1, 1_000_000),
        500,
        "Connections that may come at once before that rate holds.",
        unit="connections",
        live=True,
    )
    pending_appends: int = setting(
        Whole(1, 1_000_000),
        10_000,
        "Messages that wait to be stored; one more is answered overloaded.",
        unit="messages",
    )
    pending_append_bytes: int = setting(
        Whole(64 * KIB, 2**40),
        64 * MIB,
        "The same, counted in bytes.",
        unit="bytes",
    )
    drain_seconds: float = setting(
        Number(0, 600),
        10.0,
        "At a stop, how long connections are closed one after the other rather than at once.",
        unit="seconds",
        live=True,
    )


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
        "Calls a second from one address, and of one subject; 0 is no limit. With several nodes, a"
        " page that says that it goes counts as a call of its address.",
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
