"""When a client comes back, from the shared vectors."""

from __future__ import annotations

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from takotwist.client.machine.link import TRANSITIONS, Due, Link, Retries, State
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
            link.connecting(now)
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


class LinkStatesTests(SynchronousTestCase):
    """The states of a link, by its table."""

    def _in(self, state: State) -> Link:
        link = Link(Policy(), Retries(Policy(), lambda: 0.5))
        link.state = state
        return link

    def test_each_fact(self) -> None:
        """Each fact leads to one state, or is an error that changes nothing."""
        facts: dict[State, Callable[[Link], None]] = {
            State.IDLE: lambda link: link.idle(),
            State.CONNECTING: lambda link: link.connecting(5.0),
            State.OPEN: lambda link: link.opened(5.0),
            State.WAITING: lambda link: link.lost(CUT, 5.0),
            State.CLOSED: lambda link: link.closed(),
        }
        for before in State:
            for after, fact in facts.items():
                link = self._in(before)
                wakes, attempt = link.wake_at, link.retries.attempt
                if after in TRANSITIONS[before]:
                    fact(link)
                    self.assertIs(link.state, after)
                else:
                    self.assertRaises(RuntimeError, fact, link)
                    self.assertIs(link.state, before)
                    self.assertEqual((link.wake_at, link.retries.attempt), (wakes, attempt))

    def test_due(self) -> None:
        """A link that waits wants to connect, one that is open pings and then gives up, and one
        without a connection wants nothing."""
        link = self._in(State.IDLE)
        self.assertEqual((link.wake_at, link.due(1e9)), (None, Due.NOTHING))
        link.connecting(0.0)
        link.opened(0.0, asks=True, keepalive_ms=1000.0)
        self.assertEqual(link.due(999.0), Due.NOTHING)
        self.assertEqual((link.due(1000.0), link.due(1999.0)), (Due.PING, Due.NOTHING))
        self.assertEqual(link.due(2000.0), Due.GIVE_UP)
        link.lost(CUT, 2000.0)
        wake_at = link.wake_at
        assert wake_at is not None
        self.assertEqual((link.due(wake_at - 1), link.due(wake_at)), (Due.NOTHING, Due.CONNECT))
        link.closed()
        self.assertEqual((link.wake_at, link.due(1e9)), (None, Due.NOTHING))

    def test_paused(self) -> None:
        """While the caller does not read, silence says nothing; reading counts as a word."""
        link = self._in(State.IDLE)
        link.connecting(0.0)
        link.opened(0.0, keepalive_ms=1000.0)
        link.paused()
        self.assertEqual(link.due(1e9), Due.NOTHING)
        link.resumed(5000.0)
        self.assertEqual((link.due(6999.0), link.due(7000.0)), (Due.NOTHING, Due.GIVE_UP))
