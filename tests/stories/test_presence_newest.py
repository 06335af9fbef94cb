"""What counts of a member on several nodes: what was said last, whoever repeats older things."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.memory.log import InMemoryReplayLog
from takotwist.adapters.memory.node import MemoryNode, MemoryStore
from takotwist.core.channel import Lifecycle
from takotwist.core.roster_messages import UPDATE, key_of, read_entry, roster_of
from takotwist.core.topic import Draft, Topic
from takotwist.testing.world import World
from tests.stories.presence_room import WHO, Watcher, chat


class NewestTests(SynchronousTestCase):
    """Ada has a tab on each of two nodes, and says something on both."""

    def setUp(self) -> None:
        self.clock = World(chat()).clock
        inner = InMemoryReplayLog(self.clock)
        inner.start()
        self.store = MemoryStore(inner)
        self.there = ["n1", "n2"]
        self.logs: dict[str, MemoryNode] = {}
        self.one, self.two = self.node("n1"), self.node("n2")
        self.watchers = [Watcher(world).follow() for world in (self.one, self.two)]
        self.first = self.tab(self.one)
        self.second = self.tab(self.two)

    def node(self, name: str, run: str = "") -> World:
        async def living() -> list[str]:
            return self.there

        log = self.logs[name] = MemoryNode(self.store, name + run)
        return World(chat(), log=log, clock=self.clock, node=name, living=living)

    def tab(self, world: World, name: str = "ada") -> Watcher:
        tab = Watcher(world, name).join()
        self.pause()
        return tab

    def say(self, tab: Watcher, x: int) -> None:
        tab.say({"x": x})
        self.pause()

    def pause(self, seconds: float = 0.5) -> None:
        self.two.advance(seconds)

    def shown(self) -> tuple[Any, Any]:
        """What all of them are shown of her: who follows, who asks, and the app."""
        members = self.successResultOf(self.two.parts.rosters.members("chat", {"roomId": "a"}))
        entries = [read_entry(member) for member in members]
        for watcher in (*self.watchers, Watcher(self.one).follow(), Watcher(self.two).follow()):
            self.assertEqual(watcher.read(), ["ada"])
            entries.append(watcher.view.newest("ada"))
        said = {(entry.info, entry.state) for entry in entries}
        self.assertEqual(len(said), 1, entries)
        [(info, state)] = said
        shown = [None if one is None else msgspec.json.decode(one) for one in (info, state)]
        listed = self.one.get(WHO, {"Authorization": "guest"}).json["members"]
        for of, counts in (("info", shown[0]), ("state", shown[1])):
            newest = max((one for one in listed if of in one), key=lambda one: int(one[f"{of}Id"]))
            self.assertEqual(newest[of], counts)
        return shown[0]["name"], shown[1] and shown[1]["x"]

    def test_new_info(self) -> None:
        """A node that stores a member anew for its info repeats the state that it knows."""
        self.say(self.first, 1)
        self.say(self.second, 2)
        self.tab(self.one, "ada:Lovelace")
        self.assertEqual(self.shown(), ("Lovelace", 2))

    def test_new_state(self) -> None:
        """And one that stores a new state the info that it knows."""
        self.tab(self.two, "ada:Lovelace")
        self.say(self.first, 1)
        self.assertEqual(self.shown(), ("Lovelace", 1))
        self.say(self.second, 2)
        self.tab(self.one, "ada:Countess")
        self.say(self.second, 3)
        self.assertEqual(self.shown(), ("Countess", 3))

    def test_was_taken_for_dead(self) -> None:
        """A node that stores all of its members again has nothing new of them."""
        self.say(self.first, 1)
        self.say(self.second, 2)
        self.tab(self.two, "ada:Lovelace")
        self.there = ["n2"]
        self.pause(25)
        self.there = ["n1", "n2"]
        self.pause(12)
        entries = [one.on for one in self.entries()]
        self.assertEqual(sorted(entries), ["n1", "n2"])
        self.assertEqual(self.shown(), ("Lovelace", 2))

    def test_says_the_same_again(self) -> None:
        """What a tab has said before is new where it says it again."""
        self.say(self.first, 1)
        self.say(self.second, 2)
        self.say(self.first, 1)
        self.assertEqual(self.shown(), ("Ada", 1))

    def test_comes_back(self) -> None:
        """What a client says when it is back, as it does after each cut, is what it had said."""
        self.say(self.first, 1)
        self.say(self.second, 2)
        self.first.socket.close(1001)
        self.pause(2)
        self.say(self.tab(self.one), 1)
        self.assertEqual(self.shown(), ("Ada", 2))

    def test_cut_off(self) -> None:
        """What could not be stored at once is no newer for that."""
        self.logs["n1"].cut()
        self.say(self.first, 1)
        self.say(self.second, 2)
        self.logs["n1"].mend()
        self.pause(5)
        self.assertEqual(sorted(one.state for one in self.entries()), [b'{"x":1}', b'{"x":2}'])
        self.assertEqual(self.shown(), ("Ada", 2))
        self.say(self.first, 3)
        self.assertEqual(self.shown(), ("Ada", 3))

    def test_restart(self) -> None:
        """A node that starts again knows what of its members is old."""
        self.say(self.first, 1)
        self.say(self.second, 2)
        self.one.parts.presence.stop()
        self.one = self.node("n1", "again")
        self.tab(self.one, "ada:Lovelace")
        self.watchers = self.watchers[1:]
        self.assertEqual(self.shown(), ("Lovelace", 2))

    def test_version_before(self) -> None:
        """Entries of a server that says no ids are as new as their messages."""
        said = b'{"on":"n1","subject":"ada","since":1,"info":{"name":"Old"},"state":{"x":%d}}'
        self.one.parts.presence.stop()
        self.say(self.second, 2)
        topic = roster_of(Topic.of("chat", {"roomId": "a"}))
        self.two.parts.presence.store.publishing.publish(
            topic, [Draft(UPDATE, said % 3)], Lifecycle(), keys=(key_of("n1", "ada"),), kept=True
        )
        self.watchers = self.watchers[1:]
        self.one = self.node("n1", "again")
        self.pause()
        self.assertEqual(self.shown(), ("Old", 3))
        self.say(self.second, 4)
        self.tab(self.one, "ada:New")
        self.assertEqual(self.shown(), ("New", 4))

    def entries(self) -> list[Any]:
        topic = roster_of(Topic.of("chat", {"roomId": "a"}))
        page = self.successResultOf(self.logs["n2"].read(topic, 0, 100, 100_000))
        return [read_entry(one.data) for one in page.messages if one.type != "tako.count"]
