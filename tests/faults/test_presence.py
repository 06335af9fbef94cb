"""Who is here, on a real server that is killed, and with members that are cut and go."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Sequence
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from takotwist.app.publisher import Publisher
from takotwist.client.asyncio import subscribe
from takotwist.client.presence import Roster
from tests.adapters.postgres.engine import Engine
from tests.faults.presence_crowd import CROWD_CHANNEL, Tab, until
from tests.faults.seen import say
from tests.sockets.server_process import FAST, ServerProcess, wait_until

#: Members, cuts and kills of one server; with ``TAKO_TEST_FULL=1`` members and cuts of all.
FULL = (200, 500, 2)

#: Seconds within which all is quiet again, on a busy machine.
QUIET = 90.0


class PresenceCase(SynchronousTestCase):
    """A topic, and a crowd at it.

    :cvar kills: after each part of the cuts what is to be survived happens once.
    :cvar known: connections of one member that the process which is asked knows of, at least.
    """

    timeout = 600
    arguments: Sequence[str] = ()
    members, cuts, kills = FULL
    known = 1
    servers: list[ServerProcess]

    def setUp(self) -> None:
        seed = os.environ.get("TAKO_TEST_SEED") or str(Random().randrange(10**6))
        say("the seed of this run", seed)
        self.random = Random(seed)
        self.servers = []
        self.add_servers()
        if os.environ.get("TAKO_TEST_FULL"):
            self.members, self.cuts = FULL[:2]

    def add_servers(self) -> None:
        """Start what members connect to."""
        self.add_server(FAST)

    def add_server(self, config: str) -> None:
        """Start one more."""
        server = ServerProcess(config, {"crowd.py": CROWD_CHANNEL}, arguments=self.arguments)
        self.addCleanup(server.close)
        self.servers.append(server)
        self.begin(server)

    def begin(self, server: ServerProcess) -> None:
        """Start one, on a machine that may have much else to do."""
        server.start(ready=False)
        server.wait_ready(QUIET)

    def kill(self) -> None:
        """What is to be survived."""
        self.servers[0].kill()

    def come_back(self) -> None:
        """After it."""
        self.begin(self.servers[0])

    def tab(self, name: str, channel: str = "crowd") -> Tab:
        return Tab(self.servers, name, self.random, channel)

    def check(self) -> None:
        """At every quiet point each client's list equals the truth; no ghost is left, nobody
        joins or leaves without its pair, and nothing comes twice."""
        asyncio.run(self._cuts_and_kills())
        for server in self.servers:
            server.assert_clean()

    async def _cuts_and_kills(self) -> None:
        tabs: dict[str, list[Tab]] = {}
        for number in range(self.members):
            name = f"m{number}"
            tabs[name] = [self.tab(name)]
            if number % 20 == 0:
                await asyncio.sleep(0.1)
        await self._all_agree(tabs, "after all have come")
        for phase in range(self.kills + 1):
            for _ in range(self.cuts // (self.kills + 1)):
                name = self.random.choice(sorted(tabs))
                what = self.random.random()
                if what < 0.7:
                    self.random.choice(tabs[name]).cut()
                elif what < 0.85:
                    tabs[name].append(self.tab(name))
                elif len(tabs[name]) > 1 or len(tabs) > self.members // 2:
                    await tabs[name].pop().close()
                    if not tabs[name]:
                        del tabs[name]
                await asyncio.sleep(self.random.uniform(0, 0.02))
            if phase < self.kills:
                self.kill()
                # Some go while it is down.
                for name in self.random.sample(sorted(tabs), 5):
                    for each in tabs.pop(name):
                        await each.close()
                await asyncio.to_thread(self.come_back)
            await self._all_agree(tabs, f"after phase {phase}")
        every = [each for of in tabs.values() for each in of]
        self.assertEqual([wrong for each in every for wrong in each.wrong], [])
        publisher = Publisher(f"unix:{self.servers[0].private_socket}")
        listed = await publisher.members_soon("crowd", {})
        self.assertEqual(len(listed), len(tabs))
        self.assertEqual(await self._seen_by_python(len(tabs)), set(tabs))
        victim = sorted(tabs)[0]
        # As many as that one process knows of.
        self.assertGreaterEqual(await publisher.kick_soon("crowd", {}, victim), self.known)
        await publisher.close_async()
        await asyncio.gather(*[each.close() for each in every])

    async def _seen_by_python(self, count: int) -> set[str]:
        """Who the client for asyncio names."""
        roster = Roster()
        following = subscribe(self.servers[0].url, "crowd", credentials="watcher", presence=True)
        async with asyncio.timeout(QUIET), following as events:
            async for event in events:
                roster.take(event)
                if len(roster.members) == count:
                    break
        return set(roster.members)

    async def _all_agree(self, tabs: dict[str, list[Tab]], when: str) -> None:
        truth = set(tabs)

        def agree() -> bool:
            # What one that is cut still has in its hands is of no moment, until it is back.
            return all(each.here and each.members == truth for of in tabs.values() for each in of)

        if not await until(agree, QUIET):
            for of in tabs.values():
                for each in of:
                    missing, ghosts = truth - each.members, each.members - truth
                    self.assertEqual((missing, ghosts), (set(), set()), f"{each.name} {when}")
        say(f"{len(truth)} members {when}", "all lists are right")


class OneServerTests(PresenceCase):
    """One process with its log alone."""

    def test_cuts_and_kills(self) -> None:
        """200 members, 500 cuts, reloads and tabs, and the server is killed twice."""
        self.check()


class WorkersTests(PresenceCase):
    """Three workers on one log, of which two are killed; then all are replaced, one by one."""

    arguments = ("--workers", "3")
    members, cuts, kills = 60, 240, 3
    known = 0
    _killed = 0
    _replaced = False

    def add_servers(self) -> None:
        self.add_server(f"{FAST}drain_seconds = 1\n")

    def kill(self) -> None:
        if self._killed == 2:
            self._replaced = True
            self.servers[0].signal(signal.SIGUSR2)
            return
        ready = re.findall(r"worker[-\d]* is ready \(process (\d+)\)", self.servers[0].log)
        living = [int(pid) for pid in ready if os.path.exists(f"/proc/{pid}")]
        os.kill(living[self._killed % len(living)], signal.SIGKILL)
        self._killed += 1

    def come_back(self) -> None:
        if self._replaced:
            server = self.servers[0]
            wait_until(lambda: "rolling restart: done" in server.log, "all were replaced", QUIET)

    def test_cuts_and_kills(self) -> None:
        """A member has tabs on several workers, and its list is one."""
        self.check()


class ServersTests(PresenceCase):
    """Three servers on one PostgreSQL, of which one is killed and comes back, and one dies."""

    members, cuts = 40, 150
    known = 0
    _dead = 0

    def add_servers(self) -> None:
        self.engine = Engine()
        self.addCleanup(self.engine.close)
        for _ in range(3):
            self.add_server(f'{FAST}\n[replay]\nurl = "{self.engine.url()}"\n')

    def kill(self) -> None:
        self.victim = self.servers[-1]
        self.victim.kill()
        if self._dead:
            # For good: a load balancer has it taken out, and what it said of its members is
            # ended by another, after its lease.
            self.servers.remove(self.victim)

    def come_back(self) -> None:
        if not self._dead:
            self.begin(self.victim)
        self._dead += 1

    def test_cuts_and_kills(self) -> None:
        """No ghost is left after the grace and the lease, and each leave is told once."""
        self.check()
