"""Who is here, through a whole server in memory: lists, changes, tabs, restarts."""

from __future__ import annotations

from typing import Any

from takotwist import Grant, Presence, define_channel
from takotwist.server.config import Config
from takotwist.server.config.limits import Limits
from takotwist.testing.world import World
from tests.stories.presence_room import ROOM, WHO, PresenceCase, User, Watcher


class PresenceTests(PresenceCase):
    """One server."""

    def test_members(self) -> None:
        """Who follows is here, once whatever number of tabs it has, with what the app says."""
        self.stream("ada")
        self.stream("ada")
        self.stream("bob")
        self.world.advance(0.5)
        answer = self.world.get(WHO, {"Authorization": "guest"}).json
        self.assertEqual(
            [(one["subject"], one["info"]) for one in answer["members"]],
            [("ada", {"name": "Ada"}), ("bob", {"name": "Bob"})],
        )
        self.assertEqual((answer["more"], answer["guests"]), (False, 0))
        self.assertEqual(
            self.world.get(WHO.replace("=a", "=b"), {"Authorization": "x"}).json["members"], []
        )

    def test_tab_closes(self) -> None:
        """A second tab that closes is no leave, a reload neither; to be gone is, after a while."""
        watcher = Watcher(self.world).follow()
        first, second = self.stream("ada"), self.stream("ada")
        self.quiet()
        first.leave()
        self.quiet()
        self.assertEqual(watcher.read(), ["ada"])
        second.leave()
        self.world.advance(5)
        third = self.stream("ada")
        self.quiet()
        self.assertEqual(watcher.read(), ["ada"])
        third.leave()
        self.world.advance(8)
        self.assertEqual(watcher.read(), ["ada"])
        self.world.advance(4)
        self.assertEqual(watcher.read(), [])
        self.assertEqual(watcher.events, [("join", "ada"), ("leave", "ada")])

    def test_room_has_no_unknown_messages(self) -> None:
        """Who follows the room alone hears of messages alone."""
        ada = self.stream("ada")
        self.stream("bob")
        self.quiet()
        self.world.publish(ROOM, "msg", 1)
        self.assertEqual(
            [one["type"] for one in ada.messages if one["type"] != "tako.open"], ["msg"]
        )

    def test_unsubscribes(self) -> None:
        """Who unsubscribes leaves at once."""
        watcher, ada = Watcher(self.world).follow(), Watcher(self.world, "ada").join()
        self.world.advance(0.5)
        self.assertEqual(watcher.read(), ["ada"])
        ada.socket.say(
            {"op": "unsubscribe", "ref": 9, "channel": "chat", "params": {"roomId": "a"}}
        )
        self.world.advance(0.5)
        self.assertEqual(watcher.read(), [])

    def test_whole(self) -> None:
        """A list is given from its beginning, and it is said when it is whole."""
        for name in ("ada", "bob", "cy"):
            self.stream(name)
        self.world.advance(0.5)
        watcher = Watcher(self.world).follow()
        self.assertEqual(watcher.read(), ["ada", "bob", "cy"])
        ops = [frame.get("op") or frame["type"] for frame in watcher.socket.frames]
        self.assertEqual(ops, ["open", "ack", *["tako.join"] * 3, "synced"])
        last = watcher.socket.frames[-1]
        self.assertEqual(
            (last["channel"], last["params"], last["presence"]), ("chat", {"roomId": "a"}, True)
        )

    def test_resumes(self) -> None:
        """Who resumes has what they would have had; who is too old, a fresh list."""
        ada, bob = self.stream("ada"), self.stream("bob")
        watcher = Watcher(self.world).follow()
        self.world.advance(1)
        watcher.read()
        watcher.socket.leave()
        ada.leave()
        self.stream("cy")
        self.quiet()
        again = Watcher(self.world).follow(watcher.cursor)
        again.view = watcher.view
        self.assertEqual(again.read(), ["bob", "cy"])
        self.assertEqual(
            [one["type"] for one in again.socket.messages], ["tako.join", "tako.leave"]
        )
        again.socket.leave()
        bob.leave()
        self.world.advance(3600)
        late = Watcher(self.world).follow(watcher.cursor)
        late.view = watcher.view
        self.assertEqual(late.read(), ["cy"])
        self.assertIn("reset", [frame["op"] for frame in late.socket.ops])
        self.assertTrue(late.synced)

    def test_outlives_the_window(self) -> None:
        """Who has been here for longer than any window is here still."""
        self.stream("ada")
        self.world.advance(3600)
        self.assertEqual(self.who(), ["ada"])
        self.assertEqual(Watcher(self.world).follow().read(), ["ada"])

    def test_state(self) -> None:
        """A member's state is the latest; a thousand moves are one message in the log."""
        watcher, ada = Watcher(self.world).follow(), Watcher(self.world, "ada").join()
        self.world.advance(0.5)
        for n in range(500):
            ada.say({"x": n})
            self.world.clock.advance(0.01)
        self.world.advance(1)
        watcher.read()
        self.assertEqual(watcher.view.newest("ada").state, b'{"x":499}')
        moves = [one for one in watcher.socket.messages if one["type"] == "tako.update"]
        self.assertLess(len(moves), 60)
        self.assertGreater(len(moves), 40)
        # Its roster, and what is remembered over a restart.
        stats = self.successResultOf(self.log.stats())
        self.assertEqual((stats.messages, stats.topics), (3, 3))
        self.assertEqual(ada.socket.ops[-1], {"op": "ack", "ref": 3})

    def test_bad_state(self) -> None:
        """What does not fit, is too large, or comes from who is no member, is refused by name."""
        ada, guest = Watcher(self.world, "ada").join(), Watcher(self.world).join()
        self.world.advance(0.5)
        for who, state, code, part in (
            (ada, {"x": "left"}, "body-invalid", "state.x"),
            (ada, {"x": 1, "more": "y" * 4000}, "message-too-large", "2048"),
            (guest, {"x": 1}, "not-found", "no member"),
        ):
            who.say(state)
            error = who.socket.ops[-1]
            self.assertEqual((error["op"], error["ref"], error["code"]), ("error", 3, code))
            self.assertIn(part, error["error"])
        ada.socket.say({"op": "presence", "ref": 4, "channel": "chat", "params": {"roomId": "a"}})
        self.assertEqual(ada.socket.ops[-1]["error"], "state is missing.")
        ada.socket.say({"op": "presence", "ref": 5, "state": 1})
        self.assertEqual(ada.socket.ops[-1]["error"], "channel is missing.")

    def test_says_it_on_its_own_connection(self) -> None:
        """A connection to one channel says its state without naming the channel."""
        socket = self.world.connect(ROOM, {"Authorization": "ada"}, subprotocol="tako.v1")
        self.world.advance(0.5)
        socket.say({"op": "presence", "ref": 1, "state": {"x": 3}})
        socket.say({"op": "presence", "ref": 2, "state": {"x": "3"}})
        self.world.advance(0.5)
        self.assertEqual(socket.ops[-2], {"op": "ack", "ref": 1})
        self.assertEqual(socket.ops[-1]["code"], "body-invalid")
        [member] = self.world.get(WHO, {"Authorization": "guest"}).json["members"]
        self.assertEqual(member["state"], {"x": 3})

    def test_event_stream(self) -> None:
        """Over SSE too: the roster as a stream, and a POST in the name of the connection."""
        ada = self.stream("ada")
        self.world.advance(0.5)
        accept = {"Authorization": "guest", "Accept": "text/event-stream"}
        roster = self.world.subscribe(WHO, accept)
        names = [one.name for one in roster.events]
        self.assertEqual(names, ["tako.open", "message", "tako.synced"])
        opened: Any = ada.events[0].data
        connection = opened["data"]["connection"]
        body = {"connection": connection, "state": {"x": 7}}
        answer = self.world.request("POST", WHO, {"Authorization": "ada"}, body)
        self.assertEqual((answer.status, answer.json), (200, {}))
        self.world.advance(0.5)
        self.assertEqual(roster.messages[-1]["data"]["state"], {"x": 7})
        for name, change, status in (
            ("bob", {}, 403),
            ("ada", {"connection": "nobody"}, 404),
            ("ada", {"state": {"x": ""}}, 400),
        ):
            answer = self.world.request("POST", WHO, {"Authorization": name}, {**body, **change})
            self.assertEqual(answer.status, status, answer.received)
        self.assertEqual(
            self.world.request("POST", WHO, {"Authorization": "ada"}, b"{").status, 400
        )
        self.assertEqual(self.world.request("PUT", WHO, {"Authorization": "ada"}).status, 405)

    def test_pages(self) -> None:
        """A long list comes in pages that are a list together, whoever moves meanwhile."""
        movers = [Watcher(self.world, f"user{n}").join() for n in range(25)]
        self.world.advance(1)
        names: set[str] = set()
        after = ""
        for _ in range(10):
            page = self.world.get(f"{WHO}&limit=10{after}", {"Authorization": "guest"}).json
            names |= {one["subject"] for one in page["members"]}
            movers[1].say({"x": len(names)})
            self.world.advance(1)
            if not page["more"]:
                break
            after = f"&after={page['after']}"
        self.assertEqual(len(names), 25)
        for bad, code in (
            ("limit=0", "params-invalid"),
            ("after=x", "cursor-invalid"),
            ("after=9-9999999999999999", "cursor-invalid"),
        ):
            self.assertEqual(self.world.get(f"{WHO}&{bad}", {"Authorization": "x"}).code, code)

    def test_pages_end(self) -> None:
        """Also where all members move on all the time."""
        movers = [Watcher(self.world, f"user{n}").join() for n in range(25)]
        self.world.advance(1)
        names: list[str] = []
        after, pages = "", 0
        while after is not None and pages < 20:
            asked = f"{WHO}&limit=5" + (f"&after={after}" if after else "")
            page = self.world.get(asked, {"Authorization": "guest"}).json
            names += [one["subject"] for one in page["members"]]
            after, pages = page.get("after"), pages + 1
            for number, mover in enumerate(movers):
                mover.say({"x": pages * 100 + number})
            self.world.advance(0.5)
        self.assertEqual((len(set(names)), pages), (25, 2))

    def test_kick(self) -> None:
        """Who is taken out leaves at once, and its connections end; only the app may do it."""
        watcher, ada = Watcher(self.world).follow(), self.stream("ada")
        self.world.advance(0.5)
        target = f"{WHO}&subject=ada"
        self.assertIn(
            self.world.request("DELETE", target, {"Authorization": "bob"}).status, (401, 403)
        )
        answer = self.world.request("DELETE", target, private=True)
        self.assertEqual((answer.status, answer.json), (200, {"connections": 1}))
        self.world.advance(0.5)
        self.assertTrue(ada.ended)
        self.assertEqual(watcher.read(), [])
        self.assertEqual(
            self.world.request("DELETE", target, private=True).json, {"connections": 0}
        )
        self.assertEqual(self.world.request("DELETE", WHO, private=True).code, "params-invalid")

    def test_restart(self) -> None:
        """After a restart who comes back has never been away, and who does not leaves."""
        for n in range(30):
            Watcher(self.world, f"user{n}").join()
        watcher = Watcher(self.world).follow()
        self.world.advance(2)
        watcher.read()
        before = self.successResultOf(self.log.newest())
        self.start()
        self.world.advance(3)
        for n in range(29):
            Watcher(self.world, f"user{n}").join()
        self.world.advance(3)
        self.assertEqual(self.successResultOf(self.log.newest()), before)
        self.assertEqual(len(self.who()), 30)
        self.world.advance(10)
        again = Watcher(self.world).follow(watcher.cursor)
        again.view = watcher.view
        self.assertEqual(len(again.read()), 29)
        self.assertEqual(again.events, [("leave", "user29")])

    def test_seen_by_the_operator(self) -> None:
        """A subscriber of a roster is not counted as one more of its channel."""
        Watcher(self.world, "ada").join().follow()
        listed = self.world.get("/_tako/admin/channels", private=True).json
        self.assertEqual([one["subscribers"] for one in listed["channels"]], [1])
        self.assertEqual([one["subscribers"] for one in listed["topics"]], [1])

    def test_calm_stop(self) -> None:
        """Nobody leaves by the stop of the server itself."""
        watcher = Watcher(self.world).follow()
        self.stream("ada")
        self.world.advance(1)
        self.world.parts.presence.stop()
        stopping = self.world.stop()
        self.world.advance(60)
        self.successResultOf(stopping)
        self.assertEqual(watcher.read(), ["ada"])

    def test_store_fails(self) -> None:
        """While nothing can be stored nobody is told wrong things; then all is made up for."""
        watcher, ada = Watcher(self.world).follow(), self.stream("ada")
        self.world.advance(1)
        self.successResultOf(self.log.stop())
        self.stream("bob")
        ada.leave()
        self.world.advance(20)
        self.assertEqual(watcher.read(), ["ada"])
        self.log.start(self.world.parts.follower)
        self.world.advance(2)
        self.assertEqual(watcher.read(), ["bob"])

    def test_no_presence(self) -> None:
        """A channel without it says so."""
        world = World(define_channel("plain"))
        self.assertEqual(world.get("/channels/plain/presence").code, "transport-not-enabled")
        self.assertEqual(world.get("/channels/plain/presences").code, "not-found")

    def test_info_that_does_not_fit(self) -> None:
        """An app that says of somebody what it has not declared has failed; nobody is let in."""
        channel = define_channel("chat", presence=Presence(info=User))
        channel.verify(header=None)(lambda request: Grant(subject="ada", info={"name": 7}))
        world = World(channel)
        self.assertEqual(world.get("/channels/chat").code, "auth-unavailable")
        world = World(channel, config=Config(limits=Limits(max_presence_info_bytes=2)))
        self.assertEqual(world.get("/channels/chat").code, "auth-unavailable")


class ClockStepTests(PresenceCase):
    """The time of day, by which ids are made and leaves expire, is set; durations go on."""

    def test_steps(self) -> None:
        """Nobody comes or goes by it, and whoever does is told once, in order."""
        step = 0.0
        parts, seconds = self.world.parts, self.world.clock.seconds
        services = parts.sessions.services
        for part in (parts.publishing, parts.presence, services, parts.attacher):
            part.wall = lambda: seconds() + step
        watcher = Watcher(self.world).follow()
        ada = self.stream("ada")
        self.world.advance(1)
        for number, more in enumerate((86_400, -2 * 86_400, 3600)):
            step += more
            self.world.advance(1)
            self.assertEqual(watcher.read(), ["ada"])
            other = self.stream(f"user{number}")
            ada.leave()
            ada = self.stream("ada")
            self.world.advance(1)
            self.assertEqual(watcher.read(), ["ada", f"user{number}"])
            other.leave()
            self.world.advance(11)
            self.assertEqual(watcher.read(), ["ada"])
        wanted = [(kind, f"user{n}") for n in range(3) for kind in ("join", "leave")]
        self.assertEqual(watcher.events, [("join", "ada"), *wanted])
        ids = [int(one["id"]) for one in watcher.socket.messages]
        self.assertEqual(ids, sorted(ids))
        self.assertGreater(ids[-1] - ids[0], 86_400 * 1_000_000)


class ListOnlyTests(PresenceCase):
    """A channel whose changes cannot be followed."""

    options = {"events": False}

    def test_list_only(self) -> None:
        """The list can be asked for, and nothing else."""
        self.stream("ada")
        self.world.advance(1)
        self.assertEqual(self.who(), ["ada"])
        watcher = Watcher(self.world).follow()
        self.assertEqual(watcher.socket.ops[-1]["code"], "transport-not-enabled")


class CountTests(PresenceCase):
    """An audience of which only the number is told."""

    options = {"mode": "count"}

    def test_count(self) -> None:
        """All are counted, and told at most once a second."""
        streams = [self.stream(f"user{n % 10}") for n in range(50)]
        self.world.advance(3)
        watcher = Watcher(self.world).follow()
        self.assertEqual(watcher.read(), [])
        self.assertEqual(watcher.view.count, 50)
        for stream in streams[10:]:
            stream.leave()
            self.world.clock.advance(0.05)
        self.world.advance(2)
        watcher.read()
        self.assertEqual(watcher.view.count, 10)
        self.assertLess(len(watcher.socket.messages), 6)
        answer = self.world.get(WHO, {"Authorization": "guest"}).json
        self.assertEqual((answer["members"], answer["guests"]), ([], 10))
