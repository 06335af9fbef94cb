"""Defaults of the options fit one another."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist.client.machine.policy import Policy


class PolicyTests(SynchronousTestCase):
    """`Policy`."""

    def test_defaults(self) -> None:
        """A retry comes before the cap, a publish fits the queue, and no time is none."""
        policy = Policy()
        self.assertLess(policy.base_ms, policy.cap_ms)
        self.assertLessEqual(policy.max_data_bytes, policy.max_publish_bytes)
        self.assertLessEqual(policy.max_data_bytes, policy.max_message_bytes)
        # Two keepalives in silence are a dead connection, which an answer should outlive.
        self.assertGreaterEqual(policy.answer_ms, 2 * policy.keepalive_ms)

    def test_by_name(self) -> None:
        """Times are given by name, so that none is taken for another."""
        self.assertRaises(TypeError, Policy, 500)
