"""Who is here, as a program sees it whose connection a test speaks for."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.client.errors import SubscriptionClosed
from takotwist.client.presence import Member
from takotwist.client.twisted import connect
from takotwist.errors import NotFound, VerifyRejected

OPEN = {"op": "open", "lifecycle": {"keepaliveIntervalMs": 25000}}


class NoEndpoint:
    """A server that is never reached: what it says the test says."""

    def connect(self, factory: object) -> Deferred[object]:
        return Deferred()


class PresenceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        endpoint: Any = NoEndpoint()
        self.server = connect(self.clock, "http://x.example", endpoint=endpoint)
        self.machine: Any = self.server._connection.machine
        self.sent: list[dict[str, Any]] = []
        line: Any = self
        self.chat = self.server.subscribe("chat")
        self.people = self.chat.presence
        # In the place of a connection.
        self.server._driver._line = line
        self.machine.opened("tako.v1", 0.0)
        self.say(**OPEN)
        self.room, self.roster = (frame["ref"] for frame in self.sent if frame["op"] == "subscribe")
        self.events: list[tuple[str, str]] = []

    def send(self, text: str) -> None:
        """As a line does."""
        self.sent.append(msgspec.json.decode(text))

    def say(self, **frame: Any) -> None:
        """The server says something."""
        self.machine.text_received(msgspec.json.encode(frame), self.clock.seconds() * 1000)
        self.server._driver.pump()

    def member(self, id: int, kind: str, subject: str, **more: Any) -> None:
        data = {"subject": subject, "since": id, **more}
        self.say(id=str(id), channel="chat", params={}, type=f"tako.{kind}", data=data)

    def begin(self) -> None:
        self.say(op="ack", ref=self.room, cursor="1", params={})
        self.say(op="ack", ref=self.roster, cursor="0", params={}, presence=True, subject="ada")
        self.member(2, "join", "bob")
        self.member(3, "join", "ada", info={"name": "Ada"})

    def synced(self) -> None:
        self.say(op="synced", ref=self.roster, cursor="3", params={}, presence=True)

    def test_list(self) -> None:
        """It is whole when the server says so, in the order in which they came, with oneself."""
        whole = Deferred.fromCoroutine(self.people.whole())
        self.begin()
        self.assertNoResult(whole)
        self.assertFalse(self.people.synced)
        self.synced()
        self.assertIs(self.successResultOf(whole), self.people)
        self.assertEqual([one.subject for one in self.people.members], ["bob", "ada"])
        me = self.people.me
        assert me is not None
        self.assertEqual((me.subject, me.info), ("ada", {"name": "Ada"}))
        self.say(id="4", channel="chat", params={}, type="tako.count", data={"count": 7})
        self.assertEqual(self.people.guests, 7)

    def test_handlers(self) -> None:
        """They are called for what comes once the list is whole; one that fails harms nobody,
        and one that was taken off is not called."""

        def fails(member: Member) -> None:
            raise ValueError("a handler that fails")

        changes: list[int] = []
        self.people.on_join(fails)
        for kind in ("join", "leave", "update"):
            on = getattr(self.people, f"on_{kind}")
            end = on(lambda member, kind=kind: self.events.append((kind, member.subject)))
        self.people.on_change(lambda: changes.append(len(self.people.members)))
        self.begin()
        self.synced()
        self.assertEqual((self.events, changes), ([], [2]))
        with self.assertLogs("takotwist.client", "ERROR"):
            self.member(5, "join", "cy")
        self.member(6, "update", "cy", state=1)
        end()
        end()
        self.member(7, "update", "cy", state=2)
        self.member(8, "leave", "cy")
        self.assertEqual(self.events, [("join", "cy"), ("update", "cy"), ("leave", "cy")])
        self.assertEqual(changes, [2, 3, 3, 3, 2])

    def test_reset(self) -> None:
        """A list that begins anew is not whole until it is said again."""
        self.begin()
        self.synced()
        self.say(op="reset", ref=self.roster, reason="replay-too-old", cursor="0", presence=True)
        self.assertEqual((self.people.synced, self.people.members), (False, []))
        self.member(9, "join", "cy")
        self.synced()
        self.assertEqual([one.subject for one in self.people.members], ["cy"])

    def test_update(self) -> None:
        """It is answered; a function is given the last; what is refused was not said."""
        self.begin()
        first: Any = self.people.update({"x": 1})
        frame = self.sent[-1]
        self.assertEqual((frame["op"], frame["state"]), ("presence", {"x": 1}))
        self.assertNotIn("presence", frame)
        self.say(op="ack", ref=frame["ref"])
        self.assertIsNone(self.successResultOf(first))
        second: Any = self.people.update(lambda last: {**last, "y": 2})
        self.assertEqual(self.sent[-1], frame)
        self.clock.advance(0.2)
        frame = self.sent[-1]
        self.assertEqual(frame["state"], {"x": 1, "y": 2})
        self.say(op="error", ref=frame["ref"], code="not-found", error="no member")
        self.failureResultOf(second, NotFound)

    def test_says_again(self) -> None:
        """A topic that ends and begins anew is told again, on the same connection too."""
        self.begin()
        said: Any = self.people.update({"x": 1})
        self.say(op="ack", ref=self.sent[-1]["ref"])
        self.successResultOf(said)
        self.say(op="error", ref=self.room, code="store-unavailable", error="for now")
        self.clock.advance(5)
        again = self.sent[-1]
        self.assertEqual((again["op"], again.get("presence")), ("subscribe", None))
        self.say(op="ack", ref=again["ref"], cursor="1", params={})
        frame = self.sent[-1]
        self.assertEqual((frame["op"], frame["state"]), ("presence", {"x": 1}))

    def test_refused(self) -> None:
        """Whoever waits for the list is told; the topic itself goes on."""
        whole = Deferred.fromCoroutine(self.people.whole())
        self.say(op="error", ref=self.roster, code="verify-rejected", error="not you")
        self.failureResultOf(whole, VerifyRejected)
        self.say(op="ack", ref=self.room, cursor="1", params={})
        self.say(id="2", channel="chat", params={}, type="msg", data=1)
        self.assertEqual(self.chat.cursor, "1")

    def test_closes(self) -> None:
        """With its subscription, and alone."""
        self.begin()
        whole = Deferred.fromCoroutine(self.people.whole())
        said: Any = self.people.update(1)
        self.successResultOf(Deferred.fromCoroutine(self.chat.close()))
        left = [one.get("presence", False) for one in self.sent if one["op"] == "unsubscribe"]
        self.assertEqual(left, [True, False])
        self.failureResultOf(whole, SubscriptionClosed)
        self.failureResultOf(said, SubscriptionClosed)
        again = Deferred.fromCoroutine(self.chat.presence.whole())
        self.failureResultOf(again, SubscriptionClosed)
