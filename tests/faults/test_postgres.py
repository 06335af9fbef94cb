"""Two servers on one PostgreSQL, all of which are killed and stopped while messages go through."""

from __future__ import annotations

import os
import signal
import time
from random import Random

import httpx
from twisted.trial.unittest import SynchronousTestCase

from tests.adapters.postgres.engine import FAST as FAST_ENGINE
from tests.adapters.postgres.engine import Engine
from tests.faults.seen import say
from tests.faults.through import ROOM, Publishing, Reading, finish
from tests.sockets.readers import READERS, Cut, Reader, SseReader
from tests.sockets.server_process import FAST, ServerProcess, wait_until

#: How a server refuses, and ends, while it is not ready or the store is away.
STATUSES, CODES = (503,), (1001, 1006, 1013)


class PostgresFaultTests(SynchronousTestCase):
    """What an acknowledgement is worth, on whichever server."""

    def setUp(self) -> None:
        # What is committed outlives `kill -9`, though not the machine.
        self.engine = Engine({**FAST_ENGINE, "synchronous_commit": "on"})
        self.addCleanup(self.engine.close)
        self.random = Random("servers on a PostgreSQL")

    def server(self, url: str = "") -> ServerProcess:
        replay = f'[replay]\nurl = "{url or self.engine.url()}"\nstatement_timeout_seconds = 1\n'
        server = ServerProcess(f"{FAST}\n{replay}connect_timeout_seconds = 1\n")
        self.addCleanup(server.close)
        return server.start()

    def finish(self, publishing: list[Publishing], reading: list[Reading]) -> None:
        acknowledged = finish(self, publishing, reading)
        say(
            "two servers on one PostgreSQL, under faults",
            f"{len(acknowledged)} acknowledged, {sum(one.refused for one in publishing)} times"
            f" refused for a while, the longest answer after"
            f" {max(one.slowest for one in publishing):.1f} s",
        )

    def test_all_are_killed(self) -> None:
        """Servers and the engine are killed in turn, and the engine is stopped for seconds: no
        acknowledged message is lost, doubled or out of order for anybody, and who publishes is
        answered in a bounded time."""
        servers = [self.server(), self.server()]
        publishing = [
            Publishing(server, f"{at}.{worker}", away=True)
            for at, server in enumerate(servers)
            for worker in range(2)
        ]
        reading = [
            Reading(kind(server.port, "chat", ROOM, cursor="0"), STATUSES, CODES)
            for server in servers
            for kind in READERS.values()
        ]
        for thread in (*publishing, *reading):
            thread.start()
        for fault in ("server", "engine", "server", "stopped", "engine", "server"):
            time.sleep(self.random.uniform(0.5, 1.2))
            if fault == "server":
                server = servers[self.random.randrange(2)]
                server.kill()
                server.start()
            elif fault == "engine":
                self.engine.kill()
                time.sleep(0.3)
                self.engine.start()
            else:
                self.engine.signal(signal.SIGSTOP)
                time.sleep(4)
                self.engine.signal(signal.SIGCONT)
        time.sleep(1)
        self.finish(publishing, reading)
        self.assertLess(max(one.slowest for one in publishing), 15)
        self.assertGreater(min(len(one.acknowledged) for one in publishing), 5)
        for server in servers:
            server.assert_clean()

    def test_idle_subscriber_after_a_failover(self) -> None:
        """A replica takes over: who is connected and idle is told that its cursor is too old,
        because nobody knows what was lost, and gets the next message when it goes on."""
        replica = Engine(FAST_ENGINE, copy_of=self.engine)
        self.addCleanup(replica.close)
        both = f"postgresql://tako@/postgres?host={self.engine.folder},{replica.folder}"
        server = self.server(both)
        reader = SseReader(server.port, "chat", ROOM, cursor="").begin()
        self.addCleanup(reader.close)
        self.engine.kill()
        replica.promote()
        with self.assertRaises(Cut):
            while True:
                reader.read()
        wait_until(lambda: "replay-too-old" in server.log, server.log)
        # The store itself may be away for another moment.
        wait_until(lambda: self.begins(reader), "a subscription without a cursor")
        with server.private(timeout=30) as private:
            Publishing(server, "after", away=True).until_acknowledged(private, "next")
        reader.read_until(1)
        self.assertEqual(reader.messages[0]["data"], {"name": "next"})
        server.assert_clean()

    def health(self, server: ServerProcess) -> tuple[int, int]:
        """Readiness and liveness."""
        ready, live = (
            httpx.get(f"{server.url}/_tako/health{query}").status_code for query in ("", "?live")
        )
        return ready, live

    def begins(self, reader: Reader) -> bool:
        reader.cursor = ""
        try:
            reader.begin()
        except Cut:
            return False
        return True

    def test_transaction_of_an_application(self) -> None:
        """What an application publishes within its transaction reaches subscribers, and both
        servers know of each other."""
        server, other = self.server(), self.server()
        reader = SseReader(other.port, "chat", ROOM, cursor="").begin()
        self.addCleanup(reader.close)
        publish = (
            "SELECT takotwist.tako_publish('chat', json_build_object('roomId', 'lobby'), 'msg',"
            " json_build_object('n', %s::integer))"
        )
        with self.engine.connect() as app:
            for number in range(3):
                with app.transaction():
                    app.execute(publish, [number])
        reader.read_until(3)
        self.assertEqual([one["data"]["n"] for one in reader.messages], [0, 1, 2])

        def nodes() -> int:
            with server.private() as private:
                return len(private.get("/_tako/nodes").json()["nodes"])

        wait_until(lambda: nodes() == 2, "a server that knows the other one")
        self.assertEqual((server.stop(), other.stop()), (0, 0))
        server.assert_clean()
        other.assert_clean()

    def test_engine_that_comes_later(self) -> None:
        """A server that starts before its engine says what is wrong, and serves when it is there;
        the password is in no line."""
        self.engine.stop()
        folder = self.engine.folder
        server = self.server(f"postgresql://tako:geheim@/postgres?host={folder}")
        wait_until(lambda: "it cannot be reached" in server.log, server.log)
        self.assertEqual(self.health(server), (503, 200))
        self.engine.start()
        publishing = Publishing(server, "x", away=True)
        with server.private(timeout=30) as private:
            publishing.until_acknowledged(private, "a")
        self.assertIn("is available again", server.log)
        wait_until(lambda: self.health(server) == (200, 200), "readiness that comes")
        # Nobody asks for anything, and a load balancer learns of it all the same.
        self.engine.kill()
        wait_until(lambda: self.health(server) == (503, 200), "readiness that goes")
        self.engine.start()
        wait_until(lambda: self.health(server) == (200, 200), "readiness that comes back")
        self.assertEqual(server.stop(), 0)
        server.assert_clean("geheim")
        self.assertEqual(os.listdir(server.folder / "state").count("replay.sqlite"), 0)
