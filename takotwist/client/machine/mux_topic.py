"""One topic of a multiplexed connection.

It has its own cursor, credentials, delays and errors.  Rule: nothing that
happens to one topic is seen by another.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

import attrs

from takotwist.client.machine.continuity import Continuity
from takotwist.client.machine.delivery import Delivery
from takotwist.client.machine.outcome import Outcome
from takotwist.client.machine.policy import CredentialsKind
from takotwist.client.machine.retries import Retries
from takotwist.core.topic import Topic


class TopicState(Enum):
    """Where a topic stands; `WAITING` is for its own delay or for the connection."""

    WAITING = "waiting"
    ASKING = "asking"
    SUBSCRIBING = "subscribing"
    LIVE = "live"
    ASKING_GONE = "asking-gone"


@attrs.define(slots=True, eq=False)
class MuxTopic:
    """One subscription on the connection.

    :ivar number: how caller and machine call it.
    :ivar params: as the caller gave them.
    :ivar delivery: its cursor, and what goes to the caller.
    :ivar ref: of its subscribe on the present connection, or `None`.
    :ivar key: the topic as the server named it in its ack, or `None` before.
    :ivar retry_at: when to subscribe again, or `None` where only the connection counts.
    :ivar begun_at: when it was begun on the present connection.
    :ivar trouble: why it has ended and is subscribed again, in words for a person.
    """

    number: int
    channel: str
    params: Mapping[str, Any]
    delivery: Delivery
    retries: Retries
    credentials: CredentialsKind
    state: TopicState = TopicState.WAITING
    ref: int | None = None
    key: str | None = None
    retry_at: float | None = None
    begun_at: float = 0.0
    trouble: str | None = None
    gone_outcome: Outcome | None = None
    _live_since: float | None = None

    @property
    def continuity(self) -> Continuity:
        """Its cursor, and what is owed to the caller."""
        return self.delivery.continuity

    @property
    def asked_key(self) -> str:
        """The topic as the caller named it."""
        return Topic.of(self.channel, self.params).key

    def subscribing(self, ref: int) -> None:
        """A subscribe with `ref` is under way."""
        self.state, self.ref, self.key, self.retry_at = TopicState.SUBSCRIBING, ref, None, None

    def acked(self, params: Mapping[str, Any] | None, now: float) -> None:
        """The server let us in, and said what the topic is called."""
        self.state = TopicState.LIVE
        self.trouble = None
        self.key = Topic.of(self.channel, self.params if params is None else params).key
        self._live_since = now

    def connection_lost(self) -> None:
        """All that was under way is void; a delay of its own still counts."""
        self.ref = self.key = self._live_since = None
        if self.state is not TopicState.ASKING_GONE:
            self.state = TopicState.WAITING

    def failed(self, outcome: Outcome, now: float, stable_ms: float) -> None:
        """The topic ended and shall be subscribed again later."""
        since = self._live_since
        stable = since is not None and now - since >= stable_ms
        self.connection_lost()
        self.state = TopicState.WAITING
        self.retry_at = now + self.retries.delay(outcome, stable)
        self.trouble = outcome.trouble
