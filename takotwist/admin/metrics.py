"""Metrics as a Prometheus page, made when it is asked for: of the channels, and of live objects.

Rules: nothing of the metrics library is touched between two scrapes; names of functions are
those that are defined; keys of broadcasts and ids of objects are on no page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import attrs
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from twisted.internet.defer import Deferred
from twisted.web.resource import Resource

from takotwist.admin.nodes import NodeInfo, OtherNodes
from takotwist.admin.page import WaitingPage
from takotwist.admin.together import JoinedMetrics
from takotwist.core.log import LogStats
from takotwist.core.metrics import Histogram, Metrics
from takotwist.errors import StoreUnavailable
from takotwist.live.sessions import LiveSessions
from takotwist.streams.http.interface import BodyRequest

#: Path of the page, on the private listener.
METRICS_PATH = "/_tako/metrics"


@attrs.frozen(slots=True)
class Gauges:
    """Values measured at the moment of a scrape.

    :ivar topics: topics with subscribers.
    :ivar pending_appends: publishes that wait to be stored.
    :ivar tail_bytes: memory of the topics' tails.
    :ivar ready: true while new connections are served.
    :ivar timers: the reactor's delayed calls and our deadlines.
    """

    topics: int
    pending_appends: int
    tail_bytes: int
    ready: bool
    timers: int


def _histogram(name: str, text: str, histogram: Histogram) -> HistogramMetricFamily:
    buckets: list[tuple[str, float]] = []
    total = 0
    for edge, count in zip(histogram.edges, histogram.counts, strict=True):
        total += count
        buckets.append((str(float(edge)), total))
    buckets.append(("+Inf", histogram.observations))
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=histogram.total)


class MetricsCollector(Collector):
    """Collector of a `Metrics`, with gauges of the moment.

    :param stats: the size of the log as last read; `None` while it does not answer.
    """

    def __init__(
        self,
        metrics: Metrics,
        gauges: Callable[[], Gauges],
        stats: Callable[[], LogStats | None],
    ) -> None:
        self._metrics = metrics
        self._gauges = gauges
        self._stats = stats

    def collect(self) -> Iterator[Metric]:
        """Implement `Collector`."""
        yield from self._connections()
        yield from self._messages()
        yield from self._times()
        yield from self._moment()

    def _connections(self) -> Iterator[Metric]:
        now = GaugeMetricFamily("tako_connections", "Open connections.", labels=["transport"])
        ever = CounterMetricFamily(
            "tako_connected", "Connections accepted since the start.", labels=["transport"]
        )
        for transport in ("sse", "websocket", "mux", "mux-sse", "webtransport", "pusher"):
            now.add_metric([transport], self._metrics.connections[transport])
            ever.add_metric([transport], self._metrics.connected[transport])
        yield now
        yield ever
        refusals = CounterMetricFamily(
            "tako_refusals", "Refused requests, frames and connections.", labels=["code"]
        )
        for code, count in sorted(self._metrics.refusals.items()):
            refusals.add_metric([code], count)
        yield refusals
        cuts = CounterMetricFamily(
            "tako_input_cuts",
            "Bodies, frames and lines that were begun and not waited for.",
            labels=["reason"],
        )
        for reason, count in sorted(self._metrics.cuts.items()):
            cuts.add_metric([reason], count)
        yield cuts
        yield GaugeMetricFamily(
            "tako_subscriptions", "Topics that connections follow.", self._metrics.subscriptions
        )

    def _messages(self) -> Iterator[Metric]:
        metrics = self._metrics
        for name, text, value in (
            ("tako_publishes", "Messages stored.", metrics.publishes),
            ("tako_deliveries", "Messages handed to connections.", metrics.deliveries),
            ("tako_replay_reads", "Pages read from the replay log.", metrics.replay_reads),
            ("tako_tail_reads", "Pages served from memory.", metrics.tail_reads),
            ("tako_catch_ups", "Times a reader fell behind the live tail.", metrics.catch_ups),
            ("tako_store_failures", "Transactions that failed.", metrics.store_failures),
        ):
            yield CounterMetricFamily(name, text, value)

    def _times(self) -> Iterator[Metric]:
        metrics = self._metrics
        for name, text, histogram in (
            ("tako_commit_messages", "Messages in a transaction.", metrics.commit_messages),
            ("tako_commit_seconds", "Time of a transaction.", metrics.commit_seconds),
            ("tako_authorize_seconds", "Time of an app's answer.", metrics.authorize_seconds),
            ("tako_loop_lag_seconds", "How late the reactor came.", metrics.loop_lag_seconds),
        ):
            yield _histogram(name, text, histogram)

    def _moment(self) -> Iterator[Metric]:
        gauges = self._gauges()
        yield GaugeMetricFamily("tako_topics", "Topics with subscribers.", gauges.topics)
        yield GaugeMetricFamily(
            "tako_pending_appends", "Publishes that wait to be stored.", gauges.pending_appends
        )
        yield GaugeMetricFamily("tako_tail_bytes", "Memory of the tails.", gauges.tail_bytes)
        yield GaugeMetricFamily("tako_timers", "Timers that wait for their time.", gauges.timers)
        yield GaugeMetricFamily("tako_ready", "Whether connections are served.", gauges.ready)
        stats = self._stats()
        yield GaugeMetricFamily(
            "tako_store_available", "Whether the replay log answers.", stats is not None
        )
        if stats is not None:
            for name, text, value in (
                ("tako_stored_topics", "Topics in the replay log.", stats.topics),
                ("tako_stored_messages", "Messages in the replay log.", stats.messages),
                ("tako_stored_bytes", "Payload bytes in the replay log.", stats.bytes),
            ):
                yield GaugeMetricFamily(name, text, value)


class Delivering(Protocol):
    """One endpoint of webhooks."""

    @property
    def counts(self) -> Counter[str]: ...
    @property
    def waiting(self) -> int: ...
    @property
    def name(self) -> str: ...


class WebhooksCollector(Collector):
    """Collector of webhooks.

    :param couriers: one for each endpoint.
    """

    def __init__(self, couriers: Sequence[Delivering]) -> None:
        self._couriers = couriers

    def collect(self) -> Iterator[Metric]:
        """Implement `Collector`."""
        events = CounterMetricFamily(
            "tako_webhook_events",
            "Events for webhooks: stored, delivered, failed attempts, dropped.",
            labels=["endpoint", "outcome"],
        )
        waiting = GaugeMetricFamily(
            "tako_webhook_waiting",
            "Events in memory that an endpoint has not taken yet.",
            labels=["endpoint"],
        )
        for courier in self._couriers:
            for outcome in ("stored", "delivered", "failed", "dropped"):
                events.add_metric([courier.name, outcome], courier.counts[outcome])
            waiting.add_metric([courier.name], courier.waiting)
        yield events
        yield waiting


class MetricsPage(WaitingPage):
    """``GET /_tako/metrics``.

    Of several nodes each is shown, by the label `node`; with ``?nodes=sum`` they are shown as
    one, and with ``?nodes=own`` only this one.

    :param stats: reads the size of the log; may fail.
    :param collectors: further ones.
    :param own: what this node says of itself.
    :param others: the other nodes; `None` where there is one process.
    """

    content_type = CONTENT_TYPE_LATEST.encode()

    def __init__(
        self,
        metrics: Metrics,
        gauges: Callable[[], Gauges],
        stats: Callable[[], Deferred[LogStats]],
        *collectors: Collector,
        own: Callable[[], NodeInfo] | None = None,
        others: OtherNodes | None = None,
    ) -> None:
        Resource.__init__(self)
        self._own, self._others = own, others
        self._read_stats = stats
        self._stats: LogStats | None = None
        self._registry = CollectorRegistry()
        for collector in (MetricsCollector(metrics, gauges, lambda: self._stats), *collectors):
            self._registry.register(collector)
        ProcessCollector(registry=self._registry)

    async def content(self, request: BodyRequest) -> bytes:
        """See `WaitingPage`."""
        [wanted, *_] = request.args.get(b"nodes", [b"each"])
        text = await self.own_content()
        if self._others is None or self._own is None or wanted == b"own":
            return text
        texts = [(self._own().label, text.decode())]
        answers = {self._own().label: True}
        for one in await self._others.ask("metrics"):
            # A label may be there twice, as of a worker and its successor; a sample may not.
            answers[one.info.label] = answers.get(one.info.label, False) or one.body is not None
            if one.body is not None:
                texts.append((one.info.label, one.body.decode()))
        up = GaugeMetricFamily("tako_node_up", "Whether the node answers.", labels=["node"])
        for label, answered in answers.items():
            up.add_metric([label], answered)
        registry = CollectorRegistry()
        registry.register(_Given([*JoinedMetrics(texts, each=wanted != b"sum").collect(), up]))
        return generate_latest(registry)

    async def own_content(self) -> bytes:
        """The metrics of this node."""
        try:
            self._stats = await self._read_stats()
        except StoreUnavailable:
            self._stats = None
        return generate_latest(self._registry)


class _Given(Collector):
    """Metrics that are there already."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Sequence[Metric]:
        """Implement `Collector`."""
        return self._metrics


# live objects

#: Kinds of live objects, as they are shown.
KINDS = ("channel", "broadcast", "durable broadcast")


class LiveCollector(Collector):
    """Collector of `LiveMetrics`, with gauges of the live objects of `sessions`."""

    def __init__(self, sessions: LiveSessions) -> None:
        self.sessions = sessions

    def collect(self) -> Iterator[Metric]:
        """Implement `Collector`."""
        yield from self._moment()
        yield from self._counted()

    def _moment(self) -> Iterator[Metric]:
        sessions = self.sessions
        kinds = Counter(f"durable {one.kind}" if one.durable else one.kind for one in sessions)
        objects = GaugeMetricFamily("tako_live_objects", "Live objects of pages.", labels=["kind"])
        for kind in KINDS:
            objects.add_metric([kind], kinds[kind])
        yield objects
        yield GaugeMetricFamily(
            "tako_live_sessions", "Pages that have live objects, or a wire for them.", len(sessions)
        )
        yield GaugeMetricFamily(
            "tako_live_held_bytes",
            "Data that waits for pages, or that they may need again.",
            sessions.held,
        )

    def _counted(self) -> Iterator[Metric]:
        metrics = self.sessions.tally
        calls = CounterMetricFamily(
            "tako_function_calls",
            "Calls of functions: ok, aborted, refused, failed or left.",
            labels=["function", "outcome"],
        )
        for (function, outcome), count in sorted(metrics.calls.items()):
            calls.add_metric([function, outcome], count)
        yield calls
        frames = CounterMetricFamily(
            "tako_live_frames", "Frames of live objects, from pages and to them.", labels=["way"]
        )
        frames.add_metric(["in"], metrics.frames_in)
        frames.add_metric(["out"], metrics.frames_out)
        yield frames
        for name, text, value in (
            (
                "tako_live_overflows",
                "Messages dropped, and objects that ended, because too much waited.",
                metrics.overflows,
            ),
            ("tako_live_reconnects", "Pages that came back after a cut.", metrics.reconnects),
            (
                "tako_broadcasts",
                "Publications on broadcast keys.",
                self.sessions.services.broadcasts.bus.published,
            ),
        ):
            yield CounterMetricFamily(name, text, value)
