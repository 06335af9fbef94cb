"""The topics of a multiplexed connection: which one the server means, and which comes when.

Rule: a topic is meant by what the server said of it on this connection, never by what
was asked on an earlier one.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from takotwist.client.machine.mux_topic import MuxTopic, TopicState
from takotwist.client.machine.policy import Policy
from takotwist.core.topic import Topic


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
        """When the first of them is due."""
        times = [topic.retry_at for topic in self._topics.values() if topic.retry_at is not None]
        return min(times, default=None)

    def overdue_at(self, policy: Policy) -> float | None:
        """When the first of those that wait to be let in has waited too long."""
        times = [
            one.begun_at
            + policy.answer_ms
            + (policy.credentials_ms if one.credentials == "callable" else 0.0)
            for one in self._topics.values()
            if one.state in (TopicState.ASKING, TopicState.SUBSCRIBING)
        ]
        return min(times, default=None)

    def __iter__(self) -> Iterator[MuxTopic]:
        return iter(list(self._topics.values()))

    def __len__(self) -> int:
        return len(self._topics)
