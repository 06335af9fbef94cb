"""The topics of a multiplexed connection: which is meant, and which comes when."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist.client.machine.continuity import Continuity, Delivery
from takotwist.client.machine.link import Retries
from takotwist.client.machine.mux_topics import TRANSITIONS, MuxTopic, MuxTopics, TopicState
from takotwist.client.machine.outcome import CUT, Action, Outcome
from takotwist.client.machine.policy import CredentialsKind, Policy
from takotwist.core.topic import Topic

POLICY = Policy(base_ms=1000, stable_ms=5000, answer_ms=60_000, credentials_ms=30_000)


def topic(number: int, channel: str = "chat", credentials: CredentialsKind = "none") -> MuxTopic:
    """A topic that waits."""
    delivery = Delivery(Continuity.starting_at("1", "ask"), number)
    retries = Retries(POLICY, lambda: 0.5)
    return MuxTopic(number, channel, {}, delivery, retries, credentials)


class MuxTopicTests(SynchronousTestCase):
    """One topic."""

    def live(self, now: float = 0.0) -> MuxTopic:
        """A topic that the server has let in."""
        one = topic(0)
        one.asking(now)
        one.subscribing(5)
        one.acked(None, now)
        return one

    def test_begins(self) -> None:
        """Credentials, subscribe, ack: a ref from the one on, the server's name from the other."""
        one = topic(0)
        one.asking(7.0)
        self.assertEqual((one.state, one.begun_at, one.ref), (TopicState.ASKING, 7.0, None))
        one.subscribing(5)
        self.assertEqual((one.state, one.ref, one.key), (TopicState.SUBSCRIBING, 5, None))
        one.acked({"room": 1}, 8.0)
        self.assertEqual(one.state, TopicState.LIVE)
        self.assertEqual(one.key, Topic.of("chat", {"room": 1}).key)
        self.assertEqual(one.asked_key, Topic.of("chat", {}).key)

    def test_named_as_asked(self) -> None:
        """Where the server names no params, the topic is called as it was asked for."""
        self.assertEqual(self.live().key, topic(0).asked_key)

    def test_connection_lost(self) -> None:
        """Nothing said on an earlier connection counts; a delay of its own still does, and an
        answer of the app is still waited for."""
        one = self.live()
        one.connection_lost()
        self.assertEqual((one.state, one.ref, one.key), (TopicState.WAITING, None, None))
        one.asking(1.0)
        one.failed(CUT, 1.0, POLICY.stable_ms)
        retry_at = one.retry_at
        one.connection_lost()
        self.assertEqual((one.retry_at, retry_at), (retry_at, 501.0))
        gone = self.live()
        gone.asking_gone(CUT)
        gone.connection_lost()
        self.assertEqual((gone.state, gone.gone_outcome), (TopicState.ASKING_GONE, CUT))

    def test_delays(self) -> None:
        """They double; a topic that was live for long enough begins with the first again."""
        one = topic(0)
        delays = []
        for now in (0.0, 0.0, 0.0):
            one.asking(now)
            one.failed(CUT, now, POLICY.stable_ms)
            delays.append(one.retry_at)
        self.assertEqual(delays, [500.0, 1000.0, 2000.0])
        one.asking(0.0)
        one.subscribing(1)
        one.acked(None, 0.0)
        one.failed(CUT, 5000.0, POLICY.stable_ms)
        self.assertEqual(one.retry_at, 5500.0)

    def test_trouble(self) -> None:
        """It stands from its end until the server lets it in again."""
        one = topic(0)
        one.asking(0.0)
        one.failed(Outcome(Action.BACKOFF, "overloaded", "busy"), 0.0, POLICY.stable_ms)
        self.assertEqual(one.trouble, "busy")
        one.asking(0.0)
        one.subscribing(1)
        self.assertEqual(one.trouble, "busy")
        one.acked(None, 0.0)
        self.assertIsNone(one.trouble)

    def test_refused(self) -> None:
        """A transition that the table does not have is an error that changes nothing."""
        for before in TopicState:
            for after in set(TopicState) - TRANSITIONS[before]:
                one = topic(0)
                one.state = before
                self.assertRaises(RuntimeError, one._enter, after)
                self.assertIs(one.state, before)


class MuxTopicsTests(SynchronousTestCase):
    """All of one connection."""

    def setUp(self) -> None:
        self.topics = MuxTopics()

    def add(self, channel: str, credentials: CredentialsKind = "none") -> MuxTopic:
        """One more."""
        one = topic(self.topics.next_number(), channel, credentials)
        self.topics.add(one)
        return one

    def test_numbers(self) -> None:
        """None is given twice, also of a topic that has ended."""
        first = self.add("a")
        self.topics.remove(first)
        self.assertEqual((first.number, self.add("b").number), (0, 1))

    def test_twice(self) -> None:
        """Two cursors of one topic cannot be told apart, whether by the name it was asked for or
        by the server's."""
        one = self.add("a")
        self.assertRaises(ValueError, self.add, "a")
        one.asking(0.0)
        one.subscribing(1)
        one.acked({"x": 1}, 0.0)
        again = topic(9, "a")
        again.params = {"x": 1}
        self.assertRaises(ValueError, self.topics.add, again)
        self.topics.remove(one)
        self.topics.add(again)

    def test_get(self) -> None:
        """By number, and only in the states that are asked for."""
        one = self.add("a")
        self.assertIs(self.topics.get(0), one)
        self.assertIs(self.topics.get(0, TopicState.LIVE, TopicState.WAITING), one)
        self.assertIsNone(self.topics.get(0, TopicState.LIVE))
        self.assertIsNone(self.topics.get(1))

    def test_with_ref(self) -> None:
        """The one that the server answers; an answer without a ref is nobody's."""
        one, other = self.add("a"), self.add("b")
        one.asking(0.0)
        one.subscribing(7)
        waiting = TopicState.WAITING
        self.assertEqual(list(self.topics.with_ref(7, TopicState.SUBSCRIBING)), [one])
        self.assertEqual(list(self.topics.with_ref(7, TopicState.LIVE)), [])
        self.assertEqual(list(self.topics.with_ref(None, waiting)), [])
        self.assertIs(other.state, waiting)

    def test_live(self) -> None:
        """A message is for the topic of its name while that is live."""
        one = self.add("a")
        named = Topic.of("a", {})
        self.assertIsNone(self.topics.live(named))
        one.asking(0.0)
        one.subscribing(1)
        self.assertIsNone(self.topics.live(named))
        one.acked(None, 0.0)
        self.assertIs(self.topics.live(named), one)
        one.connection_lost()
        self.assertIsNone(self.topics.live(named))

    def test_due(self) -> None:
        """Those without a delay wait for the connection alone; the others for their time."""
        one, other = self.add("a"), self.add("b")
        other.asking(0.0)
        other.failed(CUT, 0.0, POLICY.stable_ms)
        self.assertEqual(list(self.topics.waiting()), [one])
        self.assertEqual(self.topics.next_due, 500.0)
        self.assertEqual(list(self.topics.due(499.0)), [])
        self.assertEqual(list(self.topics.due(500.0)), [other])

    def test_overdue(self) -> None:
        """An answer is waited for so long, and credentials that are asked for so much longer."""
        self.assertIsNone(self.topics.overdue_at(POLICY))
        slow, quick = self.add("a", "callable"), self.add("b")
        slow.asking(0.0)
        self.assertEqual(self.topics.overdue_at(POLICY), 90_000.0)
        quick.asking(10.0)
        quick.subscribing(1)
        self.assertEqual(self.topics.overdue_at(POLICY), 60_010.0)
        quick.acked(None, 11.0)
        self.assertEqual(self.topics.overdue_at(POLICY), 90_000.0)

    def test_removed_while_gone_through(self) -> None:
        """Going through them allows for removing; oldest first."""
        for name in "abc":
            self.add(name)
        seen = []
        for one in self.topics:
            seen.append(one.channel)
            self.topics.remove(one)
        self.assertEqual((seen, len(self.topics)), (["a", "b", "c"], 0))
