"""What is promised of one server, of several nodes that are cut, killed and stopped.

10,000 messages of six publishers, and readers on every transport, while 300 connections are cut at
random.  Reproducible by the seed that each run prints, as far as processes are.
"""

from __future__ import annotations

import os
import resource
import signal
import threading
import time
from collections.abc import Callable
from random import Random

from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from takotwist import Publisher
from tests.faults.cluster import NODES, Cluster, Postgres, Workers
from tests.faults.crowd import PARAMS, PATH, Crowd
from tests.faults.herd import Herd
from tests.faults.seen import say
from tests.sockets.server_process import FAST, KEY, KEYS, ServerProcess, wait_until

MESSAGES, CUTS = 10_000, 300

#: Of nodes: each comes to its turn five times.
KILLS = 5 * NODES

#: Under a rolling restart.
SUBSCRIBERS = 2_000

#: Seconds in which the last message has to have reached everybody.
LAST = 60.0


class Acceptance:
    """The runs, for each engine."""

    #: It ends what does not end by itself; on a busy machine all of it takes many times as long.
    timeout = 480
    kind: type[Cluster]

    async def through(self, what: str, happens: Callable[[Cluster], None]) -> None:
        """Publish and read through 300 cuts, and what happens once or again and again."""
        seed = os.environ.get("TAKO_TEST_SEED") or str(Random().randrange(10**6))
        random = Random(seed)
        cluster = self.kind(reactor, random, cuts=True)
        await cluster.open()
        try:
            await deferToThread(self._go_through, cluster, random, f"{what} (seed {seed})", happens)
        finally:
            await cluster.close()

    def _go_through(
        self, cluster: Cluster, random: Random, what: str, happens: Callable[[Cluster], None]
    ) -> None:
        cluster.start()
        began, cut = time.monotonic(), cluster.cuts
        crowd = Crowd(cluster.port, MESSAGES, random, lambda: (cluster.cuts - cut) / CUTS)
        happening = Happening(cluster, happens)
        crowd.start()
        happening.start()
        try:
            while crowd.publishes or happening.is_alive():
                time.sleep(0.05)
                if not crowd.publishes:
                    happening.over.set()
            crowd.wait(LAST, max(crowd.acknowledged))
        finally:
            happening.over.set()
            crowd.stop()
            happening.join(60)
        if happening.failure is not None:
            raise happening.failure
        say(
            f"{what}: {NODES} {cluster.name}, {cluster.cuts - cut} cuts, {happening.times} times",
            f"{len(crowd.acknowledged)} messages in {time.monotonic() - began:.0f} s,"
            f" {sum(one.tries for one in crowd.publishing)} tries again of strangers; the slowest"
            f" by publisher {[round(one.longest, 1) for one in crowd.publishing]} s",
        )
        crowd.judge(whole=True)
        assert cluster.cuts - cut >= CUTS, cluster.cuts
        assert happening.times, "nothing happened"
        cluster.assert_clean()

    async def test_killed_nodes(self) -> None:
        """A node is killed every second, one after the other."""
        numbers = iter(range(KILLS))

        def kill(cluster: Cluster) -> None:
            time.sleep(1.0)
            number = next(numbers, None)
            if number is None:
                raise Done
            cluster.kill_node(number % NODES)

        await self.through("a node is killed every second", kill)

    async def test_killed_engine(self) -> None:
        """The engine is killed five times."""
        left = [5]

        def kill(cluster: Cluster) -> None:
            if left[0]:
                left[0] -= 1
                time.sleep(1.0)
                cluster.kill_engine()
            else:
                raise Done

        await self.through("the engine is killed", kill)

    async def test_stopped_engine(self) -> None:
        """The engine does nothing for ten seconds, and nobody is told that it is too late."""

        def stop(cluster: Cluster) -> None:
            time.sleep(3.0)
            cluster.pause_engine(10.0)
            raise Done

        await self.through("the engine is stopped for 10 s", stop)


class Done(Exception):
    """Nothing more is to happen."""


class Happening(threading.Thread):
    """What happens to a cluster meanwhile."""

    def __init__(self, cluster: Cluster, happens: Callable[[Cluster], None]) -> None:
        super().__init__(daemon=True)
        self.times = 0
        self.failure: BaseException | None = None
        self.over = threading.Event()
        self._cluster, self._happens = cluster, happens

    def run(self) -> None:
        try:
            while not self.over.is_set():
                self.times += 1
                self._happens(self._cluster)
        except Done:
            pass
        except BaseException as failure:
            self.failure = failure


class WorkerTests(Acceptance, TestCase):
    """Workers on one box."""

    kind = Workers

    async def test_rolling_restart(self) -> None:
        """Workers are replaced under 2,000 subscribers: nobody is refused, and nothing is lost."""
        server = ServerProcess(
            FAST + "drain_seconds = 3\n" + KEYS, arguments=("--workers", str(NODES))
        )
        self.addCleanup(server.close)
        await deferToThread(self._roll, server)

    def _roll(self, server: ServerProcess) -> None:
        need_files(2 * SUBSCRIBERS)
        server.start()
        herd = Herd(server.port, PATH, SUBSCRIBERS)
        herd.start()
        publisher = Publisher(server.url, key=KEY)
        published = 0
        try:
            wait_until(lambda: herd.wrong or herd.reading == SUBSCRIBERS, "all to be there", 60)
            self.assertEqual(herd.wrong, [])
            server.signal(signal.SIGUSR2)
            began = time.monotonic()
            until = began + 90.0
            done = False
            while time.monotonic() < until:
                publisher.publish("chat", PARAMS, "msg", published)
                published += 1
                time.sleep(0.25)
                if not done and "rolling restart: done" in server.log:
                    # A while longer, for those who come again.
                    done, until = True, time.monotonic() + 3.0
            assert done, f"it takes too long:\n{server.log}"
            try:
                wait_until(
                    lambda: all(len(one.numbers) >= published for one in herd.streams),
                    "all to have all",
                    30,
                )
            except AssertionError as late:
                raise AssertionError(herd.lacking(published)) from late
        finally:
            herd.over.set()
            herd.join(30)
        say(
            f"a rolling restart of {NODES} workers under {SUBSCRIBERS} subscribers",
            f"{published} messages in {time.monotonic() - began:.0f} s; {herd.opened} streams,"
            f" {herd.sent_away} asked to come again",
        )
        self.assertEqual(herd.wrong, [])
        self.assertEqual({tuple(one.numbers) for one in herd.streams}, {tuple(range(published))})
        self.assertGreaterEqual(herd.opened, 2 * SUBSCRIBERS, "not everybody was moved")
        server.assert_clean()


class PostgresTests(Acceptance, TestCase):
    """Servers on one PostgreSQL."""

    kind = Postgres

    async def test_failover(self) -> None:
        """A replica takes over that never saw the last writes: what they were is lost, and whoever
        may have missed something is told; no id is given to two messages, and those who were idle
        get what comes next."""
        cluster = Postgres(reactor, Random(1), cuts=False)
        await deferToThread(cluster.add_replica)
        await cluster.open()
        try:
            await deferToThread(self._fail_over, cluster)
        finally:
            await cluster.close()

    def _fail_over(self, cluster: Postgres) -> None:
        cluster.start()
        replica = cluster.replica
        assert replica is not None
        began = time.monotonic()
        messages, seconds = 3_000, 15.0
        crowd = Crowd(
            cluster.port, messages, Random(2), lambda: (time.monotonic() - began) / seconds
        )
        crowd.start()
        try:
            time.sleep(4.0)
            with replica.connect() as by_hand:
                by_hand.execute("ALTER SYSTEM SET primary_conninfo = 'host=/nowhere'")
                by_hand.execute("SELECT pg_reload_conf()")
            time.sleep(2.0)
            cluster.engine.kill()
            replica.promote()
            wait_until(lambda: not crowd.publishes, "all to be published", 90)
            crowd.wait(LAST, max(crowd.acknowledged))
        finally:
            crowd.stop()
        with replica.connect() as by_hand:
            rows = by_hand.execute("SELECT id FROM takotwist.message").fetchall()
        kept = {id for [id] in rows}
        lost = [id for id in crowd.acknowledged if id not in kept]
        say(
            f"a failover of {NODES} {cluster.name} to a replica that lacks the last writes",
            f"{len(crowd.acknowledged)} messages, {len(lost)} of them lost; readers were told"
            f" {[len(one.stretches) - 1 for one in crowd.reading]} times",
        )
        self.assertTrue(lost, "nothing was lost, so nothing was tried")
        crowd.judge(whole=False)
        # Again, who came back to a node that had not heard of it yet: at most once by each node.
        told = {one.name: len(one.stretches) - 1 for one in crowd.reading}
        self.assertLessEqual(max(told.values()), NODES, told)
        self.assertGreaterEqual(min(told.values()), 1, told)
        cluster.assert_clean()


def need_files(count: int) -> None:
    """Have this process open so many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(count, hard)), hard))
