"""Every limit of functions and live objects; see `limits`."""

from __future__ import annotations

from tests.faults import reaching_live as reaching
from tests.faults.limit import Limit

_BROKEN = ("close 4400 body-invalid",)

#: In the order of a page's life.
LIVE_LIMITS: tuple[Limit, ...] = (
    Limit(
        "calls of functions from one address",
        "live.call_rate",
        ("429 rate-limited",),
        reaching.call_rate,
        "[live]\ncall_rate = 0.01\ncall_burst = 3",
    ),
    Limit(
        "calls of functions of one subject",
        "live.call_rate",
        ("429 rate-limited",),
        reaching.subject_rate,
        '[live]\ncall_rate = 0.01\ncall_burst = 3\n[http]\ntrusted_proxies = ["127.0.0.1"]',
    ),
    Limit(
        "the body of a function's call",
        "live.max_call_bytes",
        ("413 message-too-large",),
        reaching.call_body,
        "[live]\nmax_call_bytes = 1024",
    ),
    Limit(
        "calls that wait for one of 16 threads, or of 1,000 coroutines",
        "app.queue",
        ("503 overloaded",),
        reaching.calls,
        "[app]\nqueue = 2",
    ),
    Limit(
        "time for a function",
        "live.call_timeout_seconds",
        ("500 internal-error",),
        reaching.call_time,
        "[live]\ncall_timeout_seconds = 0.3",
    ),
    Limit(
        "pages with live objects",
        "live.max_sessions",
        ("503 overloaded", "live.refused overloaded"),
        reaching.pages,
        "[live]\nmax_sessions = 2",
    ),
    Limit(
        "live objects of one page",
        "1,000",
        ("429 rate-limited",),
        reaching.objects,
    ),
    Limit(
        "objects in one `live.attach` or `live.open`",
        "1,000",
        _BROKEN,
        reaching.listed,
    ),
    Limit(
        "a page's secret",
        "128 characters",
        ("400 body-invalid",),
        reaching.secret,
    ),
    Limit(
        "the body of a page's leave",
        "1 KiB",
        ("413 message-too-large",),
        reaching.leave,
    ),
    Limit(
        "how long a live object waits for its page",
        "live.connect_ttl_seconds",
        ("ended network",),
        reaching.never_attached,
        "[live]\nconnect_ttl_seconds = 0.3",
    ),
    Limit(
        "how long it waits for a page that was cut off",
        "live.reconnect_timeout_seconds",
        ("ended network",),
        reaching.cut_off,
        "[live]\nreconnect_timeout_seconds = 0.3",
    ),
    Limit(
        "silence of a page, 2 pings long",
        "live.ping_interval_seconds",
        ("its connection is cut, without a word",),
        reaching.silence,
        "[live]\nping_interval_seconds = 1",
    ),
    Limit(
        "data of a live object's message",
        "live.max_message_bytes",
        _BROKEN,
        reaching.message,
        "[live]\nmax_message_bytes = 1024",
    ),
    Limit(
        "a client's frame on a connection with many topics or live objects",
        "live.max_message_bytes + 4 KiB, or 4 times limits.max_message_bytes",
        ("close 1009",),
        reaching.frame,
        "[limits]\nmax_message_bytes = 1024\n[live]\nmax_message_bytes = 1024",
    ),
    Limit(
        "a POST of frames, where there is no WebSocket",
        "2 times live.max_message_bytes",
        ("413 message-too-large",),
        reaching.batch,
        "[live]\nmax_message_bytes = 1024",
    ),
    Limit(
        "bytes that a page sends ahead of what its listeners took",
        "live.window_bytes",
        _BROKEN,
        reaching.window_bytes,
        "[live]\nwindow_bytes = 1000",
    ),
    Limit(
        "messages that a page sends ahead",
        "live.window_messages",
        _BROKEN,
        reaching.window_messages,
        "[live]\nwindow_messages = 3",
    ),
    Limit(
        "requests that need no credit, while their answers wait",
        "2 times live.window_messages",
        _BROKEN,
        reaching.requests,
        "[live]\nwindow_messages = 3\nreplay_bytes = 200",
    ),
    Limit(
        "text that waits for one live object's page",
        "live.buffer_limit",
        ("end overflow",),
        reaching.waiting_text,
        "[live]\nbuffer_limit = 2000",
    ),
    Limit(
        "binary data that waits for it",
        "live.buffer_limit_binary",
        ("end overflow",),
        reaching.waiting_binary,
        "[live]\nbuffer_limit_binary = 2000",
    ),
    Limit(
        'the same of one that was made with `overflow="drop-oldest"`',
        "live.buffer_limit",
        ("only the newest come; the app is told of each that does not",),
        reaching.waiting_of_channel,
        "[live]\nbuffer_limit = 2000",
    ),
    Limit(
        "what is kept for all pages; the object with most of it ends",
        "live.buffer_total_bytes",
        ("end overflow",),
        reaching.waiting_in_all,
        "[live]\nbuffer_total_bytes = 1048576",
    ),
    Limit(
        "text that was sent, and may be sent again after a cut",
        "live.replay_bytes",
        ("end network",),
        reaching.replay_text,
        "[live]\nreplay_bytes = 1000",
    ),
    Limit(
        "binary data that may be sent again",
        "live.replay_bytes_binary",
        ("end network",),
        reaching.replay_binary,
        "[live]\nreplay_bytes_binary = 1000",
    ),
)
