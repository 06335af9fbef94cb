"""Scenarios.  Each is a few cases, a plot and a part of the page."""

from __future__ import annotations

import resource
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from shutil import which

import attrs

from benchmarks.case import Case
from benchmarks.generator import fan_out
from benchmarks.measures import connects, grows, holds, resumes
from benchmarks.nodes import crosses, follows, passes_by

_ALL = {
    "sse": ("takotwist", "nchan", "node", "limit"),
    "websocket": ("takotwist", "nchan", "node", "node-shared", "autobahn", "limit"),
    "mux": ("takotwist",),
}
_THREE = ("takotwist", "nchan", "node")
_CPU, _RATE = "CPU µs a delivery", "deliveries/s"

#: Seconds of one measurement of a fan-out: medians of many short ones say more
#: than means of few long ones while the machine does other things too.
_SHORT = 0.7


def _fan(
    name: str, peers: Sequence[str], cpu: bool = True, tls: bool = False, **of: object
) -> Case:
    """:param cpu: whether CPU counts, which is the server's own, or else the rate."""
    measure = partial(fan_out, **{"seconds": _SHORT, **of})  # type: ignore[arg-type]
    metric, unit = ("cpu_us", _CPU) if cpu else ("rate", _RATE)
    return Case(name, peers, measure, metric, unit, lower=cpu, tls=tls)


def _fanout() -> Sequence[Case]:
    """1,000 subscribers, one message in flight: the cost of a delivery."""
    return [
        _fan(
            f"{kind}, 1,000 subscribers, one in flight",
            peers,
            kind=kind,
            subscribers=1000,
            publishers=1,
        )
        for kind, peers in _ALL.items()
    ]


def _burst() -> Sequence[Case]:
    """The same with 16 in flight."""
    return [
        _fan(
            f"{kind}, 1,000 subscribers, 16 in flight",
            peers,
            cpu=False,
            kind=kind,
            subscribers=1000,
            publishers=16,
        )
        for kind, peers in _ALL.items()
    ]


def _sizes() -> Sequence[Case]:
    """Few subscribers, where publishing counts, and many."""
    return [
        _fan(
            f"{kind}, {subscribers:,} subscribers, one in flight",
            _THREE,
            kind=kind,
            subscribers=subscribers,
            publishers=1,
        )
        for subscribers in (100, 1000, 5000)
        for kind in ("sse", "websocket")
    ]


def _tls() -> Sequence[Case]:
    """Over TLS 1.3 with AES-128-GCM."""
    return [
        _fan(
            f"TLS, {kind}, 1,000 subscribers, {words} in flight",
            _THREE,
            tls=True,
            kind=kind,
            subscribers=1000,
            publishers=publishers,
        )
        for publishers, words in ((1, "one"), (16, "16"))
        for kind in ("sse", "websocket")
    ]


def _latency() -> Sequence[Case]:
    """50 publishes a second to 1,000 subscribers: publish to delivery."""
    return [
        Case(
            f"{kind}, 50 publishes/s to 1,000 subscribers, p99",
            _THREE,
            partial(
                fan_out,
                kind=kind,
                subscribers=1000,
                publishers=16,
                seconds=2,
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
    """5,000 topics of two subscribers, each published to four times, after twice to warm up."""
    return [
        _fan(
            f"{kind}, 5,000 topics of 2, 16 publishers",
            _THREE,
            cpu=False,
            kind=kind,
            subscribers=10_000,
            topics=5000,
            publishers=16,
            warm_units=10_000,
            units=20_000,
        )
        for kind in ("sse", "websocket")
    ]


def _publish() -> Sequence[Case]:
    """Messages stored and delivered to one subscriber."""
    # Single ones to 16 topics of one subscriber each: nchan loses messages of a channel
    # that gets more than some 32,000 in a second.
    ways = (
        *((f"single POSTs, {count}", "single", count, 16) for count in (1, 16, 64)),
        ("batches of 100, 2", "batch", 2, 1),
        ("ndjson, 2", "ndjson", 2, 1),
        ("websocket, 16", "websocket", 16, 1),
    )
    return [
        Case(
            f"{name} {'publisher' if publishers == 1 else 'publishers'}",
            ("takotwist", "takotwist power", *(("nchan", "node") if way == "single" else ())),
            partial(
                fan_out,
                kind="sse",
                subscribers=topics,
                topics=topics,
                publishers=publishers,
                publish=way,
                seconds=_SHORT,
                wait_all=0,
            ),
            "published_rate",
            "messages/s",
        )
        for name, way, publishers, topics in ways
    ]


def _connect() -> Sequence[Case]:
    """Handshakes, authorized and subscribed."""
    return [
        Case(
            f"{kind}: connect, answer, close",
            (*_THREE, *(("autobahn",) if kind == "websocket" else ())),
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
    """Connections that do nothing: memory of each, and CPU of 20,000."""
    memory = [
        Case(
            f"{'TLS, ' if tls else ''}{kind}, {count:,} idle connections",
            _THREE,
            partial(holds, kind=kind, connections=count, seconds=0.1),
            "bytes",
            "bytes each",
            lower=True,
            tls=tls,
            fresh=True,
        )
        for tls, count in ((False, 10_000), (True, 5_000))
        for kind in ("sse", "websocket")
    ]
    # Each connection is a file of one process, and there may be fewer.
    most = min(20_000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 500)
    nothing = Case(
        "CPU of one connection",
        ("takotwist",),
        partial(holds, kind="sse", connections=1, seconds=50, before=1),
        "core",
        "% of a core",
        lower=True,
        scale=100,
        fresh=True,
    )
    cpu = [
        Case(
            f"{kind}, CPU of 20,000 idle connections, taken of {most:,}",
            ("takotwist",),
            # Two intervals of the keepalive.
            partial(holds, kind=kind, connections=most, seconds=50),
            "core",
            "% of a core",
            lower=True,
            scale=100 * 20_000 / most,
            fresh=True,
        )
        for kind in ("sse", "websocket")
    ]
    return [*memory, nothing, *cpu]


def _slow() -> Sequence[Case]:
    """A tenth of the subscribers does not read; in the end they have everything too."""
    return [
        _fan(
            f"{kind}, 1,000 subscribers{note}, 16 in flight",
            ("takotwist",),
            cpu=False,
            kind=kind,
            subscribers=1000,
            publishers=16,
            slow=slow,
        )
        for kind in ("sse", "websocket")
        for slow, note in ((0, ""), (100, " of which 100 do not read"))
    ]


def _mixed() -> Sequence[Case]:
    """Everything in turn for ten minutes; the memory of the second half over the first's."""
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
    taken = (
        *_fanout()[1:2],
        *_burst()[1:2],
        _publish()[1],
        *_connect()[1:],
    )
    return [attrs.evolve(case, peers=both) for case in taken]


#: 64 publishers, each with a POST under way, and nobody to wait for.
_SINGLE_POSTS = partial(
    fan_out, kind="sse", subscribers=16, topics=16, publishers=64, seconds=_SHORT, wait_all=0
)


def _nodes() -> Sequence[Case]:
    """Several nodes: two workers beside one, and from one node to another."""
    workers = ("takotwist 2 workers", "takotwist 1 worker")
    busiest = "busiest_rate"
    # With the generator there are more processes than cores: the second of CPU of the
    # busiest one says what they would do with a core for each.
    of_cpu = "for a second of CPU of the busiest process"
    spread = [
        Case(
            "TLS handshakes",
            workers,
            partial(connects, kind="sse"),
            busiest,
            f"handshakes {of_cpu}",
            tls=True,
        ),
        *(
            Case(
                f"TLS, sse, 1,000 subscribers, {words} in flight",
                workers,
                partial(fan_out, kind="sse", subscribers=1000, publishers=count, seconds=_SHORT),
                busiest,
                f"deliveries {of_cpu}",
                tls=True,
            )
            for count, words in ((1, "one"), (16, "16"))
        ),
        Case(
            "single POSTs, 64 publishers, two workers",
            workers,
            _SINGLE_POSTS,
            "busiest_published",
            f"messages {of_cpu}",
        ),
        Case(
            "sse, 5,000 topics of 2, 16 publishers",
            workers,
            partial(
                fan_out,
                kind="sse",
                subscribers=10_000,
                topics=5000,
                publishers=16,
                warm_units=10_000,
                units=20_000,
            ),
            busiest,
            f"deliveries {of_cpu}",
        ),
        Case(
            "publishes of all, by the clock",
            workers,
            _SINGLE_POSTS,
            "published_rate",
            "messages/s",
        ),
    ]
    shared = ("takotwist postgresql", "takotwist 2 workers")
    # It has to be built, by Go, and is not asked for where it was not.
    engine = (*shared, *(("centrifugo postgresql",) if which("centrifugo") else ()))
    return [
        *spread,
        *(
            Case(
                f"from node to node, {name}",
                engine,
                crosses,
                name,
                "ms",
                lower=True,
                scale=1000,
            )
            for name in ("p50", "p99")
        ),
        Case(
            "single POSTs, 64, on PostgreSQL", engine, _SINGLE_POSTS, "published_rate", "messages/s"
        ),
        Case(
            "CPU of single POSTs, on PostgreSQL",
            engine,
            _SINGLE_POSTS,
            "cpu_us",
            "CPU µs a delivery, of all processes",
            lower=True,
        ),
        Case(
            "a message that nobody follows on a node",
            shared,
            passes_by,
            "cpu_us",
            "CPU µs of that node",
            lower=True,
        ),
        Case(
            "a followed topic",
            ("takotwist 2 workers",),
            follows,
            "bytes",
            "bytes of a node",
            lower=True,
        ),
    ]


@attrs.frozen
class Scenario:
    """Cases that belong together.

    :ivar cases: makes them.
    :ivar rounds: turns of each server where nothing else is asked for: fewer where
        one takes long and says much.
    """

    cases: Callable[[], Sequence[Case]]
    rounds: int = 10

    @property
    def title(self) -> str:
        """For people."""
        return (self.cases.__doc__ or "").splitlines()[0]


SCENARIOS: Mapping[str, Scenario] = {
    "fanout": Scenario(_fanout),
    "burst": Scenario(_burst),
    "sizes": Scenario(_sizes),
    "tls": Scenario(_tls),
    "latency": Scenario(_latency),
    "topics": Scenario(_topics),
    "publish": Scenario(_publish),
    "connect": Scenario(_connect),
    "resume": Scenario(_resume, rounds=5),
    "idle": Scenario(_idle, rounds=2),
    "slow": Scenario(_slow),
    "reactors": Scenario(_reactors, rounds=5),
    "mixed": Scenario(_mixed, rounds=1),
    "nodes": Scenario(_nodes, rounds=5),
}
