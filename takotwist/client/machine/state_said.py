"""State that a caller sets for itself at one topic: the newest one counts, over however many
connections.

Rules: one is under way at a time, and the next not before the interval at which the server
stores; so what is said in a burst is its last.  It is said again wherever the topic
begins anew, until the server refuses it for good.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import msgspec

from takotwist.client.errors import NoAnswer, OutgoingFull, SubscriptionClosed
from takotwist.client.machine.machine import Settle
from takotwist.client.machine.outcome import Outcome
from takotwist.client.machine.outgoing import is_for_now
from takotwist.client.machine.policy import Policy
from takotwist.codecs.tako_json import encode_value
from takotwist.errors import TakoError, refusal_for

#: Between two states, in milliseconds: the server stores no more.
INTERVAL_MS = 100.0


@attrs.define(slots=True, eq=False)
class StateSaid:
    """The newest state, and who waits for its answer.

    :ivar last: what was said last, as the caller said it.
    """

    _policy: Policy
    last: object = attrs.field(default=None, init=False, repr=False)
    _state: msgspec.Raw | None = attrs.field(default=None, init=False, repr=False)
    #: It is to be sent.
    _due: bool = attrs.field(default=False, init=False)
    _next_at: float = attrs.field(default=0.0, init=False)
    _ref: int | None = attrs.field(default=None, init=False)
    _sent_at: float = attrs.field(default=0.0, init=False)
    #: Numbers of what waits for the answer that is under way, and for a later one.
    _asked: list[int] = attrs.field(factory=list, init=False)
    _waiting: list[int] = attrs.field(factory=list, init=False)

    def say(self, state: object, number: int) -> None:
        """Say something; its outcome is that of whatever is sent next.

        :raises BodyInvalid: it is no JSON; says where.  :raises OutgoingFull: too many wait.
        """
        if len(self._waiting) >= self._policy.max_publishes:
            raise OutgoingFull(f"{len(self._waiting)} states wait; this one was not taken.")
        self._state = msgspec.Raw(encode_value(state, "state"))
        self.last = state
        self._waiting.append(number)
        self._due = True

    def may_go(self, now: float) -> bool:
        """Tell whether a state is pending and due."""
        return self._due and self._ref is None and now >= self._next_at

    def sent(self, ref: int, now: float) -> msgspec.Raw:
        """It is under way, and answered by `ref`: what to send."""
        assert self._state is not None
        self._ref, self._sent_at, self._next_at = ref, now, now + INTERVAL_MS
        self._due = False
        self._asked, self._waiting = self._asked + self._waiting, []
        return self._state

    def acked(self, ref: object) -> Iterator[Settle]:
        """The server took what it answers by `ref`; nothing where that is no state."""
        if self._answered(ref):
            yield from self._settle(None)

    def failed(self, ref: object, outcome: Outcome, now: float) -> Iterator[Settle]:
        """The server refused it; nothing where it is sent again later."""
        if not self._answered(ref):
            return
        if is_for_now(outcome):
            self._due = True
            self._next_at = now + (outcome.wait_ms or INTERVAL_MS)
            return
        if not self._due:
            # It would be refused on the next connection too.
            self._state = None
        yield from self._settle(refusal_for(outcome.code, outcome.sentence))

    def overdue(self, now: float) -> Iterator[Settle]:
        """The answer is not waited for any longer, where it took too long."""
        if self._ref is not None and now >= self._sent_at + self._policy.answer_ms:
            self._ref = None
            yield from self._settle(NoAnswer("The state had no answer."))

    def say_again(self) -> None:
        """Make the state pending again, answered or not: the server that holds the topic now has
        never had it."""
        self._ref = None
        self._due = self._state is not None

    def give_up(self, error: TakoError | None) -> list[Settle]:
        """It will never be said.

        :param error: why, or `None` where the caller wished it.
        """
        self._due, self._ref, self._state = False, None, None
        self._asked, self._waiting = self._asked + self._waiting, []
        return list(self._settle(error or SubscriptionClosed("The subscription was closed.")))

    @property
    def wake_at(self) -> float | None:
        """Time at which it may go, or is overdue."""
        if self._ref is not None:
            return self._sent_at + self._policy.answer_ms
        return self._next_at if self._due else None

    def _answered(self, ref: object) -> bool:
        if self._ref is None or ref != self._ref:
            return False
        self._ref = None
        return True

    def _settle(self, error: TakoError | None) -> Iterator[Settle]:
        asked, self._asked = self._asked, []
        for number in asked:
            yield Settle(number, error=error)
