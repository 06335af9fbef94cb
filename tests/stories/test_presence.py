"""Who is here, through a whole server in memory: lists, changes, tabs, restarts, nodes."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from takotwist import Grant, Presence, VerifyRequest, define_channel
from takotwist.adapters.memory.log import InMemoryReplayLog
from takotwist.adapters.memory.node import MemoryNode, MemoryStore
from takotwist.app.presence import MemberEvent
from takotwist.codecs.registry_json import read_registry, write_registry
from takotwist.core.roster import View
from takotwist.errors import BodyInvalid, DefinitionError
from takotwist.server.config import Config
from takotwist.server.config.limits import Limits
from takotwist.testing.memory_peer import HttpPeer
from takotwist.testing.memory_socket import MemorySocket
from takotwist.testing.world import BEGINNING, World
from takotwist.trampoline import started

ROOM = "/channels/chat?roomId=a"
WHO = "/channels/chat/presence?roomId=a"


class User(msgspec.Struct):
    name: str


class Cursor(msgspec.Struct):
    x: int


class Room(msgspec.Struct, rename="camel"):
    room_id: str


def chat(**options: Any) -> Any:
    """A channel where a token is a name, and who has none is let in as nobody."""
    rules = Presence(info=User, state=Cursor, **options)
    channel = define_channel("chat", params=Room, forward_unhandled=True, presence=rules)

    @channel.verify(query_token=True)
    def verify(request: VerifyRequest[Room]) -> Grant:
        name = request.header.value if request.header else ""
        if name == "guest":
            return Grant()
        return Grant(subject=name, info=User(name.title()))

    return channel


class Watcher:
    """Follows a roster on a connection with many topics, as a client does."""

    def __init__(self, world: World, name: str = "guest") -> None:
        self.world = world
        self.socket: MemorySocket = world.connect(
            "/_tako/connect", {"Authorization": name}, subprotocol="tako.v1"
        )
        self.view, self.events = View(), []
        self._seen = 0
        self.cursor: str | None = None
        self.synced = False

    def follow(self, cursor: str | None = None) -> Watcher:
        frame = {"op": "subscribe", "ref": 1, "channel": "chat", "params": {"roomId": "a"}}
        self.socket.say({**frame, "presence": True, "stale": "reset", "cursor": cursor})
        return self

    def join(self) -> Watcher:
        frame = {"op": "subscribe", "ref": 2, "channel": "chat", "params": {"roomId": "a"}}
        self.socket.say(frame)
        return self

    def say(self, state: object, ref: int = 3) -> None:
        frame = {"op": "presence", "ref": ref, "channel": "chat", "params": {"roomId": "a"}}
        self.socket.say({**frame, "state": state})

    def read(self) -> list[str]:
        """Take what has come; the names of who is here."""
        frames = self.socket.frames
        for frame in frames[self._seen :]:
            if frame.get("op") == "reset":
                self.view = View()
            if frame.get("op") == "synced":
                self.synced = True
            if "op" not in frame and frame["type"].startswith("tako."):
                data = msgspec.json.encode(frame["data"])
                event = self.view.apply(int(frame["id"]), frame["type"], data)
                self.cursor = frame["id"]
                if event is not None:
                    self.events.append(event)
        self._seen = len(frames)
        return sorted(self.view.members)


class PresenceCase(SynchronousTestCase):
    options: dict[str, Any] = {}

    def setUp(self) -> None:
        self.log: Any = None
        self.start()

    def start(self, **more: Any) -> None:
        self.world = World(chat(**self.options), log=self.log, **more)
        self.log = self.world.parts.log

    def stream(self, name: str, target: str = ROOM) -> HttpPeer:
        return self.world.subscribe(target, {"Authorization": name})

    def who(self, name: str = "guest") -> list[str]:
        answer = self.world.get(WHO, {"Authorization": name})
        self.assertEqual(answer.status, 200, answer.received)
        return sorted(member["subject"] for member in answer.json["members"])

    def quiet(self) -> None:
        self.world.advance(15)


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


class NodesTests(SynchronousTestCase):
    """Two nodes over one store."""

    def setUp(self) -> None:
        first = World(chat())
        self.clock = first.clock
        inner = InMemoryReplayLog(self.clock)
        inner.start()
        self.store = MemoryStore(inner)
        self.one, self.two = self.node("n1"), self.node("n2")

    def node(self, name: str, run: str = "") -> World:
        return World(chat(), log=MemoryNode(self.store, name + run), clock=self.clock, node=name)

    def advance(self, seconds: float) -> None:
        self.one.advance(seconds)

    def test_one_list(self) -> None:
        """Who is on two nodes is one member, and leaves with the last of its connections."""
        here, there = Watcher(self.one).follow(), Watcher(self.two).follow()
        first = self.one.subscribe(ROOM, {"Authorization": "ada"})
        second = self.two.subscribe(ROOM, {"Authorization": "ada"})
        self.advance(1)
        for watcher in (here, there):
            self.assertEqual(watcher.read(), ["ada"])
        first.leave()
        self.advance(15)
        self.assertEqual([here.read(), there.read()], [["ada"], ["ada"]])
        second.leave()
        self.advance(15)
        self.assertEqual([here.read(), there.read()], [[], []])
        self.assertEqual([one for one, _ in here.events if one != "update"], ["join", "leave"])

    def test_handover(self) -> None:
        """Who moves to another node within the grace has not been away."""
        watcher = Watcher(self.two).follow()
        ada = self.one.subscribe(ROOM, {"Authorization": "ada"})
        self.advance(1)
        ada.leave()
        self.advance(2)
        self.two.subscribe(ROOM, {"Authorization": "ada"})
        self.advance(20)
        self.assertEqual(watcher.read(), ["ada"])
        self.assertNotIn(("leave", "ada"), watcher.events)

    def test_kick(self) -> None:
        """Who is taken out by one node is out on all of them, and may come again."""
        watcher = Watcher(self.two).follow()
        here = self.one.subscribe(ROOM, {"Authorization": "ada"})
        there = [self.two.subscribe(ROOM, {"Authorization": "ada"}) for _ in range(2)]
        other = self.two.subscribe(ROOM, {"Authorization": "bob"})
        self.advance(1)
        answer = self.one.request("DELETE", f"{WHO}&subject=ada", private=True)
        self.assertEqual(answer.json, {"connections": 1})
        self.advance(1)
        self.assertEqual([each.ended for each in (here, *there, other)], [True] * 3 + [False])
        self.assertEqual(watcher.read(), ["bob"])
        self.two.subscribe(ROOM, {"Authorization": "ada"})
        self.advance(1)
        self.assertEqual(watcher.read(), ["ada", "bob"])

    def test_fewer_nodes(self) -> None:
        """What nodes have left that are not to be any more is ended after the grace."""
        watcher = Watcher(self.two).follow()
        self.one.subscribe(ROOM, {"Authorization": "ada"})
        self.two.subscribe(ROOM, {"Authorization": "bob"})
        self.advance(1)
        self.one.parts.presence.stop()
        log = MemoryNode(self.store, "n3")
        World(chat(), log=log, clock=self.clock, node="n3", nodes=("n2", "n3"))
        self.advance(9)
        self.assertEqual(watcher.read(), ["ada", "bob"])
        self.advance(2)
        self.assertEqual(watcher.read(), ["bob"])

    def test_dead_node(self) -> None:
        """What a dead node left is ended once, whoever finds it and how many do."""
        watcher = Watcher(self.two).follow()
        self.one.subscribe(ROOM, {"Authorization": "ada"})
        self.two.subscribe(ROOM, {"Authorization": "bob"})
        self.advance(1)
        self.one.parts.presence.stop()
        presence = self.two.parts.presence
        kept = self.successResultOf(started(presence.take_over("n1", lambda: False)))
        self.assertEqual((kept, watcher.read()), (0, ["ada", "bob"]))
        for ended in (1, 0):
            number = self.successResultOf(started(presence.take_over("n1", lambda: True)))
            self.assertEqual(number, ended)
        self.assertEqual(watcher.read(), ["bob"])
        self.assertEqual(watcher.events.count(("leave", "ada")), 1)


class ComingNodesTests(SynchronousTestCase):
    """Nodes that come and go: which of them are there is asked."""

    def setUp(self) -> None:
        first = World(chat())
        self.clock = first.clock
        inner = InMemoryReplayLog(self.clock)
        inner.start()
        self.store = MemoryStore(inner)
        self.there: list[str] | None = ["n1", "n2", "n3"]
        self.one, self.two, _ = (self.node(name) for name in ("n1", "n2", "n3"))
        self.watcher = Watcher(self.two).follow()
        self.one.subscribe(ROOM, {"Authorization": "ada"})
        self.one.subscribe(ROOM, {"Authorization": "guest"})
        self.two.subscribe(ROOM, {"Authorization": "bob"})
        self.two.advance(3)
        self.assertEqual((self.watcher.read(), self.watcher.view.count), (["ada", "bob"], 1))

    def node(self, name: str) -> World:
        async def living() -> list[str] | None:
            return self.there

        log = MemoryNode(self.store, name)
        return World(chat(), log=log, clock=self.clock, node=name, living=living)

    def leaves(self) -> int:
        self.watcher.read()
        return self.watcher.events.count(("leave", "ada"))

    def test_dies(self) -> None:
        """What it left is ended once, after the grace."""
        self.one.parts.presence.stop()
        self.there = ["n2", "n3"]
        self.two.advance(10)
        self.assertEqual(self.leaves(), 0)
        self.two.advance(10)
        self.assertEqual((self.watcher.read(), self.watcher.view.count), (["bob"], 0))
        self.two.advance(60)
        self.assertEqual(self.leaves(), 1)

    def test_not_certain(self) -> None:
        """While it is not known who is there nobody is taken for dead; nor who is away for
        one look alone."""
        self.there = None
        self.two.advance(60)
        self.there = ["n2", "n3"]
        self.two.advance(10)
        self.there = ["n1", "n2", "n3"]
        self.two.advance(10)
        self.there = ["n2", "n3"]
        self.two.advance(9)
        self.assertEqual((self.watcher.read(), self.leaves()), (["ada", "bob"], 0))

    def test_was_not_dead(self) -> None:
        """A node that is back after it was taken for dead has its members again."""
        self.there = ["n2", "n3"]
        self.two.advance(21)
        self.assertEqual(self.leaves(), 1)
        self.there = ["n1", "n2", "n3"]
        self.two.advance(11)
        self.assertEqual((self.watcher.read(), self.watcher.view.count), (["ada", "bob"], 1))

    def test_restarted(self) -> None:
        """So too where it has restarted in between, and knew them from the log."""
        self.one.parts.presence.stop()
        self.there = ["n2", "n3"]
        again = self.node("n1")
        again.subscribe(ROOM, {"Authorization": "ada"})
        self.two.advance(21)
        self.there = ["n1", "n2", "n3"]
        self.two.advance(11)
        self.assertEqual(self.watcher.read(), ["ada", "bob"])


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
        hooks = self.world.parts.presence.hooks
        assert hooks is not None
        hooks.stop()
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
