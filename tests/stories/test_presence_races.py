"""Who is here where two things happen at once: the list is right, and each is told once."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from takotwist import Grant, Presence, Reject, VerifyRequest, define_channel
from takotwist.testing.manual_log import ManualLog
from takotwist.testing.memory_peer import HttpPeer
from takotwist.testing.world import World
from tests.stories.presence_room import ROOM, WHO, PresenceCase, Room, Watcher

ON_TOPIC = {"channel": "chat", "params": {"roomId": "a"}}


class ManualCase(PresenceCase):
    """A server whose log answers when told."""

    def setUp(self) -> None:
        super().setUp()
        self.watcher = Watcher(self.world).follow()
        self.manual = self.log = ManualLog(self.log)
        self.start()
        self.settle(1)
        self.watcher = Watcher(self.world).follow()
        self.settle(1)

    def settle(self, seconds: float) -> None:
        """Time passes, and the log answers."""
        for _ in range(round(seconds * 4)):
            self.world.clock.advance(0.25)
            self.manual.settle()

    def seen(self) -> list[tuple[str, str]]:
        """What the watcher was told, after a while."""
        self.settle(12)
        self.watcher.read()
        return [one for one in self.watcher.events if one[0] != "update"]


class JoiningTests(ManualCase):
    """Somebody is about to follow: they were let in, and their page has not been read."""

    def joining(self, name: str) -> HttpPeer:
        stream = self.world.subscribe(f"{ROOM}&lastEventId=0", {"Authorization": name})
        self.assertEqual(self.manual.reads_waiting, 1)
        return stream

    def subscribing(self, name: str) -> Watcher:
        watcher = Watcher(self.world, name)
        watcher.socket.say({"op": "subscribe", "ref": 1, **ON_TOPIC, "cursor": "0"})
        self.assertEqual(self.manual.reads_waiting, 1)
        return watcher

    def test_kick(self) -> None:
        """They are out, as if they had come already."""
        ada = self.joining("ada")
        answer = self.world.request("DELETE", f"{WHO}&subject=ada", private=True)
        self.assertEqual(answer.json, {"connections": 1})
        self.assertEqual(self.seen(), [])
        self.assertTrue(ada.ended)

    def test_kick_of_a_socket(self) -> None:
        """On a connection with many topics they are told so, about that one."""
        ada = self.subscribing("ada")
        self.world.request("DELETE", f"{WHO}&subject=ada", private=True)
        self.assertEqual(self.seen(), [])
        self.assertEqual(ada.socket.ops[-1]["code"], "verify-rejected")
        ada.join()
        self.assertEqual(self.seen(), [("join", "ada")])

    def test_revoked(self) -> None:
        """What they were let in with is void."""
        self.joining("ada")
        self.assertEqual(self.world.parts.sessions.end_subjects({"ada"}, lambda channel: True), 1)
        self.assertEqual(self.seen(), [])

    def test_goes(self) -> None:
        """They close the page, or unsubscribe."""
        self.joining("ada").leave()
        self.manual.settle()
        bob = self.subscribing("bob")
        bob.socket.say({"op": "unsubscribe", "ref": 2, **ON_TOPIC})
        self.assertEqual(self.seen(), [])

    def test_comes_again(self) -> None:
        """They unsubscribe and subscribe before the page comes."""
        ada = self.subscribing("ada")
        ada.socket.say({"op": "unsubscribe", "ref": 2, **ON_TOPIC})
        ada.socket.say({"op": "subscribe", "ref": 3, **ON_TOPIC})
        self.assertEqual(self.seen(), [("join", "ada")])
        ada.socket.leave()
        self.assertEqual(self.seen(), [("join", "ada"), ("leave", "ada")])

    def test_log_fails(self) -> None:
        """Their page cannot be read."""
        ada = self.joining("ada")
        self.manual.broken = True
        self.manual.settle()
        self.manual.broken = False
        self.assertEqual((ada.status, self.seen()), (503, []))


class AskingTests(SynchronousTestCase):
    """The app is being asked about somebody who is kicked."""

    def setUp(self) -> None:
        self.answers: list[Deferred[Grant]] = []
        channel = define_channel("chat", params=Room, presence=Presence())

        @channel.verify(query_token=True)
        async def verify(request: VerifyRequest[Room]) -> Grant:
            self.answers.append(Deferred())
            return await self.answers[-1]

        self.world = World(channel)

    def kick(self) -> None:
        answer = self.world.request("DELETE", f"{WHO}&subject=ada", private=True)
        self.assertEqual(answer.json, {"connections": 0})

    def test_asked_again(self) -> None:
        """An answer from before the kick lets nobody in; the app is asked again."""
        ada = self.world.subscribe(ROOM, {"Authorization": "ada"})
        self.kick()
        self.answers[0].callback(Grant(subject="ada"))
        self.assertEqual((ada.received, len(self.answers)), (b"", 2))
        self.answers[1].errback(Reject("banned"))
        self.assertEqual(ada.status, 403)

    def test_not_shared(self) -> None:
        """Nor is it shared with who asks after the kick."""
        before = self.world.subscribe(ROOM, {"Authorization": "ada"})
        self.kick()
        after = self.world.subscribe(ROOM, {"Authorization": "ada"})
        self.assertEqual(len(self.answers), 2)
        self.answers[0].callback(Grant(subject="ada"))
        # One question for both.
        self.assertEqual(len(self.answers), 2)
        self.answers[1].callback(Grant(subject="ada"))
        self.assertEqual((before.status, after.status), (200, 200))

    def test_others(self) -> None:
        """Who else is asked about meanwhile is let in by the one answer."""
        bob = self.world.subscribe(ROOM, {"Authorization": "bob"})
        self.kick()
        self.answers[0].callback(Grant(subject="bob"))
        self.assertEqual((bob.status, len(self.answers)), (200, 1))

    def test_kicked_again(self) -> None:
        """Each kick counts, and who leaves meanwhile leaves nothing behind."""
        ada = self.world.subscribe(ROOM, {"Authorization": "ada"})
        for number in range(3):
            self.kick()
            self.answers[number].callback(Grant(subject="ada"))
        self.assertEqual(len(self.answers), 4)
        ada.leave()
        self.kick()
        self.assertEqual(len(self.answers), 4)


class StoringTests(ManualCase):
    """A change is being stored."""

    def test_snapshot(self) -> None:
        """A list that was read then, and what comes after it, are the members, each once."""
        self.stream("ada")
        self.world.clock.advance(0.25)
        self.assertEqual(self.manual.appends_waiting, 1)
        asking = self.world.get(WHO, {"Authorization": "guest"})
        # The row is there, and it was not told of yet.
        self.manual.answer()
        self.assertEqual(asking.json["members"], [])
        later = Watcher(self.world).follow(asking.json["cursor"])
        self.settle(1)
        self.assertEqual((later.read(), later.events), (["ada"], [("join", "ada")]))

    def test_goes_and_comes(self) -> None:
        """The leave of somebody who is back by then: they left, and came, and are here."""
        ada = Watcher(self.world, "ada").join()
        self.settle(1)
        ada.socket.say({"op": "unsubscribe", "ref": 2, **ON_TOPIC})
        self.world.clock.advance(0.25)
        self.assertEqual(self.manual.appends_waiting, 1)
        ada.join()
        self.assertEqual(self.seen(), [("join", "ada"), ("leave", "ada"), ("join", "ada")])

    def test_goes_while_the_join_is_stored(self) -> None:
        """Who has gone for good before their join was stored leaves after it."""
        ada = Watcher(self.world, "ada").join()
        self.world.clock.advance(0.25)
        self.assertEqual(self.manual.appends_waiting, 1)
        ada.socket.say({"op": "unsubscribe", "ref": 2, **ON_TOPIC})
        self.assertEqual(self.seen(), [("join", "ada"), ("leave", "ada")])
        self.assertEqual(len(self.world.parts.presence), 0)

    def test_one_turn(self) -> None:
        """Who comes and goes between two transactions was never there."""
        ada = Watcher(self.world, "ada").join()
        ada.socket.say({"op": "unsubscribe", "ref": 2, **ON_TOPIC})
        self.assertEqual((self.seen(), len(self.world.parts.presence)), ([], 0))


class GraceTests(PresenceCase):
    """Somebody was cut off, and is waited for."""

    options: dict[str, Any] = {"max_members": 2}

    def setUp(self) -> None:
        super().setUp()
        self.watcher = Watcher(self.world).follow()
        self.ada = self.stream("ada")
        self.world.advance(1)
        self.ada.leave()
        self.world.advance(1)

    def seen(self) -> list[tuple[str, str]]:
        self.watcher.read()
        return self.watcher.events

    def test_kick(self) -> None:
        """They leave at once, and once."""
        answer = self.world.request("DELETE", f"{WHO}&subject=ada", private=True)
        self.assertEqual(answer.json, {"connections": 0})
        self.world.advance(0.5)
        self.assertEqual(self.seen(), [("join", "ada"), ("leave", "ada")])
        self.quiet()
        self.assertEqual(len(self.seen()), 2)

    def test_other_info(self) -> None:
        """They come by another tab, with what the app shows of them now: that is an update."""
        self.stream("ada:Countess")
        self.world.advance(0.5)
        self.assertEqual(self.seen(), [("join", "ada"), ("update", "ada")])
        self.assertEqual(self.watcher.view.newest("ada").info, b'{"name":"Countess"}')
        self.quiet()
        self.assertEqual(len(self.seen()), 2)

    def test_kick_of_who_had_no_place(self) -> None:
        """A tab from when there was no place for them is ended too."""
        self.stream("bob")
        first = self.stream("cy")
        self.world.request("DELETE", f"{WHO}&subject=ada", private=True)
        second = self.stream("cy")
        self.world.advance(0.5)
        self.assertEqual(self.who(), ["bob", "cy"])
        answer = self.world.request("DELETE", f"{WHO}&subject=cy", private=True)
        self.assertEqual(answer.json, {"connections": 2})
        self.assertEqual((first.ended, second.ended), (True, True))
        self.quiet()
        self.assertEqual(self.who(), ["bob"])
        self.assertEqual(self.world.get(WHO, {"Authorization": "guest"}).json["guests"], 0)
