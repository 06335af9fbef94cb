"""Who is here, on a connection to one channel."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist import Grant, Presence, define_channel
from takotwist.testing.memory_socket import MemorySocket
from takotwist.testing.world import BEGINNING, World

CHAT = "/channels/chat"
FOLLOW = {"op": "subscribe", "ref": 1, "presence": True}


class ChannelRosterTests(SynchronousTestCase):
    """A token is a name, and ``name:until`` one that is good for a minute from then."""

    def setUp(self) -> None:
        channel = define_channel("chat", presence=Presence(grace=1))
        self.asked: list[tuple[str, str]] = []

        @channel.on("msg")
        def said(data: Any, context: Any) -> Any:
            return data

        @channel.verify(query_token=True)
        def verify(request: Any) -> Any:
            name, _, until = request.header.value.partition(":")
            self.asked.append((request.operation, name))
            if request.operation == "presence" and name == "nosy":
                return False
            expires = self.world.clock.seconds() + 60 if until else None
            return Grant(subject=name, expires_at=expires)

        self.world = World(channel)

    def connect(self, name: str = "ada", **more: Any) -> MemorySocket:
        return self.world.connect(CHAT, {"Authorization": name}, subprotocol="tako.v1", **more)

    def told(self, socket: MemorySocket) -> list[tuple[str, str]]:
        return [
            (one["type"], one["data"]["subject"])
            for one in socket.messages
            if one["type"].startswith("tako.")
        ]

    def test_follows(self) -> None:
        """It begins with all who are there, says when it is whole, and goes on; messages come
        beside it, and it is told who one is."""
        bob = self.connect("bob")
        ada = self.connect()
        self.world.advance(0.5)
        ada.say(FOLLOW)
        ack, synced = ada.ops[1:]
        self.assertEqual(
            {name: ack[name] for name in ("op", "ref", "presence", "subject", "channel")},
            {"op": "ack", "ref": 1, "presence": True, "subject": "ada", "channel": "chat"},
        )
        self.assertEqual((synced["op"], synced["ref"]), ("synced", 1))
        self.assertEqual(sorted(self.told(ada)), [("tako.join", "ada"), ("tako.join", "bob")])
        ada.say({"op": "presence", "ref": 2, "state": {"x": 1}})
        ada.say({"type": "msg", "ref": 3, "data": "hi"})
        self.world.advance(0.5)
        bob.leave()
        self.world.advance(2)
        kinds = [one["type"] for one in ada.messages[2:]]
        self.assertEqual(kinds, ["msg", "tako.update", "tako.leave"])
        ids = [int(one["id"]) for one in ada.messages[2:]]
        self.assertEqual(ids, sorted(ids))
        ada.say({"op": "unsubscribe", "ref": 4, "presence": True})
        self.assertEqual(ada.ops[-1], {"op": "ack", "ref": 4})
        self.connect("cy")
        self.world.advance(2)
        self.assertEqual(len(self.told(ada)), 4)

    def test_resumes(self) -> None:
        """By a cursor of its own; one that is none is a reset where that is asked for."""
        first = self.connect()
        first.say(FOLLOW)
        self.world.advance(0.5)
        cursor = first.messages[-1]["id"]
        first.leave()
        self.connect("bob")
        self.world.advance(0.5)
        again = self.connect()
        again.say({**FOLLOW, "cursor": cursor})
        self.assertEqual(self.told(again), [("tako.join", "bob")])
        other = self.connect()
        other.say({**FOLLOW, "cursor": "junk", "stale": "reset"})
        self.assertEqual([one["op"] for one in other.ops[1:]], ["ack", "reset", "synced"])
        self.assertTrue(other.ops[2]["presence"])

    def test_refused(self) -> None:
        """Twice, not at all, not allowed, without presence, in the plain dialect."""
        ada = self.connect()
        ada.say({"op": "unsubscribe", "ref": 1, "presence": True})
        ada.say(FOLLOW)
        ada.say({**FOLLOW, "ref": 2})
        ada.say({**FOLLOW, "ref": 3, "cursor": "junk"})
        errors = [(one["ref"], one["code"]) for one in ada.ops if one["op"] == "error"]
        self.assertEqual(errors, [(1, "not-found"), (2, "body-invalid"), (3, "cursor-invalid")])
        nosy = self.connect("nosy")
        nosy.say(FOLLOW)
        self.assertEqual(nosy.ops[-1]["code"], "verify-rejected")
        self.assertIsNone(nosy.close_reason)
        plain = self.world.connect(CHAT, {"Authorization": "ada"})
        plain.say(FOLLOW)
        self.world.advance(1)
        self.assertEqual((plain.ops, plain.close_reason), ([], None))
        none = define_channel("chat", forward_unhandled=True)
        socket = World(none).connect(CHAT, subprotocol="tako.v1")
        socket.say(FOLLOW)
        self.assertEqual(socket.ops[-1]["code"], "transport-not-enabled")
        mux = self.world.connect("/_tako/connect", subprotocol="tako.v1")
        mux.say(FOLLOW)
        self.assertEqual(mux.ops[-1]["error"], "channel is missing.")

    def test_credentials(self) -> None:
        """The app is asked about it with the newest credentials, and again with new ones."""
        socket = self.world.connect(CHAT, subprotocol="tako.v1")
        socket.say({"type": "tako.auth", "token": "ada:until"})
        self.world.advance(0.5)
        socket.say(FOLLOW)
        self.world.advance(30)
        socket.say({"type": "tako.auth", "token": "ada:until"})
        self.world.advance(50)
        self.assertEqual([kind for kind, _ in self.asked], ["connect", "presence"] * 2)
        self.connect("bob")
        self.world.advance(1)
        self.assertIn(("tako.join", "bob"), self.told(socket))
        self.assertLess(self.world.clock.seconds() - BEGINNING, 90)
        self.world.advance(20)
        self.assertEqual(socket.close_reason, (4401, "credentials-expired"))

    def test_connection_goes(self) -> None:
        """Nothing of it stays."""
        ada = self.connect()
        ada.say(FOLLOW)
        ada.leave()
        self.world.advance(10)
        self.assertEqual(self.world.parts.fanout.keys(), frozenset())
