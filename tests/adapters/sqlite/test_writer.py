"""The file stays bounded, whatever goes through it."""

from __future__ import annotations

import os

from takotwist.core.channel import Lifecycle
from takotwist.core.log import Append
from takotwist.core.topic import Draft
from tests.adapters.sqlite.inline_log import InlineLogCase
from tests.contracts.replay_log import DAY, KITCHEN, LOBBY, NOW


class BoundedFile(InlineLogCase):
    """A log, and the size of its file."""

    def publish(self, topic, count: int, size: int, lifecycle: Lifecycle, at: int) -> None:
        drafts = tuple(Draft("msg", b"x" * size) for _ in range(count))
        self.successResultOf(self.log.append([Append(topic, drafts, lifecycle)], at))

    def on_disk(self) -> int:
        return sum(os.path.getsize(self.path + suffix) for suffix in ("", "-wal"))

    def test_bounded_between_sweeps(self) -> None:
        """Sixty megabytes through a topic of one megabyte leave a small file, without a sweep."""
        lifecycle = Lifecycle(replay_max_bytes=2**20)
        for number in range(120):
            self.publish(LOBBY, 50, 10_000, lifecycle, NOW + number)
        stats = self.successResultOf(self.log.stats())
        self.assertLessEqual(stats.bytes, 2**20)
        self.assertLess(self.on_disk(), 24 * 2**20)

    def test_shrinks(self) -> None:
        """When much has expired, the file gives its space back, a little at a time."""
        for number in range(40):
            self.publish(LOBBY, 50, 10_000, Lifecycle(replay_max_bytes=2**30), NOW + number)
        self.publish(KITCHEN, 1, 10, Lifecycle(replay_window_ms=366 * DAY // 1000), NOW + 50)
        steps = 1
        while self.successResultOf(self.log.sweep(NOW + DAY // 2, ())):
            steps += 1
        self.assertGreater(steps, 10)
        self.successResultOf(self.log.stop())
        self.assertLess(os.path.getsize(self.path), 6 * 2**20)
