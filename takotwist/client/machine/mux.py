"""Many topics over one connection (protocol, section 5, ``/_tako/connect``).

The connection comes back by its `Link`; each topic subscribes again at its own
cursor.  Rule: one refused topic never closes the connection, and only a
connection that cannot be had at all ends the topics.

Its states are those of its link (`machine.link`), and of each topic (`machine.mux_topics`):
a topic is past `WAITING` only while the link is `OPEN`, and the link is `IDLE` only while
there are no topics.  Facts of a connection that is over change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs

from takotwist.client import wire as frames
from takotwist.client.errors import ProtocolBroken, SubscriptionClosed
from takotwist.client.events import read_message, read_object
from takotwist.client.machine.continuity import Continuity, Delivery
from takotwist.client.machine.link import Link, Retries, State
from takotwist.client.machine.machine import (
    AskCredentials,
    AskGone,
    Connect,
    Machine,
    Send,
    Stop,
    earliest,
)
from takotwist.client.machine.mux_topics import MuxTopic, MuxTopics, TopicState
from takotwist.client.machine.outcome import UNANSWERED, Action, Outcome
from takotwist.client.machine.outgoing import Outgoing
from takotwist.client.machine.policy import CredentialsKind, OnGone, Policy
from takotwist.client.machine.state_said import StateSaid
from takotwist.core.roster_messages import ROSTER_TYPES, roster_of
from takotwist.core.topic import Topic
from takotwist.errors import TakoError, TransportNotEnabled

#: Where a topic stands while the server may say something of it.
HEARD_OF = (TopicState.SUBSCRIBING, TopicState.LIVE)
_CONNECTED = (State.CONNECTING, State.OPEN)


@attrs.define(slots=True)
class MuxMachine(Machine):
    """A connection for many topics.  Made with `idle`."""

    _policy: Policy
    _random: Callable[[], float]
    _outgoing: Outgoing
    _topics: MuxTopics = attrs.field(factory=MuxTopics, init=False)
    _refs: int = attrs.field(default=0, init=False)

    @classmethod
    def idle(
        cls, *, policy: Policy, random: Callable[[], float], make_key: Callable[[], str]
    ) -> MuxMachine:
        """A connection that is made with its first topic.

        :param random: gives a float in [0, 1).
        :param make_key: gives a fresh idempotency key.
        """
        link = Link(policy, Retries(policy, random))
        return cls(link, policy, random, Outgoing(policy, make_key, random))

    def trouble(self, topic: int) -> str | None:
        """Why `topic` is being tried again: the connection's trouble, or its own."""
        found = self._topics.get(topic)
        return self.link.trouble or (None if found is None else found.trouble)

    # The caller.

    def subscribed(
        self,
        channel: str,
        params: Mapping[str, object],
        now: float,
        *,
        cursor: str | None = None,
        credentials: CredentialsKind = "none",
        on_gone: OnGone = "reset",
        roster: bool = False,
    ) -> int:
        """The caller wants a topic; intents name it by the number returned.

        :param roster: it wants who is there, and not what is said.
        :raises ValueError: it has that topic already.
        """
        if self.link.state is State.CLOSED:
            raise SubscriptionClosed("The connection is closed.")
        number = self._topics.next_number()
        topic = MuxTopic(
            number,
            channel,
            dict(params),
            Delivery(Continuity.starting_at(cursor, on_gone), number),
            Retries(self._policy, self._random),
            credentials,
            roster=roster,
        )
        self._topics.add(topic)
        if self.link.state is State.IDLE:
            self._connect(now)
        elif self.link.state is State.OPEN:
            self._begin(topic, now)
        return topic.number

    def credentials_given(self, topic: int, token: str | None) -> None:
        """`AskCredentials` was answered."""
        found = self._topics.get(topic, TopicState.ASKING)
        if found is None:
            return
        found.subscribing(self._next_ref())
        more = {"cursor": found.continuity.cursor, "auth": token}
        if found.continuity.on_gone == "reset":
            more["stale"] = "reset"
        self._request("subscribe", found, found.ref or 0, **more)

    def credentials_failed(self, topic: int, outcome: Outcome, now: float) -> None:
        """`AskCredentials` could not be answered."""
        found = self._topics.get(topic, TopicState.ASKING)
        if found is not None:
            self._topic_ended(found, outcome, now)

    def publish(
        self, topic: int, type: str, data: object, now: float, key: str | None = None
    ) -> int:
        """Take a publish; its outcome comes as `Settle` with the number returned.

        :raises BodyInvalid: it is no message.  :raises OutgoingFull: too many wait.
        """
        found = self._topics.get(topic)
        if found is None:
            raise SubscriptionClosed("The topic is not subscribed any more.")
        if found.roster:
            raise TransportNotEnabled("To who is here nothing can be published.")
        publish = self._outgoing.add(type, data, key, topic)
        self._flush(found, now)
        return publish.number

    def say(self, topic: int, state: object, now: float) -> int:
        """The caller says something of itself; as `publish`, but the newest alone counts.

        :raises BodyInvalid: it is no JSON.  :raises OutgoingFull: too many wait.
        """
        found = self._topics.get(topic)
        if found is None:
            raise SubscriptionClosed("The topic is not subscribed any more.")
        if found.state_said is None:
            found.state_said = StateSaid(self._policy)
        number = self._outgoing.number()
        found.state_said.say(state, number)
        self._flush_state(found, now)
        return number

    def subject(self, topic: int) -> str | None:
        """The subject of the caller at a topic, as far as the server has named it."""
        found = self._topics.get(topic)
        return None if found is None else found.subject

    def refreshed(self, topic: int, token: str) -> None:
        """There are new credentials of a topic; shown to the server where it is live."""
        found = self._topics.get(topic, TopicState.LIVE)
        if found is not None:
            self._request("auth", found, self._next_ref(), auth=token)

    def unsubscribed(self, topic: int) -> None:
        """The caller wants no more of `topic`."""
        found = self._topics.get(topic)
        if found is None:
            return
        if found.state in HEARD_OF:
            self._request("unsubscribe", found, self._next_ref())
        self._stop_topic(found, None)

    def gone_answered(self, topic: int, cursor: str | None, now: float) -> None:
        """The app answered `AskGone`: where to go on, `None` for live."""
        found = self._topics.get(topic)
        if found is not None and found.gone_outcome is not None:
            found.continuity.restarted(cursor)
            found.failed(found.gone_outcome, now, self._policy.stable_ms)

    def closed(self) -> None:
        """The caller wants no more."""
        if self.link.state is not State.CLOSED:
            self._drop()
            self._stop(None)

    # The server.

    def opened(self, subprotocol: str | None, now: float) -> None:
        """The WebSocket is open."""
        if self.link.state is not State.CONNECTING:
            return
        self.link.heard(now)
        if subprotocol != frames.SUBPROTOCOL:
            self.broke(ProtocolBroken(f"The server does not speak {frames.SUBPROTOCOL}."), now)

    def text_received(self, text: str | bytes, now: float) -> None:
        """A text frame came."""
        if self.link.state not in _CONNECTED:
            return
        self.link.heard(now)
        try:
            value = read_object(text)
            if "op" in value:
                self._controlled(frames.read_control(value), now)
                return
            message = read_message(value, {})
        except ProtocolBroken as broken:
            self.broke(broken, now)
            return
        self.link.delivered()
        named = Topic.of(message.channel, message.params)
        is_roster = message.type in ROSTER_TYPES
        topic = self._topics.live(roster_of(named) if is_roster else named)
        if topic is not None:
            topic.retries.succeeded()
            self._intents += topic.delivery.received(message)

    def _controlled(self, said: frames.Control | None, now: float) -> None:
        match said:
            case frames.Opened(_, keepalive_ms):
                self.link.opened(now, asks=True, keepalive_ms=keepalive_ms)
                for topic in self._topics.waiting():
                    self._begin(topic, now)
            case frames.Acked(ref, id, cursor, params, subject):
                self._intents += self._outgoing.acked(ref, id)
                self._flush_paced(now)
                for topic in self._topics:
                    if topic.state_said is not None:
                        self._intents += topic.state_said.acked(ref)
                        self._flush_state(topic, now)
                for topic in self._topics.with_ref(ref, TopicState.SUBSCRIBING):
                    topic.acked(params, now, subject)
                    self._intents += topic.delivery.attached(cursor)
                    self._flush(topic, now)
                    self._flush_state(topic, now)
            case frames.Synced(ref, cursor):
                for topic in self._topics.with_ref(ref, TopicState.LIVE):
                    self._intents += topic.delivery.synced(cursor, topic.channel, topic.params)
            case frames.WasReset(ref, reason, cursor):
                for topic in self._topics.with_ref(ref, *HEARD_OF):
                    self._intents.append(topic.delivery.was_reset(reason, cursor))
            case frames.Failed(ref, outcome):
                self._intents += self._outgoing.failed(ref, outcome, now)
                self._flush_paced(now)
                for topic in self._topics:
                    if topic.state_said is not None:
                        self._intents += topic.state_said.failed(ref, outcome, now)
                for topic in self._topics.with_ref(ref, *HEARD_OF):
                    self._topic_ended(topic, outcome, now)

    # The topics.

    def _begin(self, topic: MuxTopic, now: float) -> None:
        topic.asking(now)
        if topic.credentials == "none":
            self.credentials_given(topic.number, None)
        else:
            self._intents.append(AskCredentials(topic.number))

    def _request(self, op: str, topic: MuxTopic, ref: int, **more: object) -> None:
        if topic.roster:
            more["presence"] = True
        text = frames.topic_request(op, ref, topic.channel, topic.params, **more)
        self._intents.append(Send(text))

    def _flush(self, topic: MuxTopic, now: float) -> None:
        if topic.state is not TopicState.LIVE:
            return
        for publish in self._outgoing.unsent(topic.number):
            self._outgoing.sent(publish, self._next_ref(), now)
            self._intents.append(Send(frames.topic_publish(publish, topic.channel, topic.params)))

    def _flush_state(self, topic: MuxTopic, now: float) -> None:
        said = topic.state_said
        if said is None or topic.state is not TopicState.LIVE or not said.may_go(now):
            return
        ref = self._next_ref()
        state = said.sent(ref, now)
        text = frames.topic_request("presence", ref, topic.channel, topic.params, state=state)
        self._intents.append(Send(text))

    def _flush_paced(self, now: float) -> None:
        for number in self._outgoing.ready(now):
            topic = self._topics.get(number)
            if topic is not None:
                self._flush(topic, now)

    def _topic_ended(self, topic: MuxTopic, outcome: Outcome, now: float) -> None:
        outcome = outcome.with_credentials(topic.credentials)
        if outcome.action is Action.STOP:
            self._stop_topic(topic, outcome.error())
            return
        if outcome.action is Action.GONE and (gone := topic.continuity.ended(outcome.code)):
            if topic.continuity.on_gone == "raise":
                self._stop_topic(topic, gone)
                return
            topic.asking_gone(outcome)
            self._intents.append(AskGone(gone, topic.number))
            return
        topic.failed(outcome, now, self._policy.stable_ms)

    def _stop_topic(self, topic: MuxTopic, error: TakoError | None) -> None:
        self._topics.remove(topic)
        self._intents += self._outgoing.give_up(error, topic.number)
        if topic.state_said is not None:
            self._intents += topic.state_said.give_up(error)
        self._intents.append(Stop(error, topic.number))

    # The link.

    @property
    def wake_at(self) -> float | None:
        """Time at which to call `woke`, or `None`."""
        if self.link.state is not State.OPEN:
            return self.link.wake_at
        return earliest(
            self.link.wake_at,
            self._topics.next_due,
            self._topics.overdue_at(self._policy),
            self._outgoing.overdue_at,
            self._outgoing.resume_at,
            self._topics.state_at,
        )

    def woke(self, now: float) -> None:
        """Time has passed.  Harmless when it is too early."""
        Machine.woke(self, now)
        if self.link.state is State.OPEN:
            for topic in self._topics.due(now):
                self._begin(topic, now)
            self._intents += self._outgoing.overdue(now)
            self._flush_paced(now)
            for topic in self._topics:
                if topic.state_said is not None:
                    self._intents += topic.state_said.overdue(now)
                    self._flush_state(topic, now)
            overdue_at = self._topics.overdue_at(self._policy)
            if overdue_at is not None and overdue_at <= now:
                # What else this connection would leave unanswered cannot be known.
                self._drop()
                self._ended(UNANSWERED, now)

    def _connect(self, now: float) -> None:
        self.link.connecting(now)
        self._intents.append(Connect("mux"))

    def _ping(self) -> None:
        self._intents.append(Send(frames.ping(self._next_ref())))

    def _next_ref(self) -> int:
        self._refs += 1
        return self._refs

    def _ended(self, outcome: Outcome, now: float) -> None:
        if self.link.state not in _CONNECTED:
            return
        self._outgoing.connection_lost()
        for topic in self._topics:
            topic.connection_lost()
        if outcome.action is Action.STOP:
            self._stop(outcome.error())
        elif self._topics:
            self.link.lost(outcome, now)
        else:
            self.link.idle()

    def _stop(self, error: TakoError | None) -> None:
        self.link.closed()
        for topic in self._topics:
            self._stop_topic(topic, error)
