"""What is measured.  Each scenario is a few cases, and a plot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from benchmarks.case import Case
from benchmarks.generator import fan_out
from benchmarks.measures import connects, grows, holds, resumes

_ALL = {
    "sse": ("takotwist", "nchan", "node", "limit"),
    "websocket": ("takotwist", "nchan", "node", "node-shared", "autobahn", "limit"),
    "mux": ("takotwist",),
}
_TLS = ("takotwist", "nchan", "node")
_CPU, _RATE = "CPU µs a delivery", "deliveries/s"


def _fanout() -> Sequence[Case]:
    """1,000 subscribers, one message in flight: the cost of a delivery."""
    return [
        Case(
            f"{kind}, 1,000 subscribers, one in flight",
            peers,
            partial(fan_out, kind=kind, subscribers=1000, publishers=1, seconds=1),
            "cpu_us",
            _CPU,
            lower=True,
        )
        for kind, peers in _ALL.items()
    ]


def _burst() -> Sequence[Case]:
    """The same with 16 in flight."""
    return [
        Case(
            f"{kind}, 1,000 subscribers, 16 in flight",
            peers,
            partial(fan_out, kind=kind, subscribers=1000, publishers=16, seconds=1),
            "rate",
            _RATE,
        )
        for kind, peers in _ALL.items()
    ]


def _sizes() -> Sequence[Case]:
    """Few subscribers, where publishing counts, and many."""
    return [
        Case(
            f"{kind}, {subscribers:,} subscribers, one in flight",
            ("takotwist", "nchan", "node"),
            partial(fan_out, kind=kind, subscribers=subscribers, publishers=1, seconds=1),
            "rate",
            _RATE,
        )
        for subscribers in (100, 5000)
        for kind in ("sse", "websocket")
    ]


def _tls() -> Sequence[Case]:
    """Over TLS."""
    return [
        Case(
            f"TLS, {kind}, 1,000 subscribers, {publishers} in flight",
            _TLS,
            partial(fan_out, kind=kind, subscribers=1000, publishers=publishers, seconds=1),
            "rate",
            _RATE,
            tls=True,
        )
        for publishers in (1, 16)
        for kind in ("sse", "websocket")
    ]


def _latency() -> Sequence[Case]:
    """50 publishes a second to 1,000 subscribers: publish to delivery."""
    return [
        Case(
            f"{kind}, 50 publishes/s to 1,000 subscribers, p99",
            ("takotwist", "nchan", "node"),
            partial(
                fan_out,
                kind=kind,
                subscribers=1000,
                publishers=16,
                seconds=3,
                rate=50,
                wait_all=0,
            ),
            "p99",
            "ms",
            lower=True,
            scale=1000,
        )
        for kind in ("sse", "websocket")
    ]


def _topics() -> Sequence[Case]:
    """5,000 topics of two subscribers."""
    return [
        Case(
            f"{kind}, 5,000 topics of 2, 16 publishers",
            ("takotwist", "nchan", "node"),
            partial(
                fan_out, kind=kind, subscribers=10_000, topics=5000, publishers=16, seconds=1.5
            ),
            "rate",
            _RATE,
        )
        for kind in ("sse", "websocket")
    ]


def _publish() -> Sequence[Case]:
    """Messages stored and delivered to one subscriber."""
    singles = [
        Case(
            f"single POSTs, {publishers} publishers",
            ("takotwist", "takotwist power", "nchan", "node"),
            partial(
                fan_out,
                kind="sse",
                subscribers=1,
                publishers=publishers,
                seconds=1,
                wait_all=0,
            ),
            "published_rate",
            "publishes/s",
        )
        for publishers in (1, 16, 64)
    ]
    several = [
        Case(
            f"{way}, {publishers} publishers",
            ("takotwist", "takotwist power"),
            partial(
                fan_out,
                kind="sse",
                subscribers=1,
                publishers=publishers,
                publish=way,
                seconds=1,
                wait_all=0,
            ),
            "published_rate",
            "messages/s",
        )
        for way, publishers in (("batch", 2), ("ndjson", 2), ("websocket", 16))
    ]
    return [*singles, *several]


def _connect() -> Sequence[Case]:
    """Handshakes, authorized and subscribed."""
    return [
        Case(
            f"{kind}: connect, answer, close",
            ("takotwist", "nchan", "node", *(("autobahn",) if kind == "websocket" else ())),
            partial(connects, kind=kind),
            "rate",
            "handshakes/s",
        )
        for kind in ("sse", "websocket")
    ]


def _resume() -> Sequence[Case]:
    """A restart, and 10,000 clients that come back for 20 messages each."""
    return [
        Case(
            "10,000 clients, each 20 messages behind, after a restart",
            ("takotwist",),
            partial(resumes, clients=10_000, behind=20),
            "seconds",
            "seconds until all have all",
            lower=True,
        )
    ]


def _idle() -> Sequence[Case]:
    """Connections that do nothing."""
    return [
        Case(
            f"{'TLS, ' if tls else ''}{kind}, {count:,} idle connections, {metric}",
            ("takotwist", "nchan", "node") if metric == "bytes" else ("takotwist",),
            partial(holds, kind=kind, connections=count, seconds=seconds),
            metric,
            "bytes each" if metric == "bytes" else "% of a core",
            lower=True,
            tls=tls,
            scale=1 if metric == "bytes" else 100,
            fresh=True,
        )
        for kind, tls, count, metric, seconds in (
            ("sse", False, 10_000, "bytes", 1),
            ("websocket", False, 10_000, "bytes", 1),
            ("sse", True, 5_000, "bytes", 1),
            ("websocket", True, 5_000, "bytes", 1),
            ("sse", False, 19_500, "core", 50),
        )
    ]


def _slow() -> Sequence[Case]:
    """A tenth of the subscribers does not read; in the end they have everything too."""
    return [
        Case(
            f"{kind}, 1,000 subscribers of which 100 do not read, 16 in flight",
            ("takotwist",),
            partial(fan_out, kind=kind, subscribers=1000, publishers=16, slow=100, seconds=1),
            "rate",
            _RATE,
        )
        for kind in ("sse", "websocket")
    ]


def _mixed() -> Sequence[Case]:
    """Everything at once for ten minutes; the memory of the second half over the first's."""
    return [
        Case(
            "mixed load for 10 minutes",
            ("takotwist",),
            partial(grows, minutes=10),
            "growth",
            "memory, second half / first",
            lower=True,
        )
    ]


def _reactors() -> Sequence[Case]:
    """The same server on both reactors."""
    both = ("takotwist", "takotwist asyncio")
    cases = [
        Case(
            f"websocket, 1,000 subscribers, {publishers} in flight",
            both,
            partial(fan_out, kind="websocket", subscribers=1000, publishers=publishers, seconds=1),
            "rate",
            _RATE,
        )
        for publishers in (1, 16)
    ]
    publishing = Case(
        "single POSTs, 16 publishers",
        both,
        partial(fan_out, kind="sse", subscribers=1, publishers=16, seconds=1, wait_all=0),
        "published_rate",
        "publishes/s",
    )
    connecting = Case(
        "websocket: connect, answer, close",
        both,
        partial(connects, kind="websocket"),
        "rate",
        "handshakes/s",
    )
    return [*cases, publishing, connecting]


SCENARIOS: Mapping[str, Callable[[], Sequence[Case]]] = {
    "fanout": _fanout,
    "burst": _burst,
    "sizes": _sizes,
    "tls": _tls,
    "latency": _latency,
    "topics": _topics,
    "publish": _publish,
    "connect": _connect,
    "resume": _resume,
    "idle": _idle,
    "slow": _slow,
    "mixed": _mixed,
    "reactors": _reactors,
}

#: Repeating these says nothing more.
ONCE = frozenset({"mixed"})
