"""Live objects and broadcasts of two servers on one PostgreSQL, which reach each other by TCP."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from tests.adapters.postgres.engine import FAST as FAST_ENGINE
from tests.adapters.postgres.engine import Engine
from tests.faults.live_client import LivePage
from tests.sockets.server_process import FAST, ServerProcess, free_port
from tests.sockets.test_workers_live import FUNCTIONS


class ServersTests(SynchronousTestCase):
    """Two servers, each with a folder of its own."""

    def setUp(self) -> None:
        engine = Engine(FAST_ENGINE)
        self.addCleanup(engine.close)
        self.servers = []
        for _ in range(2):
            server = ServerProcess(
                f"{FAST}\n[live]\ncall_rate = 0\nping_interval_seconds = 60\n"
                f'[replay]\nurl = "{engine.url()}"\n'
                f'[server]\npeer_listen = "tcp:{free_port()}:interface=127.0.0.1"\n',
                None,
                serve=True,
            )
            self.addCleanup(server.close)
            server.write("functions/live.py", FUNCTIONS)
            server.start()
            self.servers.append(server)
        self.one, self.other = self.servers

    def test_page_of_both(self) -> None:
        """A page whose objects are on both, on a wire to one; broadcasts; and the list of nodes,
        before and after one is killed."""
        page = LivePage(self.one)
        here = page.get("onOpen")
        page.server = self.other
        there, room = page.get("onOpen"), page.get("onJoin", True)
        page.server = self.one
        attached = page.attach(here, there, room)
        self.assertEqual((len(attached["open"]), attached["ended"]), (3, []))
        pids = []
        for name in (here, there):
            page.send(name, "send", "hi", ack=True)
            pids.append(page.until("live", do="ack")["data"].split()[0])
        self.assertEqual(pids, [str(server.pid) for server in self.servers])
        page.send(room, "subscribe", kind="text", ack=True)
        page.until("live", do="ack")
        for number, server in enumerate((self.one, self.other, self.one), 1):
            other = LivePage(server)
            self.assertEqual(other.call("onSay", f"n{number}", True).json()["result"][1], number)
            said = page.until("live", do="published")
            self.assertEqual((said["data"], said["info"]["seq"]), (f"n{number}", number))
        for server in self.servers:
            with server.private(timeout=30) as private:
                nodes = private.get("/_tako/nodes").json()["nodes"]
            self.assertEqual(sorted(str(one["pid"]) for one in nodes), sorted(pids))
            self.assertTrue(all(one["answered"] for one in nodes), nodes)
        self.other.kill()
        page.end()
        again = page.attach(here, there)
        self.assertEqual(
            again["ended"], [{"id": there, "error": {"code": "network"}}], json.dumps(again)
        )
        page.leave()
