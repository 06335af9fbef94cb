"""The tally as a Prometheus page."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.test.requesthelper import DummyRequest

from takotwist.admin.metrics import Gauges, MetricsPage
from takotwist.core.log import LogStats
from takotwist.core.metrics import Tally
from takotwist.errors import StoreUnavailable


class TestMetrics(SynchronousTestCase):
    """What was counted is what is shown."""

    def samples(self, tally: Tally, stats: Deferred[LogStats]) -> dict[tuple[str, str], float]:
        """Name and first label -> value."""
        page = MetricsPage(tally, lambda: Gauges(3, 4, 5, True, 6), lambda: stats)
        request = DummyRequest([b""])
        page.render(request)
        families = text_string_to_metric_families(b"".join(request.written).decode())
        return {
            (sample.name, next(iter(sample.labels.values()), "")): sample.value
            for family in families
            for sample in family.samples
        }

    def test_counted(self) -> None:
        """Connections by transport, refusals by code, messages, gauges of the moment."""
        tally = Tally(publishes=7, deliveries=70, subscriptions=2)
        tally.connections["sse"] += 3
        tally.refusals["rate-limited"] += 1
        tally.commit_seconds.observe(0.002)
        tally.commit_seconds.observe(99.0)
        samples = self.samples(tally, succeed(LogStats(1, 2, 3)))
        for key, value in {
            ("tako_connections", "sse"): 3,
            ("tako_refusals_total", "rate-limited"): 1,
            ("tako_publishes_total", ""): 7,
            ("tako_deliveries_total", ""): 70,
            ("tako_subscriptions", ""): 2,
            ("tako_topics", ""): 3,
            ("tako_pending_appends", ""): 4,
            ("tako_tail_bytes", ""): 5,
            ("tako_timers", ""): 6,
            ("tako_store_available", ""): 1,
            ("tako_stored_messages", ""): 2,
            ("tako_commit_seconds_bucket", "0.001"): 0,
            ("tako_commit_seconds_bucket", "0.0025"): 1,
            ("tako_commit_seconds_bucket", "5.0"): 1,
            ("tako_commit_seconds_bucket", "+Inf"): 2,
            ("tako_commit_seconds_count", ""): 2,
        }.items():
            self.assertEqual(samples[key], value, key)

    def test_without_a_store(self) -> None:
        """A log that does not answer is shown as such; the page comes all the same."""
        samples = self.samples(Tally(), fail(StoreUnavailable()))
        self.assertEqual(samples["tako_store_available", ""], 0)
        self.assertNotIn(("tako_stored_messages", ""), samples)
