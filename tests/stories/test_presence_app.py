"""What the app asks of who is here, and what it is told."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist import Presence, define_channel
from takotwist.app.presence import MemberEvent
from takotwist.codecs.registry_json import read_registry, write_registry
from takotwist.errors import BodyInvalid, DefinitionError
from takotwist.testing.memory_peer import HttpPeer
from takotwist.testing.world import BEGINNING, World
from takotwist.trampoline import started
from tests.stories.presence_room import ROOM, Cursor, Room, User, Watcher, chat


class AppTests(SynchronousTestCase):
    """What the app asks and is told."""

    def setUp(self) -> None:
        self.log: Any = None
        self.told: list[tuple[str, str, str, Any]] = []
        self.fails = False
        self.start()

    def start(self) -> None:
        self.channel = chat()

        @self.channel.on_join
        def joined(event: MemberEvent[Room]) -> None:
            member = event.member
            self.told.append((event.id, "join", event.params.room_id, member.info))
            if self.fails:
                raise ValueError("a hook that fails")

        @self.channel.on_leave
        async def left(event: MemberEvent[Room]) -> None:
            self.told.append((event.id, event.kind, event.params.room_id, event.member.subject))

        self.world = World(self.channel, log=self.log)
        self.log = self.world.parts.log

    def stream(self, name: str) -> HttpPeer:
        return self.world.subscribe(ROOM, {"Authorization": name})

    def test_asks(self) -> None:
        """The app has the list in its own types, and takes a member out."""
        ada = self.stream("ada")
        bob = Watcher(self.world, "bob").join()
        self.world.advance(0.5)
        bob.say({"x": 3})
        self.world.advance(0.5)
        room = self.channel(room_id="a")
        members = self.successResultOf(started(room.presence()))
        self.assertEqual(
            [(one.subject, one.info, one.state) for one in members],
            [("ada", User("Ada"), None), ("bob", User("Bob"), Cursor(3))],
        )
        self.assertEqual(members[0].since, BEGINNING)
        self.assertEqual(self.successResultOf(started(room.kick("ada"))), 1)
        self.assertTrue(ada.ended)
        self.world.advance(0.5)
        members = self.successResultOf(started(room.presence()))
        self.assertEqual([one.subject for one in members], ["bob"])

    def test_is_told(self) -> None:
        """Each join and leave, in order, once where nothing fails; updates are none."""
        ada = Watcher(self.world, "ada").join()
        self.world.advance(0.5)
        ada.say({"x": 1})
        self.world.advance(0.5)
        ada.socket.leave()
        self.world.advance(15)
        self.assertEqual(
            [one[1:] for one in self.told], [("join", "a", User("Ada")), ("leave", "a", "ada")]
        )
        self.assertEqual(len({one[0] for one in self.told}), 2)

    def test_is_told_after_a_restart(self) -> None:
        """What was stored and not told is told by the next run, and nothing else again."""
        self.stream("ada")
        self.world.advance(1)
        self.world.parts.presence.store.events.hooks.stop()
        self.stream("bob")
        self.world.advance(1)
        self.assertEqual([one[3] for one in self.told], [User("Ada")])
        self.world.parts.presence.stop()
        self.start()
        self.world.advance(1)
        self.assertEqual([one[3] for one in self.told], [User("Ada"), User("Bob")])

    def test_hook_that_fails(self) -> None:
        """It has been told, and holds up nobody."""
        self.fails = True
        self.stream("ada")
        self.world.advance(1)
        self.stream("bob")
        self.world.advance(30)
        self.assertEqual([one[3] for one in self.told], [User("Ada"), User("Bob")])
        self.assertEqual(len(self.flushLoggedErrors()), 0)

    def test_definitions(self) -> None:
        """What cannot be is refused where it is written."""
        for bad in (
            {"presence": "all"},
            {"presence": Presence(grace=-1)},
            {"presence": Presence(max_members=0)},
            {"presence": Presence(mode="few")},  # type: ignore[arg-type]
            {"presence": Presence(info=object)},
        ):
            with self.assertRaises(DefinitionError):
                define_channel("chat", **bad)  # type: ignore[arg-type]
        plain = define_channel("plain")
        self.assertRaises(DefinitionError, plain.on_join, lambda event: None)
        self.assertRaises(DefinitionError, self.channel.on_join, lambda event: None)
        read = read_registry(write_registry([self.channel.definition]))[0].presence
        own = self.channel.definition.presence
        assert read is not None and own is not None
        self.assertEqual((read.grace_ms, read.hooks), (own.grace_ms, own.hooks))
        assert read.state is not None
        self.assertRaises(BodyInvalid, read.state.check, b'{"x":"1"}')
