"""Who is here on several nodes: one list, members that move, nodes that die and come back."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.memory.log import InMemoryReplayLog
from takotwist.adapters.memory.node import MemoryNode, MemoryStore
from takotwist.core.roster_messages import read_entry
from takotwist.core.topic import Topic
from takotwist.testing.memory_peer import HttpPeer
from takotwist.testing.memory_peers import MemoryNetwork, MemoryPeers
from takotwist.testing.world import World
from takotwist.trampoline import started
from tests.stories.presence_room import ROOM, WHO, Watcher, chat


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

    def test_second_tab(self) -> None:
        """A second tab, on another node, takes nothing back of what the first has said; and the
        app is told the same."""
        watcher = Watcher(self.two).follow()
        ada = Watcher(self.one, "ada").join()
        self.advance(0.5)
        ada.say({"x": 1})
        self.advance(0.5)
        self.two.subscribe(ROOM, {"Authorization": "ada"})
        self.advance(0.5)
        self.assertEqual(watcher.read(), ["ada"])
        self.assertEqual(watcher.view.newest("ada").state, b'{"x":1}')
        rosters = self.two.parts.rosters
        [member] = self.successResultOf(rosters.members("chat", {"roomId": "a"}))
        self.assertEqual(read_entry(member).state, b'{"x":1}')

    def test_node_dies_under_one_tab(self) -> None:
        """The other tab, on another node, keeps the member there: nobody is told of a leave."""
        watcher = Watcher(self.two).follow()
        for world in (self.one, self.two):
            world.subscribe(ROOM, {"Authorization": "ada"})
        self.advance(0.5)
        self.one.parts.presence.stop()
        dead_nodes = self.two.parts.presence.dead_nodes
        ended = self.successResultOf(started(dead_nodes.take_over("n1", lambda: True)))
        self.assertEqual((ended, watcher.read()), (1, ["ada"]))
        self.assertNotIn(("leave", "ada"), watcher.events)

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
        dead_nodes = self.two.parts.presence.dead_nodes
        kept = self.successResultOf(started(dead_nodes.take_over("n1", lambda: False)))
        self.assertEqual((kept, watcher.read()), (0, ["ada", "bob"]))
        for ended in (1, 0):
            number = self.successResultOf(started(dead_nodes.take_over("n1", lambda: True)))
            self.assertEqual(number, ended)
        self.assertEqual(watcher.read(), ["bob"])
        self.assertEqual(watcher.events.count(("leave", "ada")), 1)


class RollingTests(SynchronousTestCase):
    """A node and its successor of the same name, for a while both at once."""

    def setUp(self) -> None:
        self.clock = World(chat()).clock
        inner = InMemoryReplayLog(self.clock)
        inner.start()
        self.store = MemoryStore(inner)
        self.old, self.other = self.node("n1", "old"), self.node("n2")
        self.watcher = Watcher(self.other).follow()
        self.tabs = {name: self.stream(self.old, name) for name in ("ada", "bob", "cy")}
        self.other.advance(1)
        # Ready, and has read what the old one had stored by now.
        self.new = self.node("n1", "new")

    def node(self, name: str, run: str = "") -> World:
        log = MemoryNode(self.store, name + run)
        return World(chat(), log=log, clock=self.clock, node=name, run=run)

    def stream(self, world: World, name: str) -> HttpPeer:
        return world.subscribe(ROOM, {"Authorization": name})

    def seen(self) -> list[tuple[str, str]]:
        self.watcher.read()
        return [event for event in self.watcher.events if event[0] != "update"]

    def test_nobody_flickers(self) -> None:
        """Who is closed by the one that goes, and comes to another, has not been away."""
        self.old.parts.presence.stop()
        for number, (name, tab) in enumerate(self.tabs.items()):
            tab.leave()
            self.stream(self.new if number else self.other, name)
        self.other.advance(60)
        self.assertEqual(self.watcher.read(), ["ada", "bob", "cy"])
        self.assertEqual([kind for kind, _ in self.seen()], ["join"] * 3)

    def test_joins_late(self) -> None:
        """Who came to the old one after the new one had read the log is no ghost."""
        late = self.stream(self.old, "dan")
        self.other.advance(0.5)
        self.old.parts.presence.stop()
        late.leave()
        moved = self.stream(self.other, "dan")
        self.other.advance(30)
        self.assertIn("dan", self.watcher.read())
        moved.leave()
        for tab in self.tabs.values():
            tab.leave()
        self.other.advance(30)
        self.assertEqual(self.watcher.read(), [])
        self.assertEqual(self.seen().count(("leave", "dan")), 1)

    def test_leaves_late(self) -> None:
        """Nor is somebody missing whom the old one has let go, and who is at the new one."""
        again = self.stream(self.new, "bob")
        self.old.parts.presence.kick(Topic.of("chat", {"roomId": "a"}), "bob")
        self.other.advance(0.5)
        self.old.parts.presence.stop()
        self.other.advance(15)
        self.assertIn("bob", self.watcher.read())
        again.leave()
        self.other.advance(15)
        self.assertNotIn("bob", self.watcher.read())

    def test_kick(self) -> None:
        """A member that is kicked at either of them is out at both."""
        for there, name in ((self.new, "ada"), (self.old, "bob")):
            moved = self.stream(self.new, name)
            answer = there.request("DELETE", f"{WHO}&subject={name}", private=True)
            self.assertEqual(answer.json, {"connections": 1})
            self.assertEqual((self.tabs[name].ended, moved.ended), (True, True))
        self.other.advance(1)
        self.assertEqual(self.watcher.read(), ["cy"])

    def test_restart_after_it(self) -> None:
        """What the old one took out of the index is in it again: a later run finds its members."""
        for name, tab in self.tabs.items():
            self.stream(self.new, name)
            self.old.parts.presence.kick(Topic.of("chat", {"roomId": "a"}), name)
            tab.leave()
        self.other.advance(2)
        self.old.parts.presence.stop()
        self.other.advance(15)
        self.assertEqual(self.watcher.read(), ["ada", "bob", "cy"])
        self.new.parts.presence.stop()
        third = self.node("n1", "third")
        self.stream(third, "ada")
        self.other.advance(15)
        self.assertEqual(self.watcher.read(), ["ada"])

    def test_busy_meanwhile(self) -> None:
        """What changes while the log is read is not taken for a difference."""
        self.old.parts.presence.stop()
        for name in self.tabs:
            self.stream(self.new, name)
        ada = Watcher(self.new, "ada").join()
        for number in range(150):
            ada.say({"x": number})
            self.clock.advance(0.1)
        self.other.advance(1)
        self.assertEqual(self.watcher.read(), ["ada", "bob", "cy"])
        self.assertEqual(self.watcher.view.newest("ada").state, b'{"x":149}')
        self.assertEqual([kind for kind, _ in self.seen()], ["join"] * 3)


class StreamElsewhereTests(SynchronousTestCase):
    """A member whose event stream is on one node, and whose POSTs come to another."""

    def setUp(self) -> None:
        self.clock = World(chat()).clock
        inner = InMemoryReplayLog(self.clock)
        inner.start()
        self.store, self.network = MemoryStore(inner), MemoryNetwork()
        self.one, self.two = self.node("n1"), self.node("n2")
        ada = self.one.subscribe(ROOM, {"Authorization": "ada"})
        self.one.advance(0.5)
        opened: Any = ada.events[0].data
        self.connection = opened["data"]["connection"]

    def node(self, name: str) -> World:
        peers = MemoryPeers(self.network, name)
        log = MemoryNode(self.store, name)
        world = World(chat(), log=log, clock=self.clock, node=name, peers=peers)
        assert world.parts.peer_door is not None
        self.network.doors[name] = world.parts.peer_door
        return world

    def say(self, name: str, state: object, **more: str) -> HttpPeer:
        body = {"connection": self.connection, "state": state, **more}
        return self.two.request("POST", WHO, {"Authorization": name}, body)

    def test_says(self) -> None:
        """What it says is passed on, and comes to all."""
        watcher = Watcher(self.two).follow()
        self.assertTrue(self.connection.startswith("n1."))
        answer = self.say("ada", {"x": 7})
        self.assertEqual((answer.status, answer.json), (200, {}))
        self.one.advance(0.5)
        watcher.read()
        self.assertEqual(watcher.view.newest("ada").state, b'{"x":7}')

    def test_refused(self) -> None:
        """It is judged as it would be there: another's, too large, no state, no connection."""
        for name, state, more, code in (
            ("bob", {"x": 1}, {}, "verify-rejected"),
            ("guest", {"x": 1}, {}, "verify-rejected"),
            ("ada", {"x": "y"}, {}, "body-invalid"),
            ("ada", {"x": 1, "y": "y" * 2500}, {}, "message-too-large"),
            ("ada", {"x": 1}, {"connection": "n1.none"}, "not-found"),
            ("ada", {"x": 1}, {"connection": "n9.none"}, "not-found"),
        ):
            self.assertEqual(self.say(name, state, **more).code, code)

    def test_node_gone(self) -> None:
        """Where the node that held the stream is gone there is none of that name."""
        self.network.kill("n1")
        answer = self.say("ada", {"x": 7})
        self.assertEqual((answer.status, answer.code), (404, "not-found"))


class ComingNodesTests(SynchronousTestCase):
    """Nodes that come and go: which of them are there is asked."""

    def setUp(self) -> None:
        first = World(chat())
        self.clock = first.clock
        inner = InMemoryReplayLog(self.clock)
        inner.start()
        self.store = MemoryStore(inner)
        self.there: list[str] | None = ["n1", "n2", "n3"]
        self.one, self.two, self.three = (self.node(name) for name in ("n1", "n2", "n3"))
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

    def test_two_die(self) -> None:
        """Somebody had a tab on each: they leave once."""
        self.two.subscribe(ROOM, {"Authorization": "ada"})
        watcher = Watcher(self.three).follow()
        self.two.advance(1)
        for world in (self.one, self.two):
            world.parts.presence.stop()
        self.there = ["n3"]
        self.two.advance(60)
        self.assertEqual((watcher.read(), watcher.events.count(("leave", "ada"))), ([], 1))

    def test_back_while_it_is_ended(self) -> None:
        """Its members are here in the end, and those that did not come back are not."""
        self.one.subscribe(ROOM, {"Authorization": "cy"})
        self.two.advance(1)
        self.one.parts.presence.stop()
        self.there = ["n2", "n3"]
        self.two.advance(19)
        again = self.node("n1")
        again.subscribe(ROOM, {"Authorization": "ada"})
        self.two.advance(2)
        self.there = ["n1", "n2", "n3"]
        self.two.advance(31)
        self.assertEqual((self.watcher.read(), self.watcher.view.count), (["ada", "bob"], 0))
