"""Pages whose objects and wires are on several nodes."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from takotwist import Grant, Reject, VerifyRequest
from takotwist.adapters.memory.log import InMemoryReplayLog
from takotwist.adapters.memory.node import MemoryNode, MemoryStore
from takotwist.live import BroadcastChannel, Channel, NetworkError, PageLeft, function
from takotwist.live.broadcast.broadcast import default_broadcasts, set_default_broadcasts
from takotwist.live.elsewhere import ANSWER_SECONDS, SILENT_PINGS
from takotwist.live.peers import NodeGone, Show, ask, name_on, node_of
from takotwist.server.config import Config
from takotwist.server.config.limits import Live
from takotwist.testing.memory_peers import MemoryNetwork, MemoryPeers
from takotwist.testing.world import BEGINNING, World, WorldClock
from tests.live.page import ClientEnd, Page


def verify(request: VerifyRequest[Any]) -> Grant:
    if request.header is None or request.header.value not in ("ann", "bob"):
        raise Reject("who?")
    return Grant(subject=request.header.value)


class Roaming(Page):
    """A page whose calls and wires go to the node that the test chooses.

    :ivar world: where calls go.
    """

    def at(self, world: World) -> Roaming:
        """From here on calls and new wires go there."""
        self.world = world
        return self


class Elsewhere(SynchronousTestCase):
    """Three nodes and a page."""

    config = Config(live=Live(buffer_limit=100_000, call_rate=0))

    def setUp(self) -> None:
        self.addCleanup(set_default_broadcasts, default_broadcasts())
        self.clock = WorldClock()
        self.clock.rightNow = BEGINNING
        inner = InMemoryReplayLog(self.clock)
        inner.start()
        self.store = MemoryStore(inner)
        self.network = MemoryNetwork()
        self.channels: list[Channel[Any, Any]] = []
        self.closed: list[Any] = []
        self.heard: list[Any] = []

        @function
        async def on_open() -> Any:
            return self.channel()

        @function(verify=verify, header="authorization")
        async def on_mine() -> Any:
            return self.channel()

        @function
        async def on_room() -> Any:
            return BroadcastChannel(key="room")

        self.functions = [on_open, on_mine, on_room]
        self.worlds = [self.node(name) for name in "abc"]
        self.a, self.b, self.c = self.worlds
        self.page = Roaming(self.a)

    def channel(self) -> Any:
        channel: Channel[Any, Any] = Channel()

        def listen(data: Any) -> Any:
            self.heard.append(data)
            return f"re: {data}" if isinstance(data, str) else len(data)

        channel.listen(listen)
        channel.listen_binary(listen)
        channel.on_close(self.closed.append)
        self.channels.append(channel)
        return channel.client

    def node(self, name: str) -> World:
        world = World(
            functions=self.functions,
            config=self.config,
            log=MemoryNode(self.store, name),
            clock=self.clock,
            peers=MemoryPeers(self.network, name),
        )
        door = world.parts.peer_door
        assert door is not None
        self.network.doors[name] = door
        return world

    def on(self, world: World, name: str = "onOpen") -> ClientEnd:
        """Have an object of this node."""
        here, self.page.world = self.page.world, world
        end = self.page.get(name)
        self.page.world = here
        self.page.pump()
        return end

    def wire_at(self, world: World, **more: Any) -> None:
        """Open a wire to this node."""
        self.page.at(world).connect(**more)

    def wires(self) -> list[int]:
        """Pages that each node carries for others."""
        return [len(world.parts.peer_door.wires) for world in self.worlds]


class ElsewhereTests(Elsewhere):
    """A page on one wire."""

    def test_ids_say_the_node(self) -> None:
        """An object's id begins with the name of its node."""
        self.assertEqual([node_of(self.on(one).id) for one in self.worlds], ["a", "b", "c"])

    def test_both_ways(self) -> None:
        """Objects of all nodes on one wire: text, binary and answers, both ways."""
        ends = [self.on(world) for world in self.worlds]
        self.wire_at(self.b)
        self.assertEqual(self.wires(), [1, 0, 1])
        for number, end in enumerate(ends):
            asked = end.send(f"hi {number}", ack=True)
            end.send(b"\x00" * number, ack=False)
            self.page.pump()
            self.assertEqual(asked.answer, f"re: hi {number}")
            self.assertEqual(self.heard[-1], b"\x00" * number)
            answer = self.channels[number].send(f"down {number}", ack=True)
            self.channels[number].send_binary(b"\x01")
            self.page.pump()
            self.assertEqual(end.heard, [f"down {number}", b"\x01"])
            self.assertEqual(answer.result(), f"down {number}")
        self.assertEqual([end.opened for end in ends], [1, 1, 1])

    def test_answer_first(self) -> None:
        """Nothing of an object comes before the answer that says that it is here, whichever node
        answers first."""
        for world in (self.a, self.c):
            self.on(world)
        for channel in self.channels:
            channel.send("waits")
        self.wire_at(self.b)
        late = self.on(self.a)
        self.channels[-1].send("late")
        self.page.pump()
        ops = [op for op in self.wire_ops() if op in ("live", "live.attached", "live.opened")]
        self.assertEqual(ops[:3], ["live.attached", "live", "live"])
        self.assertLess(ops.index("live.opened"), len(ops) - 1)
        self.assertEqual(late.heard, ["late"])

    def test_answers_apart(self) -> None:
        """While one node has not answered yet, nothing of another one's comes before the answer to
        the same question, whatever else is asked and answered meanwhile."""
        self.wire_at(self.b)
        first = [self.on(self.a), self.on(self.c)]
        self.page.cut()
        for channel in self.channels:
            channel.send("waits")
        self.page.ends.clear()
        self.wire_at(self.b)
        held = self.c.parts.peer_door
        assert held is not None
        self.network.doors["c"] = _HoldingDoor(held)
        entries = [{"id": end.id, "seq": 0, "bytes": 1 << 20, "messages": 99} for end in first]
        self.page.ends.update({end.id: end for end in first})
        self.page.say({"op": "live.open", "ref": 7, "open": entries})
        self.page.say({"op": "live.open", "ref": 8, "open": []})
        self.assertEqual(self.wire_ops()[-1], "live.opened")
        self.assertNotIn("live", self.wire_ops())
        self.network.streams[-1][1].hold(False)
        self.assertEqual(self.wire_ops()[-3:], ["live.opened", "live", "live"])

    def wire_ops(self) -> list[str]:
        """The ops of all frames that came down the wire."""
        assert self.page.socket is not None
        return [frame["op"] for frame in self.page.socket.frames]

    def test_opened_later(self) -> None:
        """An object of another node, on a wire that is there already; the second one too."""
        self.wire_at(self.b)
        for _ in range(2):
            end = self.on(self.a)
            asked = end.send("x", ack=True)
            self.page.pump()
            self.assertEqual((end.opened, asked.answer), (1, "re: x"))
        self.assertEqual(self.wires(), [1, 0, 0])
        self.assertEqual(len(self.network.streams), 1)

    def test_comes_back_to_another_node(self) -> None:
        """After a cut nothing is lost or doubled, wherever the page comes back."""
        end = self.on(self.a)
        sent = 0
        for world in (self.a, self.b, self.c, self.b, self.a):
            self.wire_at(world)
            for _ in range(3):
                self.channels[0].send(sent)
                end.send(f"up {sent}")
                sent += 1
            self.page.pump()
            self.channels[0].send(sent)
            sent += 1
            # Without a pump: this one is lost on its way.
            socket = self.page.socket
            assert socket is not None
            socket.leave()
            self.page.socket = None
            self.page.attached = False
            end.act("detach", self.page.now)
            self.channels[0].send(sent)
            sent += 1
        self.wire_at(self.c)
        self.assertEqual(end.heard, list(range(sent)))
        self.assertEqual(self.heard, [f"up {n}" for n in range(sent) if n % 5 < 3])
        self.assertEqual((end.opened, end.ended, self.closed), (1, [], []))
        self.assertEqual(self.wires(), [1, 0, 0])

    def test_two_wires(self) -> None:
        """A page that changes its wire is told on the old one that it is replaced, on whichever
        node that is."""
        end = self.on(self.a)
        self.wire_at(self.b)
        old = self.page.socket
        assert old is not None
        self.wire_at(self.c)
        said = [data for _, data in old.raw_frames if b"live.fin" in data]
        self.assertEqual(said, [b'{"op":"live.fin"}'])
        self.channels[0].send("on the new one")
        self.page.pump()
        self.assertEqual(end.heard, ["on the new one"])
        self.assertFalse(any(b"on the new one" in data for _, data in old.raw_frames))
        self.assertEqual(self.wires(), [1, 0, 0])

    def test_verified_where_the_object_is(self) -> None:
        """The wire's own credentials are looked at by the node that holds the object."""
        self.page.headers = {"Authorization": "Bearer ann"}
        self.on(self.a, "onMine")
        self.page.headers = {"Authorization": "Bearer bob"}
        self.wire_at(self.b)
        [refused] = [op for op in self.page.ops if op["op"] == "live.refused"]
        self.assertEqual(refused["code"], "verify-rejected")
        self.page.cut()
        self.page.headers = {"Authorization": "Bearer ann"}
        self.wire_at(self.b)
        self.assertTrue(self.page.attached)
        [end] = self.page.ends.values()
        self.assertEqual(end.opened, 1)

    def test_auth_of_the_attach(self) -> None:
        """So are those of a page that cannot set a header."""
        self.page.headers = {"Authorization": "Bearer ann"}
        end = self.on(self.a, "onMine")
        self.page.headers = {}
        self.wire_at(self.c, auth="Bearer ann")
        self.assertEqual(end.opened, 1)

    def test_another_page(self) -> None:
        """C16: an id is worth nothing to another page, on another node either."""
        end = self.on(self.a)
        other = Roaming(self.b, "t" * 22)
        stolen = other.adopt(end.id)
        other.connect()
        [trouble] = stolen.ended
        assert trouble is not None
        self.assertEqual(trouble.code, "network")
        self.wire_at(self.b)
        self.assertEqual((end.opened, end.ended), (1, []))

    def test_end_of_an_object(self) -> None:
        """An object elsewhere ends, from either side, and the wire stays."""
        first, second = self.on(self.a), self.on(self.a)
        self.wire_at(self.b)
        first.close()
        self.channels[1].abort("enough")
        self.page.pump()
        [trouble] = second.ended
        assert trouble is not None
        self.assertEqual((first.ended, trouble.code), ([None], "abort"))
        self.assertEqual((len(self.closed), self.a.live.sessions.objects), (2, 0))

    def test_leaves(self) -> None:
        """A page that goes says so to all nodes, by its wire or apart from it."""
        ends = [self.on(world) for world in self.worlds]
        self.wire_at(self.b)
        self.page.say({"op": "live.leave"})
        self.page.pump()
        self.assertEqual([type(one) for one in self.closed], [PageLeft] * 3)
        self.page.ends.clear()
        self.page.cut()
        del ends
        for world in self.worlds:
            self.on(world)
        self.page.ends.clear()
        peer = self.b.request(
            "POST",
            "/_tako/connect/leave",
            {"Content-Type": "text/plain"},
            {"session": self.page.secret},
        )
        self.assertEqual(peer.status, 204)
        self.assertEqual([type(one) for one in self.closed], [PageLeft] * 6)
        self.assertEqual([len(world.live.sessions) for world in self.worlds], [0, 0, 0])

    def test_leaves_at_a_rate(self) -> None:
        """Who leaves more often than it may call is heard by one node, and no other is asked."""
        self.config = Config(live=Live(call_rate=1, call_burst=2))
        node = self.node("d")
        statuses = []
        for number in range(4):
            body = {"session": f"{number}" * 32}
            headers = {"Content-Type": "text/plain"}
            statuses.append(node.request("POST", "/_tako/connect/leave", headers, body).status)
        self.assertEqual(statuses, [204, 204, 429, 429])
        self.assertEqual(len(self.network.streams), 2 * 3, "each of the three other nodes")

    def test_closed_as_left(self) -> None:
        """A wire that closes as one that has gone ends the objects on all nodes."""
        self.on(self.a)
        self.wire_at(self.b)
        assert self.page.socket is not None
        self.page.socket.close(1001)
        self.assertEqual([type(one) for one in self.closed], [PageLeft])
        self.assertEqual(self.wires(), [0, 0, 0])

    def test_breach(self) -> None:
        """A client that breaks the protocol loses its objects on all nodes, found out by either."""
        for breach in ({"op": "live.jump"}, {"op": "live", "id": "", "do": "send", "seq": 9}):
            with self.subTest(breach=breach):
                self.setUp()
                end = self.on(self.a)
                self.wire_at(self.b)
                if "id" in breach:
                    breach = {**breach, "id": end.id, "data": 1}
                self.page.say(breach)
                assert self.page.socket is not None
                assert self.page.socket.close_reason is not None
                self.assertEqual(self.page.socket.close_reason[0], 4400)
                self.assertEqual([type(one) for one in self.closed], [NetworkError])
                self.assertEqual(self.wires(), [0, 0, 0])

    def test_sse(self) -> None:
        """A POST that comes to another node than the stream is passed on, with its answer."""
        end = self.on(self.a)
        self.page.at(self.b).connect_sse()
        self.assertEqual(node_of(self.page.upstream), "b")
        for world in self.worlds:
            self.page.at(world)
            asked = end.send(f"by {node_of(self.page.upstream)}", ack=True)
            self.page.pump()
            self.assertEqual(asked.answer, "re: by b")
        self.page._lines.append(b"nonsense")
        self.assertEqual(self.page.at(self.c).post(), 204)
        unreadable = self.c.request(
            "POST",
            f"/_tako/connect/{self.page.upstream}",
            {"Content-Type": "text/html"},
            b"x",
        )
        self.assertEqual((unreadable.status, unreadable.json["code"]), (415, "body-invalid"))
        self.assertEqual(self.page.post(), 404)
        gone = self.a.request(
            "POST", "/_tako/connect/z.zzzz", {"Content-Type": "application/x-ndjson"}, b""
        )
        self.assertEqual(gone.status, 404)

    def test_slow_page(self) -> None:
        """A page that does not read holds back the node of its object, and costs no memory between
        them; it gets all, in order."""
        end = self.on(self.a)
        self.wire_at(self.b)
        [(here, _)] = self.network.streams
        wire = here.listener._owner  # type: ignore[union-attr]
        wire.block(True)
        for number in range(200):
            self.channels[0].send(number)
        self.assertLess(len(here.waiting), 20)
        self.page.pump()
        self.assertEqual(end.heard, [])
        wire.block(False)
        self.page.pump()
        self.assertEqual(end.heard, list(range(200)))

    def test_slow_node(self) -> None:
        """A node that does not read holds back the page's wire, which is read on afterwards."""
        end = self.on(self.a)
        self.wire_at(self.b)
        [(here, there)] = self.network.streams
        there.hold(True)
        for number in range(30):
            end.send(str(number))
        self.assertTrue(here.full)
        there.hold(False)
        self.page.pump()
        self.assertFalse(here.full)
        end.send("last")
        self.page.pump()
        self.assertEqual(self.heard, [*map(str, range(30)), "last"])


class NodesThatGoTests(Elsewhere):
    """Nodes that are away."""

    def test_c22_dead_before_the_attach(self) -> None:
        """What a dead node held has ended at once, and what others hold is there."""
        gone, stays = self.on(self.a), self.on(self.c)
        self.network.kill("a")
        self.wire_at(self.b)
        [trouble] = gone.ended
        assert trouble is not None
        self.assertEqual(trouble.code, "network")
        self.assertEqual((stays.opened, stays.ended), (1, []))

    def test_c22_dies_under_the_wire(self) -> None:
        """The page loses its wire, comes back, and is told at once what is gone; what another
        node holds goes on without a loss."""
        gone, stays = self.on(self.a), self.on(self.c)
        self.wire_at(self.b)
        self.channels[1].send("before")
        self.network.kill("a")
        assert self.page.socket is not None
        self.assertTrue(self.page.socket.ended)
        self.page.cut()
        self.channels[1].send("between")
        self.wire_at(self.b)
        self.assertEqual([one.code for one in gone.ended if one], ["network"])
        self.assertEqual(stays.heard, ["before", "between"])
        self.assertEqual(stays.ended, [])

    def test_another_run_at_its_address(self) -> None:
        """A node that was started again is not the one that held the object."""
        end = self.on(self.a)
        self.network.kill("a")
        door = self.node("a2").parts.peer_door
        assert door is not None
        self.network.doors["a"] = door
        self.wire_at(self.b)
        self.assertEqual([one.code for one in end.ended if one], ["network"])

    def test_without_the_secret(self) -> None:
        """Who reaches a node and does not know its secret is told nothing."""
        door = self.a.parts.peer_door
        assert door is not None
        door.secret = "right"
        peers = MemoryPeers(self.network, "stranger")
        for secret in ("", "guess"):
            asking = ensureDeferred(ask(peers, Show("a", "node", secret=secret)))
            self.failureResultOf(asking, NodeGone)
        asking = ensureDeferred(ask(peers, Show("a", "node", secret="right")))
        self.assertIn(b"pid", self.successResultOf(asking).body)

    def test_stops(self) -> None:
        """A node that stops in order ends its objects, and the page keeps its wire."""
        end, stays = self.on(self.a), self.on(self.b)
        self.wire_at(self.b)
        self.a.live.sessions.close()
        door = self.a.parts.peer_door
        assert door is not None
        door.stop()
        self.page.pump()
        self.assertEqual([one.code for one in end.ended if one], ["network"])
        asked = stays.send("still here", ack=True)
        self.page.pump()
        self.assertEqual(asked.answer, "re: still here")
        self.assertEqual(self.wires(), [0, 0, 0])

    def test_does_not_answer(self) -> None:
        """A node that is there and says nothing: the session is refused for now, in time."""
        self.on(self.a)
        self.silence("a")
        self.wire_at(self.b)
        self.assertEqual(self.page.ops[-1]["op"] == "live.attached", False)
        self.page.advance(ANSWER_SECONDS + 1)
        [refused] = [op for op in self.page.ops if op["op"] == "live.refused"]
        self.assertEqual(refused["code"], "overloaded")

    def test_falls_silent(self) -> None:
        """A node that hangs is taken for dead after some pings, and the page comes again."""
        self.on(self.a)
        self.wire_at(self.b)
        [(here, _)] = self.network.streams
        here.listener = _Mute()
        self.page.advance(2 * SILENT_PINGS * self.config.live.ping_interval_seconds)
        assert self.page.socket is not None
        self.assertTrue(self.page.socket.ended)

    def test_wire_gone_while_asked(self) -> None:
        """Nothing is left of a page that goes while another node is asked."""
        self.on(self.a)
        self.silence("a")
        self.wire_at(self.b)
        self.page.cut()
        self.page.ends.clear()
        self.clock.advance(ANSWER_SECONDS + 1)
        self.a.advance(70)
        self.b.advance(1)
        self.assertEqual(self.wires(), [0, 0, 0])
        self.assertEqual([len(world.live.sessions) for world in self.worlds], [0, 0, 0])

    def test_nothing_left(self) -> None:
        """A hundred pages that go in every way leave no wire, session or timer on any node."""
        timers = [len(world.parts.deadlines) for world in self.worlds]
        for number in range(100):
            self.page = Roaming(self.a, f"{number:0>22}")
            for world in self.worlds:
                self.on(world)
            self.wire_at(self.worlds[number % 3])
            way = number % 4
            if way == 0:
                self.page.cut()
            elif way == 1:
                self.page.say({"op": "live.leave"})
                self.page.cut()
            elif way == 2:
                self.page.say({"op": "live.jump"})
            else:
                self.wire_at(self.worlds[(number + 1) % 3])
                self.page.cut()
        self.a.advance(130)
        self.assertEqual(self.wires(), [0, 0, 0])
        self.assertEqual([len(world.live.sessions) for world in self.worlds], [0, 0, 0])
        self.assertEqual([len(world.parts.deadlines) for world in self.worlds], timers)
        self.assertFalse(any(one.is_open for pair in self.network.streams for one in pair))

    def silence(self, name: str) -> None:
        """A node that accepts, and does nothing."""
        door: Any = _MuteDoor()
        self.network.doors[name] = door


class _HoldingDoor:
    """A node that reads nothing until it is told to."""

    def __init__(self, door: Any) -> None:
        self.door = door

    def accept(self, greeting: Any, stream: Any) -> Any:
        """Accept, and hold."""
        stream.hold(True)
        return self.door.accept(greeting, stream)


class _MuteDoor:
    def accept(self, greeting: Any, stream: Any) -> Any:
        """Say nothing."""
        return _Mute()


class _Mute:
    def received(self, kind: Any, payload: bytes) -> None:
        """Nothing is heard."""

    def pressure(self, full: bool) -> None:
        """Nothing is sent."""

    def lost(self) -> None:
        """Nobody is told."""


class NameTests(SynchronousTestCase):
    """Names of things that are on a node."""

    def test_names(self) -> None:
        """There and back; who says no node is here."""
        self.assertEqual(node_of(name_on("n1", "x.y")), "n1")
        self.assertIsNone(node_of("Zk3v1QmC8xTa"))
