"""When to try again.

Full jitter with a doubling upper edge: after a restart ten thousand clients
come back spread over the whole interval, not all at its end.  Rule: only a
message or a connection that lasted makes the delays short again, so a server
that accepts and closes is not hammered.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from takotwist.client.machine.outcome import Action, Outcome
from takotwist.client.machine.policy import Policy

#: Least that a server's ``retry:`` can make of the base.
RETRY_LEAST_MS = 100.0


@attrs.define(slots=True)
class Retries:
    """The delays of one thing that is tried again and again.

    :param random: gives a float in [0, 1).
    """

    _policy: Policy
    _random: Callable[[], float]
    _failures: int = 0
    _reauthenticated: bool = False
    _base_ms: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._base_ms = self._policy.base_ms

    @property
    def attempt(self) -> int:
        """The number of the next delay, from 0."""
        return self._failures

    def rebase(self, retry_ms: int) -> None:
        """The server's ``retry:``.  A base and no floor: a floor would bring all back at once."""
        self._base_ms = min(max(retry_ms, RETRY_LEAST_MS), self._policy.cap_ms)

    def succeeded(self) -> None:
        """A message came, or the connection has lasted."""
        self._failures = 0
        self._reauthenticated = False

    def delay(self, outcome: Outcome, stable: bool) -> float:
        """Milliseconds to wait before the next try.

        :param stable: whether the connection that just ended had lasted; only then
            is an "at once" believed.
        """
        if stable:
            self.succeeded()
        at_once = outcome.action is Action.NOW and stable
        if outcome.action is Action.REAUTHENTICATE:
            at_once = not self._reauthenticated
            self._reauthenticated = True
        wait = self._jittered(self._failures) + outcome.wait_ms
        self._failures += 1
        return 0.0 if at_once else wait

    def _jittered(self, attempt: int) -> float:
        # 2**64 is past every cap; an attempt that grows for weeks must not overflow a float.
        edge = min(self._policy.cap_ms, self._base_ms * 2.0 ** min(attempt, 64))
        return float(int(self._random() * edge))
