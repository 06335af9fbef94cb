"""What a stream's messages add up to, and for how long it lives."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.durable_stream import Spec, offset_of
from takotwist.core.stream_change import Create, NoteRead, Result
from tests.core.test_stream_change import BOUNDS, JSON, NOW, SECOND, TEXT, Stream


class StateTests(SynchronousTestCase):
    """State."""

    def test_offsets_sort(self) -> None:
        """As text as they do as numbers."""
        numbers = [1, 9, 10, 99, NOW, 2**53 - 1]
        self.assertEqual(sorted(map(offset_of, numbers)), list(map(offset_of, numbers)))

    def test_lives(self) -> None:
        """As long as its time to live since the last use, its expiry, and its lifetime allow."""
        idle = Stream(Spec("text/plain", NOW, ttl_s=10))
        idle.now += 9 * SECOND
        self.assertEqual(idle.write(), Result.APPENDED)
        idle.now += 9 * SECOND
        self.assertEqual(idle.change(NoteRead()).result, Result.NOTED)
        idle.now += 9 * SECOND
        self.assertTrue(idle.state.lives(idle.now, BOUNDS))
        idle.now += 2 * SECOND
        self.assertEqual(idle.write(), Result.NOT_THERE)
        self.assertEqual(idle.change(Create(JSON)).result, Result.CREATED)
        self.assertEqual(idle.state.spec, JSON)

        dated = Stream(Spec("text/plain", NOW, expires_us=NOW + 5 * SECOND))
        dated.now = NOW + 4 * SECOND
        self.assertEqual(dated.write(), Result.APPENDED)
        self.assertFalse(dated.state.lives(NOW + 5 * SECOND, BOUNDS))

        self.assertFalse(Stream().state.lives(NOW + 3600 * SECOND, BOUNDS))

    def test_kept_by_the_log(self) -> None:
        """The log's bounds are above the stream's own, for all its life."""
        for spec, idle in (
            (TEXT, 3600_000),
            (Spec("a/b", NOW, ttl_s=7), 7_000),
            (Spec("a/b", NOW, expires_us=NOW + 9 * SECOND), 9_000),
        ):
            lifecycle = BOUNDS.lifecycle(spec)
            self.assertGreater(lifecycle.replay_max_bytes, BOUNDS.max_bytes)
            self.assertGreater(lifecycle.replay_window_ms, 3600_000)
            self.assertGreater(lifecycle.inactivity_ttl_ms, idle)
