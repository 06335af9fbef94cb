"""Who is here, on a real server that is killed, and with members that are cut and go."""

from __future__ import annotations

import asyncio
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from takotwist.app.publisher import Publisher
from tests.faults.presence_crowd import CROWD_CHANNEL, Tab, until
from tests.faults.seen import say
from tests.sockets.server_process import FAST, ServerProcess

MEMBERS, CUTS, KILLS = 200, 500, 2

#: Seconds within which all is quiet again, on a busy machine.
QUIET = 90.0


class PresenceTests(SynchronousTestCase):
    """One server, one topic."""

    timeout = 600

    def setUp(self) -> None:
        self.random = Random(14)
        self.server = ServerProcess(FAST, {"crowd.py": CROWD_CHANNEL})
        self.server.start()
        self.addCleanup(self.server.close)

    def tab(self, name: str, channel: str = "crowd") -> Tab:
        return Tab(self.server, name, self.random, channel)

    def test_cuts_and_kills(self) -> None:
        """At every quiet point each client's list equals the truth; no ghost is left, nobody
        joins or leaves without its pair, and nothing comes twice."""
        asyncio.run(self._cuts_and_kills())
        self.server.assert_clean()

    async def _cuts_and_kills(self) -> None:
        tabs: dict[str, list[Tab]] = {}
        for number in range(MEMBERS):
            name = f"m{number}"
            tabs[name] = [self.tab(name)]
            if number % 20 == 0:
                await asyncio.sleep(0.1)
        await self._all_agree(tabs, "after all have come")
        for phase in range(KILLS + 1):
            for _ in range(CUTS // (KILLS + 1)):
                name = self.random.choice(sorted(tabs))
                what = self.random.random()
                if what < 0.7:
                    self.random.choice(tabs[name]).cut()
                elif what < 0.85:
                    tabs[name].append(self.tab(name))
                elif len(tabs[name]) > 1 or len(tabs) > MEMBERS // 2:
                    await tabs[name].pop().close()
                    if not tabs[name]:
                        del tabs[name]
                await asyncio.sleep(self.random.uniform(0, 0.02))
            if phase < KILLS:
                self.server.kill()
                # Some go while it is down.
                for name in self.random.sample(sorted(tabs), 5):
                    for each in tabs.pop(name):
                        await each.close()
                await asyncio.to_thread(self.server.start)
            await self._all_agree(tabs, f"after phase {phase}")
        every = [each for of in tabs.values() for each in of]
        self.assertEqual([wrong for each in every for wrong in each.wrong], [])
        publisher = Publisher(f"unix:{self.server.private_socket}")
        listed = await publisher.members_soon("crowd", {})
        self.assertEqual(len(listed), len(tabs))
        victim = sorted(tabs)[0]
        self.assertGreaterEqual(await publisher.kick_soon("crowd", {}, victim), 1)
        await publisher.close_async()
        await asyncio.gather(*[each.close() for each in every])

    async def _all_agree(self, tabs: dict[str, list[Tab]], when: str) -> None:
        truth = set(tabs)

        def agree() -> bool:
            return all(each.members == truth for of in tabs.values() for each in of)

        if not await until(agree, QUIET):
            for of in tabs.values():
                for each in of:
                    missing, ghosts = truth - each.members, each.members - truth
                    self.assertEqual((missing, ghosts), (set(), set()), f"{each.name} {when}")
        say(f"{len(truth)} members {when}", "all lists are right")
