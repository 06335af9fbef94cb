"""Every limit, what is said when it is reached, and how a client reaches it.

``docs/reference/limits.md`` is made of these lines, and `test_limits` goes through them
on a real server.  Those of live objects have a file of their own.
"""

from __future__ import annotations

from tests.faults import (
    reaching,
    reaching_http3,
    reaching_messages,
    reaching_streams,
    reaching_unfinished,
)
from tests.faults.limit import Limit
from tests.faults.live_limits import LIVE_LIMITS
from tests.faults.presence_limits import PRESENCE_LIMITS
from tests.faults.pusher_limits import PUSHER_LIMITS
from tests.faults.reaching_messages import KEYS_TOML as MESSAGES_TOML
from tests.faults.reaching_streams import KEYS_TOML

_OVERLOADED = ("503 overloaded", "close 1013 overloaded")
_LIMITED = ("429 rate-limited", "close 4429 rate-limited")

#: Every limit.
LIMITS: tuple[Limit, ...] = (
    Limit(
        "connections in all",
        "limits.max_connections",
        _OVERLOADED,
        reaching.connections,
        "[limits]\nmax_connections = 3",
    ),
    Limit(
        "connections of one address",
        "limits.max_connections_per_address",
        _LIMITED,
        reaching.connections,
        "[limits]\nmax_connections_per_address = 3",
    ),
    Limit(
        "connections of one subject",
        "limits.max_connections_per_subject",
        ("429 rate-limited", "close 4429 rate-limited", "error rate-limited"),
        reaching.subjects,
        "[limits]\nmax_connections_per_subject = 2",
    ),
    Limit(
        "new connections of one address",
        "limits.connect_rate",
        _LIMITED,
        reaching.connect_rate,
        "[limits]\nconnect_rate = 0.01\nconnect_burst = 4",
    ),
    Limit(
        "topics of one connection",
        "limits.max_subscriptions_per_connection",
        ("error rate-limited",),
        reaching.subscriptions,
        "[limits]\nmax_subscriptions_per_connection = 3",
    ),
    Limit(
        "topics of all connections",
        "limits.max_subscriptions",
        ("503 overloaded", "close 1013 overloaded", "error overloaded"),
        reaching.topics,
        "[limits]\nmax_subscriptions = 3",
    ),
    Limit(
        "the name of a topic, its params included, as in a URL",
        "limits.max_topic_bytes",
        ("400 params-invalid", "close 4422 params-invalid", "error params-invalid"),
        reaching.topic_name,
        "[limits]\nmax_topic_bytes = 100",
    ),
    Limit(
        "the names of a connection's topics",
        "limits.max_topic_bytes_per_connection",
        ("error rate-limited",),
        reaching.topic_names,
        "[limits]\nmax_topic_bytes = 100\nmax_topic_bytes_per_connection = 150",
    ),
    Limit(
        "those of all connections",
        "limits.max_topic_bytes_total",
        ("503 overloaded", "close 1013 overloaded", "error overloaded"),
        reaching.topics,
        "[limits]\nmax_topic_bytes = 64\nmax_topic_bytes_per_connection = 64"
        "\nmax_topic_bytes_total = 64",
    ),
    Limit(
        "credentials in a frame",
        "8,192 characters",
        ("close 4400 auth-frame-malformed", "error body-invalid"),
        reaching.credentials,
    ),
    Limit(
        "a message's data",
        "limits.max_message_bytes",
        ("413 message-too-large", "error message-too-large", "close 1009 message-too-large"),
        reaching.message,
        "[limits]\nmax_message_bytes = 1000",
    ),
    *PRESENCE_LIMITS,
    Limit(
        "a client's frame to one channel, in fragments or not",
        "4 times limits.max_message_bytes",
        ("close 1009",),
        reaching.frame,
        "[limits]\nmax_message_bytes = 1000\n[live]\nmax_message_bytes = 1024",
    ),
    Limit(
        "a request's body",
        "limits.max_body_bytes",
        ("413 message-too-large",),
        reaching.body,
        "[limits]\nmax_body_bytes = 2000\nmax_message_bytes = 1000",
    ),
    Limit(
        "a line of NDJSON",
        "limits.max_message_bytes + 4 KiB",
        ("line message-too-large",),
        reaching.ndjson_line,
        "[limits]\nmax_message_bytes = 1000",
    ),
    Limit(
        "a request's head, over every version of HTTP",
        "limits.max_header_bytes",
        ("431 refused",),
        reaching.head,
        "[limits]\nmax_header_bytes = 2000",
        tls=True,
    ),
    Limit("lines of a head", "100", ("431 refused",), reaching.head_lines, tls=True),
    Limit("time for a head, from its first byte", "10 s", ("408 refused",), reaching.head_time),
    Limit(
        "how slowly a body, a frame or a line may come that has begun, over each"
        " `limits.input_seconds`",
        "limits.input_rate",
        ("408 refused", "line refused", "close 1013 too-slow"),
        reaching_unfinished.slow_input,
        f"{reaching.KEYS}{reaching_http3.HTTP3}[limits]\ninput_seconds = 2",
        tls=True,
    ),
    Limit(
        "bytes of all bodies, frames and lines that have begun; the largest goes first",
        "limits.max_unfinished_bytes",
        ("503 overloaded", "line overloaded", "close 1013 overloaded"),
        reaching_unfinished.much_input,
        f"{reaching.KEYS}{reaching_http3.HTTP3}[limits]\nmax_unfinished_bytes = 1048576"
        "\nmax_body_bytes = 2000000\nmax_message_bytes = 1200000\noutbox_bytes = 1200000",
        tls=True,
    ),
    Limit(
        "how long an NDJSON publish may be quiet",
        "publish.stream_idle_seconds",
        ("line refused",),
        reaching_unfinished.quiet_stream,
        f"{reaching.KEYS}stream_idle_seconds = 2",
        tls=True,
    ),
    Limit(
        "how long one may go on in all",
        "publish.stream_seconds",
        ("line refused",),
        reaching_unfinished.long_stream,
        f"{reaching.KEYS}stream_seconds = 2",
        tls=True,
    ),
    Limit("messages in an array", "1,000", ("413 message-too-large",), reaching.array),
    Limit(
        "messages in an answer of the history", "1,000", ("400 params-invalid",), reaching.history
    ),
    Limit(
        "an `Idempotency-Key`", "255 characters", ("400 body-invalid",), reaching.idempotency_key
    ),
    Limit("a message's `type`", "128 characters", ("400 body-invalid",), reaching.kind),
    Limit(
        "frames from the clients of one address",
        "limits.publish_rate",
        ("close 4429 rate-limited", "error rate-limited"),
        reaching.frame_rate,
        "[limits]\npublish_rate = 0.01\npublish_burst = 3",
    ),
    Limit(
        "those that are no messages (subscribe, unsubscribe, auth, ping), of which four count for"
        " one; what cannot be read counts in full",
        "limits.publish_rate",
        ("close 4429 rate-limited", "error rate-limited"),
        reaching.control_rate,
        "[limits]\npublish_rate = 0.01\npublish_burst = 3",
    ),
    Limit(
        "frames of one connection that are refused for their rate, in 10 s",
        "1,000",
        ("close 4429 rate-limited",),
        reaching.refused_frames,
        "[limits]\npublish_rate = 0.01\npublish_burst = 3",
    ),
    Limit(
        "a WebSocket's pings and pongs",
        "1,000 in 10 s",
        ("close 1008 too many pings",),
        reaching.pings,
    ),
    Limit(
        "messages published with one key",
        "publish.rate",
        ("429 rate-limited",),
        reaching.publish_rate,
        f'[publish]\nkeys = ["{reaching.KEY}"]\nrate = 0.01\nburst = 3',
    ),
    Limit(
        "questions that wait for the app",
        "app.queue",
        ("503 overloaded",),
        reaching.questions,
        "[app]\nqueue = 2\ndeadline_seconds = 20",
    ),
    Limit(
        "those of one channel among them",
        "three quarters of app.queue",
        ("503 overloaded",),
        reaching.questions_of_one_channel,
        "[app]\nqueue = 8\ndeadline_seconds = 20",
    ),
    Limit(
        "time for an app's answer",
        "app.deadline_seconds",
        ("503 auth-unavailable",),
        reaching.app_time,
        "[app]\ndeadline_seconds = 0.3",
    ),
    Limit(
        "messages that wait to be stored",
        "limits.pending_appends",
        ("error overloaded",),
        reaching.appends,
        "[limits]\npending_appends = 1",
    ),
    Limit(
        "the same in bytes",
        "limits.pending_append_bytes",
        ("error overloaded",),
        reaching.append_bytes,
        "[limits]\npending_append_bytes = 65536",
    ),
    Limit(
        "time for the frame with the credentials",
        "5 s",
        ("close 4401 auth-frame-missing",),
        reaching.auth_frame,
    ),
    Limit(
        "messages of a topic that are kept",
        "lifecycle.replay_max_messages",
        ("410 replay-too-old", "close 4410 replay-too-old"),
        reaching.replay,
        "[lifecycle]\nreplay_max_messages = 3",
    ),
    Limit(
        "bytes of a topic that are kept",
        "lifecycle.replay_max_bytes",
        ("410 replay-too-old", "close 4410 replay-too-old"),
        reaching.replay,
        "[lifecycle]\nreplay_max_bytes = 1024\n[limits]\nmax_message_bytes = 1000",
    ),
    Limit(
        "how long a topic's messages are kept",
        "lifecycle.replay_window_seconds",
        ("410 replay-too-old", "close 4410 replay-too-old"),
        reaching.replay,
        "[lifecycle]\nreplay_window_seconds = 0.2\n[replay]\nsweep_interval_seconds = 0.1",
    ),
    Limit(
        "what waits for a reader who does not read",
        "limits.outbox_bytes",
        ("goes on from the log when it reads",),
        reaching.send_queue,
        "[limits]\noutbox_bytes = 65536",
    ),
    Limit(
        "how long a client may take nothing of what waits for it",
        "limits.unread_seconds",
        ("its connection is cut", "its HTTP/2 stream is reset"),
        reaching_unfinished.unread,
        "[limits]\nunread_seconds = 2",
        tls=True,
    ),
    Limit(
        "bytes that wait for all clients; those with the most go first",
        "limits.max_unread_bytes",
        ("its connection is cut", "its HTTP/2 stream is reset"),
        reaching_unfinished.unread,
        "[limits]\nmax_unread_bytes = 1048576",
        tls=True,
    ),
    Limit(
        "how long a connection lasts",
        "lifecycle.max_connection_lifetime_seconds",
        ("close 1000 connection expired",),
        reaching.lifetime,
        "[lifecycle]\nmax_connection_lifetime_seconds = 1",
    ),
    Limit(
        "a head that ends a connection of HTTP/2 or 3",
        "8 times limits.max_header_bytes",
        ("GOAWAY ENHANCE_YOUR_CALM",),
        reaching.http2_head,
        "[limits]\nmax_header_bytes = 2000",
        tls=True,
    ),
    Limit(
        "requests at once on one HTTP/2 connection",
        "100",
        ("GOAWAY PROTOCOL_ERROR",),
        reaching.http2_streams,
        tls=True,
    ),
    Limit(
        "frames of HTTP/2 for nothing (pings, settings, resets, priorities, empty data, windows"
        " that were open)",
        "1,000, and 100 more a second",
        ("GOAWAY ENHANCE_YOUR_CALM",),
        reaching.http2_pings,
        tls=True,
    ),
    Limit(
        "time for HTTP/2's preface, settings, and each head",
        "10 s",
        ("GOAWAY PROTOCOL_ERROR",),
        reaching.http2_preface,
        tls=True,
    ),
    Limit(
        "HTTP/3 connections in all, whatever is asked on them",
        "limits.max_connections",
        ("CONNECTION_REFUSED",),
        reaching_http3.http3_connections,
        f"{reaching_http3.HTTP3}[limits]\nmax_connections = 3",
        tls=True,
    ),
    Limit(
        "HTTP/3 connections of one address",
        "limits.max_connections_per_address",
        ("CONNECTION_REFUSED",),
        reaching_http3.http3_connections,
        f"{reaching_http3.HTTP3}[limits]\nmax_connections_per_address = 3",
        tls=True,
    ),
    Limit(
        "what one request may append to a stream",
        "streams.max_append_bytes",
        ("413 message-too-large",),
        reaching_streams.append,
        f"{KEYS_TOML}max_append_bytes = 1024",
    ),
    Limit(
        "what a stream may hold",
        "streams.max_stream_bytes",
        ("413 message-too-large",),
        reaching_streams.stream,
        f"{KEYS_TOML}max_stream_bytes = 4096\nmax_append_bytes = 1024",
    ),
    Limit(
        "producers of a stream",
        "streams.max_producers",
        ("503 overloaded",),
        reaching_streams.producers,
        f"{KEYS_TOML}max_producers = 1",
    ),
    Limit(
        "life of a stream",
        "streams.lifetime_hours",
        ("404 not-found",),
        reaching_streams.lifetime,
        f"{KEYS_TOML}lifetime_hours = 0.001",
    ),
    Limit(
        "wait of a long-poll for a stream",
        "streams.long_poll_seconds",
        ("204",),
        reaching_streams.long_poll,
        f"{KEYS_TOML}long_poll_seconds = 1",
    ),
    Limit(
        "an event stream of a stream",
        "streams.sse_seconds",
        ("ended",),
        reaching_streams.events,
        f"{KEYS_TOML}sse_seconds = 1",
    ),
    Limit(
        "what a streamed message may have",
        "streams.message_bytes",
        ("413 message-too-large",),
        reaching_messages.size,
        f"{MESSAGES_TOML}message_bytes = 1024",
    ),
    Limit(
        "streamed messages that are open in one topic",
        "streams.message_open",
        ("503 overloaded",),
        reaching_messages.open_ones,
        f"{MESSAGES_TOML}message_open = 1",
    ),
    Limit(
        "silence of a streamed message's writer",
        "streams.message_lease_seconds",
        ("ended as writer-gone",),
        reaching_messages.lease,
        f"{MESSAGES_TOML}message_lease_seconds = 1",
    ),
    Limit(
        "time for which a streamed message is open",
        "streams.message_seconds",
        ("ended as too-long",),
        reaching_messages.open_time,
        f"{MESSAGES_TOML}message_seconds = 1",
    ),
    Limit(
        "a streamed message's stream after its end",
        "streams.message_kept_seconds",
        ("404 not-found",),
        reaching_messages.kept,
        f"{MESSAGES_TOML}message_kept_seconds = 1",
    ),
    *LIVE_LIMITS,
    *PUSHER_LIMITS,
)
