"""A session owns subscriptions, and gives back all that it took when it closes."""

from __future__ import annotations

from takotwist.errors import (
    BodyInvalid,
    CredentialsExpired,
    RateLimited,
    ReplayTooOld,
    StoreUnavailable,
)
from takotwist.flow.session import Subscribed
from tests.flow.session_case import SessionTestCase


class TestSession(SessionTestCase):
    """One connection and the topics that it follows."""

    def test_subscribe(self) -> None:
        """A subscription begins with its cursor, and then receives."""
        session = self.open()
        authorized = self.authorized()
        begun, ends = self.subscribe(session, authorized, 0)
        self.world.settle()
        self.assertEqual(begun[0], self.world.log.head)
        self.assertIsInstance(begun[1], Subscribed)
        self.world.publish(authorized.asked.topic, 1)
        self.world.log.settle()
        (message,) = self.world.stored[authorized.asked.topic.key]
        self.assertEqual((self.received, ends), ([b"%d " % message], []))

    def test_twice(self) -> None:
        """A topic is followed once; a second time is refused, and the first stays."""
        session = self.open()
        self.world.publish(self.authorized().asked.topic, 1)
        self.world.log.settle()
        self.subscribe(session, self.authorized())
        begun, _ = self.subscribe(session, self.authorized())
        self.assertIsInstance(begun[0], BodyInvalid)
        self.assertEqual(self.world.metrics.subscriptions, 1)

    def test_too_many(self) -> None:
        """A connection follows as many topics as it may, and another after one is left."""
        session = self.open()
        self.world.log.head = 1
        keys = []
        for room in "ab":
            keys.append(self.authorized(room).asked.topic.key)
            self.subscribe(session, self.authorized(room))
        begun, _ = self.subscribe(session, self.authorized("c"))
        self.assertIsInstance(begun[0], RateLimited)
        self.assertTrue(session.unsubscribe(keys[0]))
        self.assertFalse(session.unsubscribe(keys[0]))
        begun, _ = self.subscribe(session, self.authorized("c"))
        self.assertEqual(begun[0], 1)

    def test_names(self) -> None:
        """Names of topics are bounded for a connection, and given back with the topic."""
        session = self.open()
        self.world.log.head = 1
        begun, _ = self.subscribe(session, self.authorized("x" * 60))
        self.assertIsInstance(begun[0], RateLimited)
        self.subscribe(session, self.authorized("a"))
        self.assertEqual(self.names.count, 1)
        session.unsubscribe(self.authorized("a").asked.topic.key)
        self.assertEqual((self.names.count, self.names.bytes), (0, 0))

    def test_refused(self) -> None:
        """A subscription that cannot begin leaves nothing behind."""
        session = self.open()
        self.world.log.head = 0
        begun, _ = self.subscribe(session, self.authorized())
        self.assertIsInstance(begun[0], StoreUnavailable)
        self.assertEqual(session.subscribed, {})
        self.assertEqual((self.names.count, self.world.metrics.subscriptions), (0, 0))

    def test_closed_meanwhile(self) -> None:
        """A page for a connection that has closed begins nothing."""
        session = self.open()
        self.world.publish(self.authorized().asked.topic, 1)
        self.world.log.settle()
        self.world.tails.clear()
        begun, ends = self.subscribe(session, self.authorized(), 0)
        session.close("gone")
        self.world.settle()
        self.assertEqual((begun, ends), ([None], []))

    def test_closed_before(self) -> None:
        """A session that has closed follows nothing, and holds nothing."""
        session = self.open()
        self.world.log.head = 1
        session.close("gone")
        begun, ends = self.subscribe(session, self.authorized(subject="ann"))
        self.assertEqual((begun, ends, session.subscribed), ([None], [], {}))
        self.assertEqual((self.names.count, self.world.metrics.subscriptions), (0, 0))
        self.assertEqual(len(self.limits.by_subject), 0)

    def test_left_and_followed_again_meanwhile(self) -> None:
        """A topic that was left while its page was read may be followed anew before it comes."""
        session = self.open()
        authorized = self.authorized()
        self.world.publish(authorized.asked.topic, 1)
        self.world.log.settle()
        self.world.tails.clear()
        first, _ = self.subscribe(session, authorized, 0)
        session.unsubscribe(authorized.asked.topic.key)
        second, ends = self.subscribe(session, authorized)
        self.world.settle()
        self.assertEqual((first, ends), ([None], []))
        self.assertEqual([one.admitted for one in session.subscribed.values()], [authorized])
        self.assertIs(second[1], session.subscribed[authorized.asked.topic.key])
        self.assertEqual(self.world.metrics.subscriptions, 1)

    def test_ended_by_the_server(self) -> None:
        """A subscription that the server ends is told once, and its topic is left."""
        session = self.open()
        self.world.log.head = 1
        _, ends = self.subscribe(session, self.authorized())
        (subscribed,) = session.subscribed.values()
        subscribed.ended(ReplayTooOld())
        subscribed.subscription.on_end(ReplayTooOld())
        self.assertEqual([type(one) for one in ends], [ReplayTooOld])
        self.assertEqual(session.subscribed, {})

    def test_expiry(self) -> None:
        """A subscription ends when its grant is void, and not before."""
        session = self.open()
        self.world.log.head = 1
        now = self.world.clock.seconds()
        _, ends = self.subscribe(session, self.authorized(expires_at=int(now) + 10))
        self.advance(9.0)
        self.assertEqual(ends, [])
        self.advance(2.0)
        self.assertEqual([type(one) for one in ends], [CredentialsExpired])

    def test_refresh(self) -> None:
        """A newer grant takes the place of the old one's expiry."""
        session = self.open()
        self.world.log.head = 1
        now = int(self.world.clock.seconds())
        _, ends = self.subscribe(session, self.authorized(expires_at=now + 10))
        (subscribed,) = session.subscribed.values()
        session.refresh(subscribed, self.authorized(expires_at=now + 30))
        self.advance(20.0)
        self.assertEqual(ends, [])
        self.advance(15.0)
        self.assertEqual([type(one) for one in ends], [CredentialsExpired])

    def test_refresh_of_what_has_ended(self) -> None:
        """Credentials that come too late change nothing, also for who follows the topic anew."""
        session = self.open()
        self.world.log.head = 1
        now = int(self.world.clock.seconds())
        _, ends = self.subscribe(session, self.authorized(expires_at=now + 10))
        (late,) = session.subscribed.values()
        self.assertTrue(session.refresh(late, self.authorized(expires_at=now + 11)))
        self.advance(12.0)
        self.assertEqual([type(one) for one in ends], [CredentialsExpired])
        _, ends = self.subscribe(session, self.authorized())
        self.assertFalse(session.refresh(late, self.authorized(expires_at=now + 20)))
        self.advance(12.0)
        late.expired()
        self.assertEqual((ends, len(session.subscribed)), ([], 1))

    def test_lifetime(self) -> None:
        """A session ends normally after its lifetime, less a spread of up to a tenth."""
        self.open().live_until(100_000)
        self.advance(94.0)
        self.assertEqual(self.ends, [])
        self.advance(2.0)
        self.assertEqual(self.ends, [None])

    def test_later(self) -> None:
        """A second deadline of one name replaces the first; a closed session has none."""
        session = self.open()
        done: list[str] = []
        session.later("ping", self.world.clock.seconds() + 1, lambda: done.append("first"))
        session.later("ping", self.world.clock.seconds() + 2, lambda: done.append("second"))
        session.later("idle", self.world.clock.seconds() + 2, lambda: done.append("idle"))
        session.cancel("idle")
        session.cancel("idle")
        self.advance(5.0)
        self.assertEqual(done, ["second"])
        session.close("gone")
        session.later("ping", self.world.clock.seconds(), lambda: done.append("late"))
        self.advance(5.0)
        self.assertEqual(done, ["second"])

    def test_close(self) -> None:
        """Closing gives back places, names, deadlines and subscriptions, once."""
        session = self.open()
        self.world.log.head = 1
        now = int(self.world.clock.seconds())
        _, ends = self.subscribe(session, self.authorized(subject="ann", expires_at=now + 10))
        session.live_until(1000)
        session.close("gone")
        session.close("gone")
        self.assertTrue(session.closed)
        self.assertEqual((len(self.sessions), self.limits.open, self.names.count), (0, 0, 0))
        self.assertEqual((len(self.limits.by_address), len(self.limits.by_subject)), (0, 0))
        self.assertEqual(len(self.world.deadlines), 0)
        self.assertEqual(self.world.fanout.keys(), frozenset())
        self.assertEqual(self.world.metrics.connections["sse"], 0)
        self.assertEqual((ends, self.ends), ([], []))
        self.assertFalse(session.send_queue.deliver(b"late"))

    def test_other_subject(self) -> None:
        """New credentials of another count for that one, and no more for the one before."""
        session, other = self.open(), self.open()
        self.world.log.head = 1
        ann, bob, guest = (self.authorized(subject=who) for who in ("ann", "bob", None))
        self.subscribe(session, ann)
        [subscribed] = session.subscribed.values()
        self.subscribe(other, bob)
        self.assertRaises(RateLimited, session.refresh, subscribed, bob)
        self.assertIs(subscribed.admitted, ann)
        other.close("gone")
        self.assertTrue(session.refresh(subscribed, bob))
        self.assertEqual((session.subject, len(self.limits.by_subject)), ("bob", 1))
        third = self.open()
        for who, outcome in ((ann, 1), (bob, RateLimited)):
            begun, _ = self.subscribe(third, who)
            self.assertIn(outcome, (begun[0], type(begun[0])))
            third.unsubscribe(who.asked.topic.key)
        self.assertTrue(session.refresh(subscribed, guest))
        begun, _ = self.subscribe(third, bob)
        self.assertEqual(begun, [1, third.subscribed[bob.asked.topic.key]])
        session.close("gone")
        third.close("gone")
        self.assertEqual(len(self.limits.by_subject), 0)

    def test_subject(self) -> None:
        """A subject counts once for a connection, and is bounded over all of them."""
        session, other = self.open(), self.open()
        self.world.log.head = 1
        for room in "ab":
            self.subscribe(session, self.authorized(room, subject="ann"))
        self.assertEqual(session.subject, "ann")
        begun, _ = self.subscribe(other, self.authorized(subject="ann"))
        self.assertIsInstance(begun[0], RateLimited)
        self.assertIsNone(other.subject)
        session.close("gone")
        begun, _ = self.subscribe(other, self.authorized(subject="ann"))
        self.assertEqual(begun[0], 1)
