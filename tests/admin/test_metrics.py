"""The metrics as a Prometheus page.

Live objects on the metrics page of a whole server.
"""

from __future__ import annotations

from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.test.requesthelper import DummyRequest

from takotwist.admin.metrics import Gauges, MetricsPage
from takotwist.core.log import LogStats
from takotwist.core.metrics import Metrics
from takotwist.errors import StoreUnavailable
from takotwist.live import Abort, Broadcast, BroadcastChannel, Channel, Replay, function
from takotwist.testing.world import World
from tests.live.page import Page


class TestMetrics(SynchronousTestCase):
    """What was counted is what is shown."""

    def samples(self, metrics: Metrics, stats: Deferred[LogStats]) -> dict[tuple[str, str], float]:
        """Name and first label -> value."""
        page = MetricsPage(metrics, lambda: Gauges(3, 4, 5, True, 6), lambda: stats)
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
        metrics = Metrics(publishes=7, deliveries=70, subscriptions=2)
        metrics.connections["sse"] += 3
        metrics.refusals["rate-limited"] += 1
        metrics.commit_seconds.observe(0.002)
        metrics.commit_seconds.observe(99.0)
        samples = self.samples(metrics, succeed(LogStats(1, 2, 3)))
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
        samples = self.samples(Metrics(), fail(StoreUnavailable()))
        self.assertEqual(samples["tako_store_available", ""], 0)
        self.assertNotIn(("tako_stored_messages", ""), samples)


class LiveMetricsTests(SynchronousTestCase):
    """What a page did is what is shown."""

    def setUp(self) -> None:
        self.channels: list[Channel[Any, Any]] = []

        @function
        async def on_open(limit: int | None = None) -> Any:
            channel: Channel[Any, Any] = Channel(buffer_limit=limit, overflow="drop-oldest")
            self.channels.append(channel)
            return channel.client

        @function
        async def on_join() -> Any:
            return [
                BroadcastChannel(key="secret-key"),
                BroadcastChannel(key="other-key", replay=Replay()),
            ]

        @function
        async def on_abort() -> Any:
            raise Abort("no")

        self.world = World(functions=[on_open, on_join, on_abort])
        self.page = Page(self.world)

    def samples(self) -> dict[tuple[str, ...], float]:
        """Name and labels -> value."""
        peer = self.world.get("/_tako/metrics", private=True)
        self.text = peer.body.decode()
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(self.text)
            for sample in family.samples
        }

    def expect(self, **expected: float) -> None:
        """Values of metrics by their names without the prefix; labels follow two underscores."""
        samples = self.samples()
        for name, value in expected.items():
            metric, *labels = name.split("__")
            key = (f"tako_{metric}", *(label.replace("_", " ") for label in labels))
            self.assertEqual(samples.get(key), value, key)

    def test_objects_and_calls(self) -> None:
        """Objects by kind, pages, calls by function and outcome; no key and no id."""
        self.expect(live_objects__channel=0, live_sessions=0)
        self.page.connect()
        end = self.page.get("onOpen")
        self.page.call("onJoin")
        self.page.call("onAbort")
        self.page.call("onNothing")
        self.expect(
            live_objects__channel=1,
            live_objects__broadcast=1,
            live_objects__durable_broadcast=1,
            live_sessions=1,
            function_calls_total__onOpen__ok=1,
            function_calls_total__onJoin__ok=1,
            function_calls_total__onAbort__aborted=1,
        )
        for secret in ("onNothing", "secret-key", "other-key", end.id, self.page.secret):
            self.assertNotIn(secret, self.text)

    def test_frames_and_bytes(self) -> None:
        """Frames both ways, data that is held, what was dropped."""
        self.page.connect()
        end = self.page.get("onOpen", 1000)
        self.page.pump()
        before = self.samples()
        self.channels[0].send("x" * 500)
        end.send("y")
        self.page.pump()
        after = self.samples()
        for way in ("in", "out"):
            key = ("tako_live_frames_total", way)
            self.assertEqual(after[key] - before[key], 1)
        self.assertEqual(after["tako_live_held_bytes",], 902)
        self.page.cut()
        for _ in range(3):
            self.channels[0].send("x" * 500)
        self.expect(live_overflows_total=2)

    def test_reconnects(self) -> None:
        """A page that comes back after a cut is counted; one that comes, or upgrades, is not."""
        self.page.connect()
        self.page.get("onOpen")
        self.page.pump()
        self.page.connect()
        self.expect(live_reconnects_total=0)
        self.page.cut()
        self.page.connect()
        self.expect(live_reconnects_total=1)

    def test_broadcasts(self) -> None:
        """Publications on all keys, kept or not, once they are accepted."""
        Broadcast.publish("a", 1)
        Broadcast.publish_binary("b", b"2")
        Broadcast.publish("c", 3, replay=Replay())
        self.expect(broadcasts_total=3)
