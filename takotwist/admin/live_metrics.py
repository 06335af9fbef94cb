"""Live objects on the metrics page.

Rule: names of functions are those that are defined; keys of broadcasts and ids
of objects are on no page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from takotwist.live.sessions import LiveSessions

#: Kinds of live objects, as they are shown.
KINDS = ("channel", "broadcast", "durable broadcast")


class LiveCollector(Collector):
    """Shows what `LiveTally` counted, and what there is at the moment of asking.

    :ivar sessions: whose.
    """

    def __init__(self, sessions: LiveSessions) -> None:
        self.sessions = sessions

    def collect(self) -> Iterator[Metric]:
        """See `Collector`."""
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
        tally = self.sessions.tally
        calls = CounterMetricFamily(
            "tako_function_calls",
            "Calls of functions: ok, aborted, refused, failed or left.",
            labels=["function", "outcome"],
        )
        for (function, outcome), count in sorted(tally.calls.items()):
            calls.add_metric([function, outcome], count)
        yield calls
        frames = CounterMetricFamily(
            "tako_live_frames", "Frames of live objects, from pages and to them.", labels=["way"]
        )
        frames.add_metric(["in"], tally.frames_in)
        frames.add_metric(["out"], tally.frames_out)
        yield frames
        for name, text, value in (
            (
                "tako_live_overflows",
                "Messages dropped, and objects that ended, because too much waited.",
                tally.overflows,
            ),
            ("tako_live_reconnects", "Pages that came back after a cut.", tally.reconnects),
            (
                "tako_broadcasts",
                "Publications on broadcast keys.",
                self.sessions.home.bus.published,
            ),
        ):
            yield CounterMetricFamily(name, text, value)
