"""Defaults of how long things live: seconds of the file and milliseconds of the core."""

from __future__ import annotations

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.channel import Lifecycle
from takotwist.server.config.lifecycle import LifecycleDefaults, over


class LifecycleDefaultsTests(SynchronousTestCase):
    """Seconds of the file and milliseconds of the core."""

    def test_same_defaults(self) -> None:
        """Nothing said is the core's own default."""
        self.assertEqual(LifecycleDefaults().lifecycle(), Lifecycle())

    def test_over(self) -> None:
        """What is said is changed, seconds as milliseconds, and all else is left alone."""
        before = Lifecycle()
        after = over(before, {"replay_window_seconds": 1.5, "replay_max_messages": 7, "other": 1})
        self.assertEqual(after, attrs.evolve(before, replay_window_ms=1500, replay_max_messages=7))
        self.assertIs(over(before, {}), before)

    @given(
        st.fixed_dictionaries(
            {},
            optional={
                "replay_window_seconds": st.integers(1, 86_400),
                "replay_max_messages": st.integers(1, 1000),
                "keepalive_interval_seconds": st.integers(1, 600),
            },
        )
    )
    def test_in_parts(self, said: dict[str, int]) -> None:
        """To say it in parts, in any order, is to say it at once."""
        at_once, in_parts = over(Lifecycle(), dict(said)), Lifecycle()
        for name, value in reversed(said.items()):
            in_parts = over(in_parts, {name: value})
        self.assertEqual(in_parts, at_once)
