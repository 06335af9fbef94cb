"""One client's membership of a broadcast key: who hears what, and until when."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.errors import CursorInvalid
from takotwist.live import BroadcastChannel, Replay, UsageError
from takotwist.live.broadcast.broadcast import (
    Broadcasts,
    default_broadcasts,
    set_default_broadcasts,
)
from takotwist.live.broadcast.bus import Bus
from tests.live.objects.pair import Pair


class BroadcastChannelTests(SynchronousTestCase):
    """Members of one key, on a bus of their own."""

    def setUp(self) -> None:
        self.addCleanup(set_default_broadcasts, default_broadcasts())
        self.broadcasts = Broadcasts(Bus())
        set_default_broadcasts(self.broadcasts)

    def member(self, key: str = "k", **options: Any) -> Pair:
        """A member whose page has attached."""
        pair = Pair(lambda: BroadcastChannel(key=key, **options), self.broadcasts)
        pair.attach()
        return pair

    def test_reaches_all(self) -> None:
        """A page's publication reaches every subscriber of the key, also its own page."""
        ann, bob, other = self.member(), self.member(), self.member("other")
        heard: list[object] = []
        bob.one.subscribe(lambda data, receipt: heard.append((data, receipt.seq)))
        for one in (ann, bob, other):
            one.say("subscribe", kind="text")
        ann.say("publish", {"a": 1})
        self.assertEqual(ann.sent("published"), [{"a": 1}])
        self.assertEqual(bob.sent("published"), [{"a": 1}])
        self.assertEqual(other.sent("published"), [])
        self.assertEqual(heard, [({"a": 1}, 1)])

    def test_answered(self) -> None:
        """Who publishes is told the place of it; the wire never has the key."""
        ann = self.member("secret-key")
        ann.say("publish", 1)
        [answer] = ann.sent("ack")
        self.assertEqual(answer["seq"], 1)
        self.assertNotIn("secret-key", repr(ann.session.sent))

    def test_kinds_apart(self) -> None:
        """Who subscribed to text gets no bytes, and the other way round."""
        ann, bob = self.member(), self.member()
        ann.say("subscribe", kind="text")
        bob.say("subscribe", kind="binary")
        bob.one.publish("text")
        bob.one.publish_binary(b"\x00\x01")
        self.assertEqual(ann.sent("published"), ["text"])
        self.assertEqual(bob.sent("published"), [b"\x00\x01"])

    def test_subscribed_twice(self) -> None:
        """A page that says so again is answered, and gets everything once."""
        ann = self.member()
        ann.say("subscribe", kind="text", ack=True)
        ann.say("subscribe", kind="text", ack=True)
        self.assertEqual(len(ann.sent("ack")), 2)
        ann.one.publish(1)
        self.assertEqual(ann.sent("published"), [1])

    def test_unsubscribed(self) -> None:
        """No more of that kind."""
        ann = self.member()
        ann.say("subscribe", kind="text")
        ann.say("unsubscribe", kind="text")
        ann.one.publish(1)
        self.assertEqual(ann.sent("published"), [])

    def test_checked(self) -> None:
        """What does not fit the type is refused, and reaches nobody."""
        ann = Pair(lambda: BroadcastChannel[int](key="k"), self.broadcasts)
        ann.attach()
        ann.say("subscribe", kind="text")
        ann.say("publish", "no number")
        ann.say("publish", 7)
        self.assertEqual(ann.sent("published"), [7])
        answers = [one for one in ann.session.sent if one.do == "ack"]
        self.assertIsNotNone(answers[0].error)
        self.assertIsNone(answers[1].error)

    def test_no_channel(self) -> None:
        """It has no send and listen, neither for the app nor for the page."""
        ann = self.member()
        for wrong in (ann.one.send, ann.one.send_binary, ann.one.listen, ann.one.listen_binary):
            self.assertRaises(UsageError, wrong, "x")
        self.assertRaises(UsageError, lambda: ann.one.client)
        ann.say("send", "x", ack=True)
        [answer] = [one for one in ann.session.sent if one.do == "ack"]
        self.assertEqual(answer.error.code, "failed")

    def test_ended(self) -> None:
        """With its end all subscriptions end, and later ones are none; publishing goes on."""
        ann, bob = self.member(), self.member()
        heard: list[object] = []
        unsubscribe = ann.one.subscribe(lambda data, receipt: heard.append(data))
        ann.say("subscribe", kind="text")
        bob.say("subscribe", kind="text")
        ann.one.abort()
        ann.one.subscribe(lambda data, receipt: heard.append(data))()
        unsubscribe()
        ann.one.publish("late")
        self.assertEqual((heard, ann.sent("published")), ([], []))
        self.assertEqual(bob.sent("published"), ["late"])
        bob.one.abort()
        self.assertNotIn("k", self.broadcasts.bus)

    def test_options(self) -> None:
        """What cannot be is refused where it is made."""
        for wrong in (
            {"key": ""},
            {"key": "k", "after": "1"},
            {"key": "k", "replay": Replay(), "overflow": "drop-oldest"},
            # Nothing is kept without a server.
            {"key": "k", "replay": Replay()},
        ):
            options: dict[str, Any] = dict(wrong)
            self.assertRaises(UsageError, lambda options=options: BroadcastChannel(**options))
        self.assertRaises(
            CursorInvalid, lambda: BroadcastChannel(key="k", replay=Replay(), after="x")
        )

    @given(st.lists(st.tuples(st.sampled_from(["publish", "join", "leave"]), st.booleans())))
    def test_all_of_what_comes_meanwhile(self, steps: list[tuple[str, bool]]) -> None:
        """A page gets, in order, all of a kind that is published while it is subscribed to it."""
        pair = Pair(lambda: BroadcastChannel(key="law"), self.broadcasts)
        pair.attach()
        subscribed: set[str] = set()
        expected: list[object] = []
        for number, (step, binary) in enumerate(steps):
            kind = "binary" if binary else "text"
            if step == "join":
                pair.say("subscribe", kind=kind)
                subscribed.add(kind)
            elif step == "leave":
                pair.say("unsubscribe", kind=kind)
                subscribed.discard(kind)
            elif binary:
                pair.one.publish_binary(msgspec.json.encode(number))
            else:
                pair.one.publish(number)
            if step == "publish" and kind in subscribed:
                expected.append(msgspec.json.encode(number) if binary else number)
        self.assertEqual(pair.sent("published"), expected)
        pair.one.abort()
        self.assertNotIn("law", self.broadcasts.bus)
