"""When a client comes back, from the shared vectors."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist.client.machine.link import Link, Retries
from takotwist.client.machine.outcome import CUT, Action, Outcome
from takotwist.client.machine.policy import Policy
from tests.client.vectors import VECTORS

BACKOFF = VECTORS["backoff"]


class RetriesTests(SynchronousTestCase):
    """Full jitter, doubling, bounded."""

    def test_constants(self) -> None:
        """The defaults are those that all clients share."""
        policy = Policy()
        self.assertEqual(policy.base_ms, BACKOFF["baseMs"])
        self.assertEqual(policy.cap_ms, BACKOFF["capMs"])
        self.assertEqual(policy.stable_ms, BACKOFF["stableMs"])

    def test_delays(self) -> None:
        """Attempt and random value give the delay, in whole milliseconds."""
        for vector in BACKOFF["delays"]:
            chosen = vector["random"]
            retries = Retries(Policy(), lambda chosen=chosen: chosen)
            if vector["retryMs"] is not None:
                retries.rebase(vector["retryMs"])
            for _ in range(vector["attempt"]):
                retries.delay(CUT, stable=False)
            outcome = Outcome(Action.BACKOFF, "x", wait_ms=vector["retryAfterMs"])
            self.assertEqual(retries.delay(outcome, stable=False), vector["delayMs"], vector)

    def test_attempts(self) -> None:
        """Only a message or a connection that lasted starts the attempts anew."""
        for vector in BACKOFF["attempts"]:
            link = Link(Policy(), Retries(Policy(), lambda: 0.5))
            now, attempt = 0.0, 0
            for event in vector["events"]:
                if event in ("failed", "lost"):
                    before = link.retries.attempt
                    link.lost(CUT, now)
                    # A stable connection counts as a success within `lost`.
                    attempt = 0 if link.retries.attempt == 1 else before
                    now = link.wake_at or now
                    link.connecting(now)
                elif event == "message":
                    link.opened(now)
                    link.delivered()
                elif event == "stable":
                    now += BACKOFF["stableMs"]
                else:
                    link.opened(now)
            self.assertEqual(attempt, vector["attempt"], vector["name"])

    def test_at_once(self) -> None:
        """An "at once" is believed after a good connection, and one new login is."""
        for vector in BACKOFF["now"]:
            retries = Retries(Policy(), lambda: 0.5)
            outcome = Outcome(Action(vector["action"]), "x")
            if not vector["stable"]:
                retries.delay(outcome, stable=True)
            delay = retries.delay(outcome, stable=vector["stable"])
            self.assertEqual(delay == 0, vector["delay"] == "none", vector["name"])
