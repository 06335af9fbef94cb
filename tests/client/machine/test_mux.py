"""A connection with many topics: its states and those of its topics, facts in any order."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.client.errors import SubscriptionClosed
from takotwist.client.machine import link, mux_topics
from takotwist.client.machine.link import State
from takotwist.client.machine.machine import AskCredentials, AskGone, Connect, Deliver, Send, Stop
from takotwist.client.machine.mux import MuxMachine
from takotwist.client.machine.mux_topics import TopicState
from takotwist.client.machine.outcome import CUT, Action, Outcome
from takotwist.client.machine.policy import CredentialsKind, OnGone, Policy

OPEN = '{"op":"open","lifecycle":{"keepaliveIntervalMs":25000}}'


def machine_of() -> MuxMachine:
    """A connection without topics."""
    return MuxMachine.idle(policy=Policy(), random=lambda: 0.5, make_key=lambda: "key")


class Driven:
    """A machine, and a server that knows the refs of what it was sent last."""

    def __init__(self) -> None:
        self.machine = machine_of()
        self.refs: dict[str, Any] = {}
        self.sent: list[dict[str, Any]] = []
        self.intents: list[Any] = []
        self.now = 0.0

    def take(self) -> list[Any]:
        """The new intents."""
        new = self.machine.intents()
        self.intents += new
        for one in new:
            if isinstance(one, Send):
                frame = msgspec.json.decode(one.text)
                self.sent.append(frame)
                if frame["op"] == "subscribe":
                    self.refs[frame["channel"]] = frame["ref"]
        return new

    def say(self, **frame: Any) -> None:
        """The server says something."""
        self.machine.text_received(msgspec.json.encode(frame), self.now)
        self.take()

    def subscribe(self, channel: str, **more: Any) -> int:
        """The caller wants a topic."""
        number = self.machine.subscribed(channel, {}, self.now, **more)
        self.take()
        return number

    def open(self) -> None:
        """The connection is made, and the server lets us in."""
        self.machine.opened("tako.v1", self.now)
        self.machine.text_received(OPEN, self.now)
        self.take()

    def states(self) -> dict[int, TopicState]:
        """The state of each topic, by number."""
        return {topic.number: topic.state for topic in self.machine._topics}


class MuxTests(SynchronousTestCase):
    """One connection, by examples."""

    def setUp(self) -> None:
        self.driven = Driven()
        self.machine = self.driven.machine

    def test_first_topic_connects(self) -> None:
        """The first topic makes the connection, further ones wait for it or use it."""
        self.driven.subscribe("a")
        self.driven.subscribe("b")
        self.assertEqual([type(one) for one in self.driven.intents], [Connect])
        self.driven.open()
        self.driven.subscribe("c")
        self.assertEqual([one["channel"] for one in self.driven.sent], ["a", "b", "c"])
        self.assertEqual(set(self.driven.states().values()), {TopicState.SUBSCRIBING})

    def test_live(self) -> None:
        """A topic is live by the server's ack, and gets what is said of it from then on."""
        number = self.driven.subscribe("a")
        self.driven.open()
        message = {"id": "6", "channel": "a", "type": "t", "data": 1}
        self.driven.say(**message)
        self.driven.say(op="ack", ref=self.driven.refs["a"], cursor="5")
        self.driven.say(**message)
        self.driven.say(**message)
        [given_out] = [one for one in self.driven.intents if isinstance(one, Deliver)]
        self.assertEqual((given_out.cursor, given_out.topic), ("6", number))

    def test_refused_alone(self) -> None:
        """A refused topic ends; the others and the connection stay."""
        refused, kept = self.driven.subscribe("a"), self.driven.subscribe("b")
        self.driven.open()
        self.driven.say(op="ack", ref=self.driven.refs["b"])
        self.driven.say(
            op="error", ref=self.driven.refs["a"], code="channel-unknown", error="no such channel"
        )
        [stop] = [one for one in self.driven.intents if isinstance(one, Stop)]
        self.assertEqual(stop.topic, refused)
        self.assertEqual(self.driven.states(), {kept: TopicState.LIVE})
        self.assertIs(self.machine.link.state, State.OPEN)

    def test_own_delay(self) -> None:
        """A topic that is refused for now is asked for again after a delay of its own."""
        self.driven.subscribe("a")
        self.driven.open()
        self.driven.say(op="error", ref=self.driven.refs["a"], code="overloaded", error="busy")
        self.assertEqual(set(self.driven.states().values()), {TopicState.WAITING})
        self.assertEqual(self.machine.trouble(0), "busy")
        self.driven.now = self.machine.wake_at or 0
        self.machine.woke(self.driven.now)
        self.driven.take()
        self.assertEqual([one["op"] for one in self.driven.sent], ["subscribe", "subscribe"])

    def test_gone_asked(self) -> None:
        """Where continuity is gone the app is asked, and its answer is where to go on, even
        when the connection was lost meanwhile."""
        number = self.driven.subscribe("a", cursor="3", on_gone="ask")
        self.driven.open()
        self.driven.say(op="error", ref=self.driven.refs["a"], code="replay-too-old", error="old")
        [asked] = [one for one in self.driven.intents if isinstance(one, AskGone)]
        self.assertEqual(asked.topic, number)
        self.machine.lost(1)
        self.assertEqual(self.driven.states(), {number: TopicState.ASKING_GONE})
        self.machine.gone_answered(number, "9", 2)
        self.machine.gone_answered(number, "1", 2)
        self.driven.now = 10_000
        self.machine.woke(self.driven.now)
        self.driven.open()
        self.machine.woke(self.driven.now)
        self.driven.take()
        self.assertEqual(self.driven.sent[-1]["cursor"], "9")

    def test_credentials_come_late(self) -> None:
        """Credentials that come when the connection has gone are asked for again on the next."""
        number = self.driven.subscribe("a", credentials="callable")
        self.driven.open()
        self.machine.lost(1)
        self.machine.credentials_given(number, "old")
        self.driven.take()
        self.assertEqual(self.driven.sent, [])
        self.driven.now = self.machine.wake_at or 0
        self.machine.woke(self.driven.now)
        self.driven.open()
        self.machine.credentials_given(number, "new")
        self.driven.take()
        asked = [one for one in self.driven.intents if isinstance(one, AskCredentials)]
        self.assertEqual((len(asked), self.driven.sent[-1]["auth"]), (2, "new"))

    def test_late_facts(self) -> None:
        """What is told of a connection that is over neither counts as a failure nor is read."""
        self.driven.subscribe("a")
        self.driven.open()
        self.machine.lost(1)
        wake_at = self.machine.wake_at
        for late in (
            lambda: self.machine.lost(2),
            lambda: self.machine.closed_by_peer(4404, "channel-unknown", 2),
            lambda: self.machine.opened("tako.v1", 2),
            lambda: self.machine.opened(None, 2),
            lambda: self.machine.text_received(OPEN, 2),
            lambda: self.machine.text_received("<html>", 2),
        ):
            late()
            self.assertIs(self.machine.link.state, State.WAITING)
            self.assertEqual((self.machine.wake_at, self.machine.intents()), (wake_at, []))

    def test_closed_is_final(self) -> None:
        """After the end every topic has been told, and no fact does anything."""
        number = self.driven.subscribe("a")
        self.driven.open()
        self.machine.closed()
        self.assertEqual([one.topic for one in self.driven.take() if isinstance(one, Stop)], [0])
        self.assertRaises(SubscriptionClosed, self.machine.subscribed, "b", {}, 1)
        self.assertRaises(SubscriptionClosed, self.machine.publish, number, "t", 1, 1)
        for fact in FACTS.values():
            fact(self.driven)
            self.assertIs(self.machine.link.state, State.CLOSED)
            self.assertEqual(self.driven.take(), [])


def _subscribe(
    channel: str, credentials: CredentialsKind, on_gone: OnGone
) -> Callable[[Driven], None]:
    def fact(driven: Driven) -> None:
        # It may be there already, or all may be over.
        with contextlib.suppress(ValueError, SubscriptionClosed):
            driven.subscribe(channel, cursor="1", credentials=credentials, on_gone=on_gone)

    return fact


def _each(act: Callable[[Driven, int], None]) -> Callable[[Driven], None]:
    def fact(driven: Driven) -> None:
        for number in driven.states():
            act(driven, number)

    return fact


#: Every fact, by name.
FACTS: dict[str, Callable[[Driven], None]] = {
    "subscribe a": _subscribe("a", "none", "ask"),
    "subscribe b": _subscribe("b", "callable", "ask"),
    "subscribe c": _subscribe("c", "fixed", "raise"),
    "opened": lambda driven: driven.machine.opened("tako.v1", driven.now),
    "opened by another": lambda driven: driven.machine.opened(None, driven.now),
    "open": lambda driven: driven.machine.text_received(OPEN, driven.now),
    "ack a": lambda driven: driven.say(op="ack", ref=driven.refs.get("a", -1), cursor="5"),
    "ack b": lambda driven: driven.say(op="ack", ref=driven.refs.get("b", -1)),
    "busy a": lambda driven: driven.say(
        op="error", ref=driven.refs.get("a", -1), code="overloaded", error="busy"
    ),
    "too old a": lambda driven: driven.say(
        op="error", ref=driven.refs.get("a", -1), code="replay-too-old", error="old"
    ),
    "too old c": lambda driven: driven.say(
        op="error", ref=driven.refs.get("c", -1), code="replay-too-old", error="old"
    ),
    "refused b": lambda driven: driven.say(
        op="error", ref=driven.refs.get("b", -1), code="channel-unknown", error="none"
    ),
    "reset a": lambda driven: driven.say(
        op="reset", ref=driven.refs.get("a", -1), reason="replay-too-old", cursor="9"
    ),
    "message a": lambda driven: driven.say(id="8", channel="a", type="t", data=1),
    "broken frame": lambda driven: driven.machine.text_received("<html>", driven.now),
    "credentials": _each(lambda driven, number: driven.machine.credentials_given(number, "token")),
    "no credentials": _each(
        lambda driven, number: driven.machine.credentials_failed(number, CUT, driven.now)
    ),
    "credentials gone": _each(
        lambda driven, number: driven.machine.credentials_failed(
            number, Outcome(Action.GONE, "replay-too-old"), driven.now
        )
    ),
    "app answered": _each(
        lambda driven, number: driven.machine.gone_answered(number, "7", driven.now)
    ),
    "unsubscribe": lambda driven: driven.machine.unsubscribed(max(driven.states(), default=0)),
    "cut": lambda driven: driven.machine.lost(driven.now),
    "closed by peer": lambda driven: driven.machine.closed_by_peer(4429, "", driven.now),
    "woke": lambda driven: driven.machine.woke(driven.machine.wake_at or driven.now),
    "later": lambda driven: driven.machine.woke(driven.now + 100_000),
}
_HEARD_OF = {TopicState.SUBSCRIBING, TopicState.LIVE}


class StatesTests(SynchronousTestCase):
    """Facts in any order, those too that no adapter reports."""

    @given(st.lists(st.sampled_from(sorted(FACTS)), max_size=40))
    def test_any_order(self, facts: list[str]) -> None:
        """Link and topics go by their tables, and no impossible pair of states is ever seen."""
        driven = Driven()
        machine = driven.machine
        for fact in ["subscribe a", "opened", "open", *facts, "closed"]:
            state, topics = machine.link.state, driven.states()
            driven.now += 10
            machine.closed() if fact == "closed" else FACTS[fact](driven)
            driven.take()
            self._reachable(link.TRANSITIONS, state, machine.link.state, fact)
            for number, now in driven.states().items():
                before = topics.get(number, TopicState.WAITING)
                self._reachable(mux_topics.TRANSITIONS, before, now, fact)
            self._together(machine, fact)
        self.assertEqual(driven.states(), {})

    def _reachable(self, table: Any, before: Any, after: Any, fact: str) -> None:
        found, todo = {before}, [before]
        while todo:
            new = table[todo.pop()] - found
            found |= new
            todo += new
        self.assertIn(after, found, fact)

    def _together(self, machine: MuxMachine, fact: str) -> None:
        state, topics = machine.link.state, list(machine._topics)
        if state in (State.IDLE, State.CLOSED):
            self.assertEqual(topics, [], fact)
        for topic in topics:
            if topic.state not in (TopicState.WAITING, TopicState.ASKING_GONE):
                self.assertIs(state, State.OPEN, fact)
                self.assertIsNone(topic.retry_at, fact)
            self.assertEqual(topic.ref is not None, topic.state in _HEARD_OF, fact)
            self.assertEqual(topic.key is not None, topic.state is TopicState.LIVE, fact)
            asks = topic.state is TopicState.ASKING_GONE
            self.assertEqual(topic.gone_outcome is not None, asks, fact)
