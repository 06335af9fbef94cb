"""Metrics of the server: plain numbers that the hot path adds to.

Who shows them (`admin.metrics`) reads them when asked.  A metrics library in the hot
path costs more than the delivery.
"""

from __future__ import annotations

from collections import Counter

import attrs


@attrs.define(slots=True)
class Histogram:
    """Observations in buckets, by upper edge."""

    edges: tuple[float, ...]
    counts: list[int] = attrs.field(init=False)
    total: float = 0.0
    observations: int = 0

    def __attrs_post_init__(self) -> None:
        self.counts = [0] * len(self.edges)

    def observe(self, value: float) -> None:
        """Count `value` in the first bucket that holds it; past the last edge in none."""
        self.total += value
        self.observations += 1
        for index, edge in enumerate(self.edges):
            if value <= edge:
                self.counts[index] += 1
                return


def _seconds() -> Histogram:
    return Histogram((0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0))


@attrs.define(slots=True)
class Metrics:
    """Counters since the start.  Names are those of the metrics page.

    :ivar connections: now open, by transport (``sse``, ``websocket``, ``mux``,
        ``webtransport``).
    :ivar refusals: by code.
    :ivar cuts: input that was not waited for any longer, by reason (``too-slow``, ``overloaded``).
    :ivar subscriptions: now attached.
    :ivar publishes: messages stored.
    :ivar deliveries: messages handed to connections.
    :ivar replay_reads: pages read from the log; `tail_reads`: served without it.
    :ivar catch_ups: times that a reader was too slow for the live tail.
    """

    connections: Counter[str] = attrs.field(factory=Counter)
    connected: Counter[str] = attrs.field(factory=Counter)
    refusals: Counter[str] = attrs.field(factory=Counter)
    cuts: Counter[str] = attrs.field(factory=Counter)
    subscriptions: int = 0
    publishes: int = 0
    deliveries: int = 0
    replay_reads: int = 0
    tail_reads: int = 0
    catch_ups: int = 0
    store_failures: int = 0
    commit_messages: Histogram = attrs.field(
        factory=lambda: Histogram((1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024))
    )
    commit_seconds: Histogram = attrs.field(factory=_seconds)
    authorize_seconds: Histogram = attrs.field(factory=_seconds)
    loop_lag_seconds: Histogram = attrs.field(factory=_seconds)
