"""Members of a channel's own presence, as Pusher's clients are shown them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.memory.log import InMemoryReplayLog
from takotwist.core.channel import Lifecycle
from takotwist.core.log import Page
from takotwist.core.roster_messages import COUNT, JOIN, LEAVE, UPDATE, roster_of, say
from takotwist.core.topic import Draft, Topic
from takotwist.facades.pusher.members import RosterMembers
from takotwist.testing.world import World

ROOM = Topic.of("room", {"id": "1"})


class _Changes:
    """See `MemberChanges`; has no members but these."""

    def __init__(self) -> None:
        self.roster: RosterMembers
        self.told: list[dict[str, bytes]] = []

    def members(self, name: str) -> dict[str, msgspec.Raw]:
        """See `MemberChanges`."""
        assert name == "presence-room-1"
        return dict(self.roster.shown)

    def elsewhere_changed(self, name: str, before: Mapping[str, msgspec.Raw]) -> None:
        """See `MemberChanges`."""
        assert name == "presence-room-1"
        self.told.append({user: bytes(info) for user, info in before.items()})


class MembersTests(SynchronousTestCase):
    """A roster of which the test writes the messages."""

    def setUp(self) -> None:
        self.world, self.hub = World(), _Changes()
        parts = self.world.parts
        self.members = self.hub.roster = RosterMembers(
            "presence-room-1", ROOM, self.hub, parts.publishing, parts.attacher
        )
        self.says("n1", JOIN, "ann", info={"n": 1})
        self.members.start()
        self.world.advance(0.1)

    def says(self, node: str, kind: str, subject: str | None, **more: object) -> None:
        """A node says something of a member."""
        draft = Draft(kind, say(node, subject=subject, **more))
        self.world.parts.publishing.publish(roster_of(ROOM), [draft], Lifecycle())
        self.world.advance(0.1)

    def shown(self) -> dict[str, bytes]:
        return {user: bytes(info) for user, info in self.members.shown.items()}

    def test_whole(self) -> None:
        """Who was there before is shown, from the beginning of the roster."""
        self.assertEqual(self.shown(), {"ann": b'{"n":1}'})
        self.assertEqual(self.hub.told, [{}])

    def test_changes(self) -> None:
        """Who comes, changes and leaves, each with who was there before."""
        self.says("n1", JOIN, "bob")
        self.says("n1", UPDATE, "bob", info=[2])
        self.assertEqual(self.shown(), {"ann": b'{"n":1}', "bob": b"[2]"})
        self.says("n1", LEAVE, "ann")
        self.assertEqual(self.shown(), {"bob": b"[2]"})
        ann = {"ann": b'{"n":1}'}
        self.assertEqual(self.hub.told, [{}, ann, {**ann, "bob": b"null"}, {**ann, "bob": b"[2]"}])

    def test_nodes(self) -> None:
        """A member is there while any node says so."""
        self.says("n2", JOIN, "ann", info={"n": 1})
        self.says("n1", LEAVE, "ann")
        self.assertEqual(self.shown(), {"ann": b'{"n":1}'})
        self.says("n2", LEAVE, "ann")
        self.assertEqual(self.shown(), {})

    def test_guests(self) -> None:
        """How many are no members changes nothing."""
        self.says("n1", COUNT, None, count=3)
        self.assertEqual((self.shown(), self.hub.told), ({"ann": b'{"n":1}'}, [{}]))

    def test_stopped(self) -> None:
        """Nothing is heard any more."""
        self.members.stop()
        self.says("n1", JOIN, "bob")
        self.assertEqual((self.shown(), self.hub.told), ({"ann": b'{"n":1}'}, [{}]))

    def test_begun_anew(self) -> None:
        """Where the roster had to be read anew, who is not in it any more has left; until it was
        read, however long that takes, nobody has, and who is named again never had."""
        self.says("n1", JOIN, "bob")
        parts, roster, told = self.world.parts, roster_of(ROOM), len(self.hub.told)
        parts.attacher.interrupted(roster.key, parts.log.head)
        draft = Draft(JOIN, say("n1", subject="ann", info={"n": 1}))
        parts.publishing.publish(roster, [draft], Lifecycle(replay_max_messages=1))
        slow: Deferred[None] = Deferred()
        read = InMemoryReplayLog.read

        def slowly(log: InMemoryReplayLog, *arguments: Any) -> Deferred[Page]:
            return slow.addCallback(lambda _: read(log, *arguments))

        self.patch(InMemoryReplayLog, "read", slowly)
        self.world.advance(60)
        self.assertEqual((set(self.shown()), len(self.hub.told)), ({"ann", "bob"}, told))
        slow.callback(None)
        self.world.advance(0.1)
        self.assertEqual(set(self.shown()), {"ann"})
        self.assertEqual(self.hub.told[told:], [{"ann": b'{"n":1}', "bob": b"null"}] * 2)
