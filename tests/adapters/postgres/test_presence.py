"""Who is here, on two nodes that share a PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.postgres.schema import LIVES_US
from takotwist.flow.presence_nodes import LEFT_SECONDS
from takotwist.testing.world import BEGINNING, World
from tests.adapters.postgres.clocked import ClockedLog
from tests.adapters.postgres.clocked import World as Store
from tests.adapters.postgres.pumped import PumpedReactor
from tests.contracts.replay_log import SECOND
from tests.stories.presence_room import ROOM, Watcher, chat

NOW = int(BEGINNING) * SECOND


class _Reactor(PumpedReactor):
    """One whose threads are not real."""

    def callFromThread(self, call: Any, *arguments: Any, **named: Any) -> None:
        call(*arguments, **named)


class PresenceTests(SynchronousTestCase):
    """Two servers in memory, and a real engine."""

    def setUp(self) -> None:
        self.reactor = _Reactor()
        self.reactor.rightNow = BEGINNING
        self.store = Store(NOW, self.reactor)
        self.addCleanup(self.store.close)
        self.logs: list[ClockedLog] = []
        self.one, self.two = self.node("n1"), self.node("n2")
        for log in self.logs:
            self.reactor.until(lambda log=log: log.head)
        self.watcher = Watcher(self.two).follow()
        self.reactor.until(lambda: self.watcher.read() == [] and self.watcher.synced)

    def node(self, name: str) -> World:
        log = self.store.log(node=name)
        self.logs.append(log)
        self.addCleanup(log.stop)

        async def living() -> Collection[str]:
            return [node.name for node in await log.nodes()]

        clock: Any = self.reactor
        return World(chat(), log=log, clock=clock, node=name, living=living)

    def until(self, *names: str) -> None:
        """Let time pass, a little at once and what is on its way first, until these are here."""

        def here() -> bool:
            self.pass_time(0.25)
            return self.watcher.read() == list(names)

        self.reactor.until(here)

    def pass_time(self, seconds: float) -> None:
        self.reactor.advance(seconds)
        self.store.set_clock(int(self.reactor.seconds() * SECOND))

    def count(self, what: str) -> int:
        return self.watcher.events.count((what, "ada"))

    def test_one_list(self) -> None:
        """Who is on two nodes is one member, and leaves with the last of its connections."""
        first = self.one.subscribe(ROOM, {"Authorization": "ada"})
        self.until("ada")
        second = self.two.subscribe(ROOM, {"Authorization": "ada"})
        self.one.subscribe(ROOM, {"Authorization": "bob"})
        self.until("ada", "bob")
        first.leave()
        self.one.subscribe(ROOM, {"Authorization": "eve"})
        self.until("ada", "bob", "eve")
        self.assertEqual(self.count("leave"), 0)
        second.leave()
        self.until("bob", "eve")
        self.assertEqual((self.count("join"), self.count("leave")), (1, 1))

    def test_dead_node(self) -> None:
        """A node that dies leaves its members once; and one that was not dead has them again."""
        self.one.subscribe(ROOM, {"Authorization": "ada"})
        self.two.subscribe(ROOM, {"Authorization": "bob"})
        self.until("ada", "bob")
        self.logs[0]._directory.stop()
        self.until("bob")
        gone = self.reactor.seconds() - BEGINNING
        self.assertGreater(gone, LIVES_US / SECOND)
        self.assertLess(gone, LIVES_US / SECOND + 4 * LEFT_SECONDS)
        self.assertEqual(self.count("leave"), 1)
        self.logs[0]._directory.start()
        self.until("ada", "bob")
        self.assertEqual(self.count("leave"), 1)
