"""The topics of a multiplexed connection: which one the server means, and which comes when.

Rule: a topic is meant by what the server said of it on this connection, never by what
was asked on an earlier one.  Each has its own cursor, credentials, delays and errors.
Rule: nothing that happens to one topic is seen by another.

Lifecycle of a topic (`TRANSITIONS`); it is over when it is removed:

    WAITING      connection open and no delay of its own -> ASKING
    ASKING       credentials there -> SUBSCRIBING
    SUBSCRIBING  the server's ``ack`` -> LIVE
    all three    refused for now, or connection lost -> WAITING; continuity is gone -> ASKING_GONE
    ASKING_GONE  the app answered -> WAITING
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum

import attrs

from takotwist.client.machine.continuity import Continuity, Delivery
from takotwist.client.machine.link import Retries
from takotwist.client.machine.outcome import Outcome
from takotwist.client.machine.policy import CredentialsKind, Policy
from takotwist.client.machine.state_said import StateSaid
from takotwist.core.json_values import JsonObject
from takotwist.core.roster_messages import roster_of
from takotwist.core.topic import Topic
from takotwist.states import Transitions, moved


class TopicState(Enum):
    """State of a topic; `WAITING` is for its own delay or for the connection."""

    WAITING = "waiting"
    ASKING = "asking"
    SUBSCRIBING = "subscribing"
    LIVE = "live"
    #: Continuity has ended, and the app says where to go on.
    ASKING_GONE = "asking-gone"


_ENDED = frozenset({TopicState.WAITING, TopicState.ASKING_GONE})
#: What may follow each state of a topic.
TRANSITIONS: Transitions[TopicState] = {
    TopicState.WAITING: frozenset({TopicState.ASKING}),
    TopicState.ASKING: _ENDED | {TopicState.SUBSCRIBING},
    TopicState.SUBSCRIBING: _ENDED | {TopicState.LIVE},
    TopicState.LIVE: _ENDED,
    TopicState.ASKING_GONE: frozenset({TopicState.WAITING}),
}


@attrs.define(slots=True, eq=False)
class MuxTopic:
    """One subscription on the connection.

    :ivar state: changed by `_enter` alone.
    :ivar number: how caller and machine call it.
    :ivar params: as the caller gave them.
    :ivar delivery: its cursor, and what goes to the caller.
    :ivar ref: of its subscribe on the present connection, or `None`.
    :ivar key: the topic as the server named it in its ack, or `None` before.
    :ivar retry_at: when to subscribe again, or `None` where only the connection counts.
    :ivar begun_at: when it was begun on the present connection.
    :ivar trouble: why it has ended and is subscribed again, in words for a person.
    :ivar roster: it is who is at the topic, and not the topic.
    :ivar subject: who we are there, as far as the server has said.
    :ivar state_said: what the caller says of itself there.
    :ivar gone_outcome: `ASKING_GONE` only: why it ended.
    """

    number: int
    channel: str
    params: JsonObject
    delivery: Delivery
    retries: Retries
    credentials: CredentialsKind
    state: TopicState = TopicState.WAITING
    ref: int | None = None
    key: str | None = None
    retry_at: float | None = None
    begun_at: float = 0.0
    trouble: str | None = None
    roster: bool = False
    subject: str | None = None
    state_said: StateSaid | None = None
    gone_outcome: Outcome | None = None
    _live_since: float | None = None

    @property
    def continuity(self) -> Continuity:
        """Its cursor, and what is owed to the caller."""
        return self.delivery.continuity

    @property
    def asked_key(self) -> str:
        """The topic as the caller named it."""
        return self._key(self.params)

    def _key(self, params: Mapping[str, object]) -> str:
        topic = Topic.of(self.channel, params)
        return (roster_of(topic) if self.roster else topic).key

    def asking(self, now: float) -> None:
        """It is begun on an open connection, first with its credentials."""
        self._enter(TopicState.ASKING)
        self.retry_at, self.begun_at = None, now

    def subscribing(self, ref: int) -> None:
        """A subscribe with `ref` is under way."""
        self._enter(TopicState.SUBSCRIBING)
        self.ref = ref

    def acked(
        self, params: Mapping[str, object] | None, now: float, subject: str | None = None
    ) -> None:
        """The server let us in, and said what the topic is called, and who we are."""
        self._enter(TopicState.LIVE)
        self.trouble = None
        self.key = self._key(self.params if params is None else params)
        self.subject = subject
        self._live_since = now
        if self.state_said is not None:
            self.state_said.say_again()

    def connection_lost(self) -> None:
        """All that was under way is void; a delay of its own still counts."""
        if self.state not in (TopicState.WAITING, TopicState.ASKING_GONE):
            self._leave(TopicState.WAITING)
        if self.state_said is not None:
            self.state_said.say_again()

    def failed(self, outcome: Outcome, now: float, stable_ms: float) -> None:
        """The topic ended and shall be subscribed again later."""
        since = self._live_since
        stable = since is not None and now - since >= stable_ms
        self._leave(TopicState.WAITING)
        self.retry_at = now + self.retries.delay(outcome, stable)
        self.trouble = outcome.trouble

    def asking_gone(self, outcome: Outcome) -> None:
        """Continuity ended with `outcome`, and the app is asked where to go on."""
        self._leave(TopicState.ASKING_GONE)
        self.gone_outcome = outcome

    def _leave(self, state: TopicState) -> None:
        self._enter(state)
        self.ref = self.key = self._live_since = self.gone_outcome = None

    def _enter(self, state: TopicState) -> None:
        self.state = moved(TRANSITIONS, self.state, state)


@attrs.define(slots=True)
class MuxTopics:
    """All of them, oldest first.  Going through them allows for removing."""

    _topics: dict[int, MuxTopic] = attrs.field(factory=dict, init=False)
    _count: int = attrs.field(default=0, init=False)

    def next_number(self) -> int:
        """A number that no topic has had."""
        self._count += 1
        return self._count - 1

    def add(self, topic: MuxTopic) -> None:
        """:raises ValueError: it is there already: two cursors of one topic on one
        connection cannot be told apart."""
        if any(topic.asked_key in (other.asked_key, other.key) for other in self):
            raise ValueError(f"{topic.asked_key} is already subscribed on this connection")
        self._topics[topic.number] = topic

    def remove(self, topic: MuxTopic) -> None:
        """The caller has been told of its end."""
        del self._topics[topic.number]

    def get(self, number: int, *states: TopicState) -> MuxTopic | None:
        """The topic of this number, if it is there and in one of `states`, or in any."""
        found = self._topics.get(number)
        return found if found is not None and (not states or found.state in states) else None

    def with_ref(self, ref: object, *states: TopicState) -> Iterator[MuxTopic]:
        """The topic that the server answers, if it is in one of `states`."""
        for topic in self:
            if topic.ref is not None and topic.ref == ref and topic.state in states:
                yield topic

    def live(self, named: Topic) -> MuxTopic | None:
        """The topic of a message."""
        key = named.key
        for topic in self._topics.values():
            if topic.state is TopicState.LIVE and topic.key == key:
                return topic
        return None

    def waiting(self) -> Iterator[MuxTopic]:
        """Those that wait for nothing but a connection."""
        for topic in self:
            if topic.state is TopicState.WAITING and topic.retry_at is None:
                yield topic

    def due(self, now: float) -> Iterator[MuxTopic]:
        """Those whose own delay is over."""
        for topic in self:
            if topic.retry_at is not None and topic.retry_at <= now:
                yield topic

    @property
    def next_due(self) -> float | None:
        """Time at which the first of them is due."""
        times = [topic.retry_at for topic in self._topics.values() if topic.retry_at is not None]
        return min(times, default=None)

    def overdue_at(self, policy: Policy) -> float | None:
        """Time at which the first of those that wait to be let in has waited too long."""
        times = [
            one.begun_at
            + policy.answer_ms
            + (policy.credentials_ms if one.credentials == "callable" else 0.0)
            for one in self._topics.values()
            if one.state in (TopicState.ASKING, TopicState.SUBSCRIBING)
        ]
        return min(times, default=None)

    @property
    def state_at(self) -> float | None:
        """Time at which the first state that the caller says may go, or is overdue."""
        times = [
            at
            for one in self._topics.values()
            if one.state is TopicState.LIVE
            and one.state_said is not None
            and (at := one.state_said.wake_at) is not None
        ]
        return min(times, default=None)

    def __iter__(self) -> Iterator[MuxTopic]:
        return iter(list(self._topics.values()))

    def __len__(self) -> int:
        return len(self._topics)
