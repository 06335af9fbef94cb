"""Who is here, as a Python program sees it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist.client.events import Message, Reset
from takotwist.client.machine.machine import Connect
from takotwist.client.options import SubscriptionOptions
from takotwist.client.presence import Change, Member, Roster
from takotwist.client.target import Target


def said(id: int, kind: str, **data: object) -> Message:
    """A message of a roster."""
    return Message(str(id), "chat", f"tako.{kind}", dict(data))


class RosterTests(SynchronousTestCase):
    def test_changes(self) -> None:
        """Joins, updates and leaves, each with the member; what changes nothing is none."""
        roster = Roster()
        ada = Member("ada", {"name": "Ada"}, None, 1.5)
        joined = roster.take(said(1, "join", subject="ada", since=1500, info={"name": "Ada"}))
        self.assertEqual(joined, Change("join", ada))
        moved = roster.take(said(2, "update", subject="ada", since=1500, state=[1]))
        assert moved is not None
        self.assertEqual((moved.kind, moved.member.state), ("update", [1]))
        self.assertIsNone(roster.take(said(3, "leave", subject="bob")))
        self.assertIsNone(roster.take(said(4, "count", count=3)))
        self.assertIsNone(roster.take(Message("5", "chat", "msg", 1)))
        self.assertEqual((sorted(roster.members), roster.guests), (["ada"], 3))
        left = roster.take(said(6, "leave", subject="ada"))
        self.assertEqual(left, Change("leave", moved.member))
        self.assertEqual(roster.members, {})

    def test_nodes(self) -> None:
        """A member is here while any node says so."""
        roster = Roster()
        for number, node in enumerate(("n1", "n2")):
            roster.take(said(number, "join", subject="ada", on=node, since=1))
        self.assertIsNone(roster.take(said(5, "leave", subject="ada", on="n1")))
        self.assertIn("ada", roster.members)
        self.assertIsNotNone(roster.take(said(6, "leave", subject="ada", on="n2")))

    def test_two_tabs(self) -> None:
        """A tab on another node takes nothing back; where the first closes, what was last said on
        the other counts, and since when is the earliest."""
        roster = Roster()
        first = {"on": "n1", "info": {"name": "Ada"}, "state": 1}
        roster.take(said(1, "join", subject="ada", since=1000, **first))
        self.assertIsNone(roster.take(said(2, "join", subject="ada", on="n2", since=2000)))
        ada = Member("ada", {"name": "Ada"}, 1, 1.0)
        self.assertEqual(roster.members, {"ada": ada})
        roster.take(said(3, "update", subject="ada", on="n2", since=2000, state=2))
        self.assertEqual(roster.members["ada"], Member("ada", {"name": "Ada"}, 2, 1.0))
        change = roster.take(said(4, "leave", subject="ada", on="n1"))
        self.assertEqual(change, Change("update", Member("ada", None, 2, 2.0)))

    def test_reset(self) -> None:
        """What comes after a reset is the list from its beginning."""
        roster = Roster()
        roster.take(said(1, "join", subject="ada", since=1))
        self.assertIsNone(roster.take(Reset("replay-too-old", "0")))
        self.assertEqual(roster.members, {})

    def test_request(self) -> None:
        """It is an event stream at the roster's address."""
        options = SubscriptionOptions("chat", {"roomId": "a"}, None, None, "reset", presence=True)
        url, _ = options.sse(Target.of("https://x.example"), Connect("sse", None, False), None)
        self.assertEqual(url, "https://x.example/_tako/channels/chat/presence?roomId=a")
