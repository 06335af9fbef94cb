"""Live objects and broadcasts of a server with several workers, in processes of their own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
from twisted.trial.unittest import SynchronousTestCase

from tests.faults.live_client import LivePage
from tests.sockets.server_process import FAST, ServerProcess, free_port, wait_until

FUNCTIONS = """
import os
from takotwist.live import Broadcast, BroadcastChannel, Channel, Replay, function

KEPT = Replay(window=600)

@function
def on_open():
    channel = Channel()
    channel.listen(lambda data: f"{os.getpid()} heard {data}")
    return channel.client

@function
def on_join(durable: bool = False):
    return BroadcastChannel(key="room", replay=KEPT if durable else None)

@function
async def on_say(text: str, durable: bool = False) -> list[int]:
    receipt = await Broadcast.publish("room", text, replay=KEPT if durable else None)
    return [os.getpid(), receipt.seq]
"""


class WorkersTests(SynchronousTestCase):
    """Two workers, and pages that come to either."""

    def setUp(self) -> None:
        self.serve()

    def serve(self, more: str = "") -> None:
        """Start a server."""
        self.server = ServerProcess(
            f"{FAST}drain_seconds = 1\n{more}[live]\ncall_rate = 0\nping_interval_seconds = 60\n",
            None,
            serve=True,
            arguments=("--workers", "2"),
        )
        self.addCleanup(self.server.close)
        self.server.write("functions/live.py", FUNCTIONS)
        self.server.start()

    def objects(self, page: LivePage, name: str = "onOpen", *args: Any) -> list[str]:
        """An object of each worker."""
        found: dict[str, str] = {}

        def both() -> bool:
            # Connections that stay, or all might go to the worker with fewer pages.
            client = httpx.Client()
            self.addCleanup(client.close)
            one = page.get(name, *args, client=client)
            found.setdefault(one.partition(".")[0], one)
            return len(found) == 2

        wait_until(both, "an object of each worker")
        return list(found.values())

    def ask(self, page: LivePage, name: str, text: str) -> int:
        """Ask an object; the process that answers."""
        page.send(name, "send", text, ack=True)
        answer = page.until("live", do="ack")
        assert answer["id"] == name
        pid, _, heard = answer["data"].partition(" heard ")
        self.assertEqual(heard, text)
        return int(pid)

    def test_objects_of_both(self) -> None:
        """One wire carries the objects of both workers; when one is killed the page is told at
        once, and the other one's object goes on."""
        page = LivePage(self.server)
        names = self.objects(page)
        attached = page.attach(*names)
        self.assertEqual((len(attached["open"]), attached["ended"]), (2, []))
        pids = [self.ask(page, one, "hello") for one in names]
        self.assertEqual(len(set(pids)), 2)
        os.kill(pids[0], signal.SIGKILL)
        began = time.monotonic()
        page.end()
        listed = [{"id": one, "seq": 1, "bytes": 1 << 30, "messages": 1 << 30} for one in names]
        page.connect()
        page.say({"op": "live.attach", "ref": 1, "session": page.secret, "open": listed})
        again = page.until("live.attached")
        self.assertLess(time.monotonic() - began, 30)
        self.assertEqual([one["id"] for one in again["open"]], names[1:])
        self.assertEqual(again["ended"], [{"id": names[0], "error": {"code": "network"}}])
        self.assertEqual(self.ask(page, names[1], "again"), pids[1])
        page.leave()

    def test_broadcasts(self) -> None:
        """Members on both workers hear what either publishes, with the same numbers."""
        for durable in (False, True):
            pages = [LivePage(self.server) for _ in range(4)]
            for page in pages:
                name = page.get("onJoin", durable)
                page.attach(name)
                page.send(name, "subscribe", kind="text", ack=True)
                page.until("live", do="ack")
            pids = set()
            said = []
            while len(pids) < 2 or len(said) < 6:
                text = f"{durable} {len(said)}"
                client = httpx.Client()
                self.addCleanup(client.close)
                answer = pages[0].call("onSay", text, durable, client=client)
                pid, seq = answer.json()["result"]
                pids.add(pid)
                said.append((text, seq))
            self.assertEqual([seq for _, seq in said], list(range(1, len(said) + 1)))
            for page in pages:
                heard = [page.until("live", do="published") for _ in said]
                self.assertEqual([(one["data"], one["info"]["seq"]) for one in heard], said)
                page.leave()

    def test_rolling_restart(self) -> None:
        """A successor listens for the others beside whom it replaces, on a port too; objects that
        were there end for their page, and new ones of both workers are on one wire."""
        self.server.close()
        # Of two workers, and of a successor beside each.
        peers = f'[server]\npeer_listen = "tcp:{free_port(4)}:interface=127.0.0.1"\n'
        self.serve(peers)
        page = LivePage(self.server)
        names = self.objects(page)
        self.assertEqual(len(page.attach(*names)["open"]), 2)
        self.server.signal(signal.SIGUSR2)
        wait_until(lambda: "rolling restart: done" in self.server.log, "the restart", 60)
        page.end()
        again = page.attach(*names)
        self.assertEqual(
            sorted((one["id"], one["error"]["code"]) for one in again["ended"]),
            sorted((name, "network") for name in names),
        )
        page.leave()
        new = LivePage(self.server)
        names = self.objects(new)
        self.assertEqual(len(new.attach(*names)["open"]), 2)
        self.assertEqual(len({self.ask(new, one, "hello") for one in names}), 2)
        new.leave()

    def test_pages(self) -> None:
        """The private listener of any worker answers for all; `tako` prints what it says."""
        page = LivePage(self.server)
        names = self.objects(page)
        page.attach(*names)
        with self.server.private(timeout=30) as private:
            for _ in range(2):
                nodes = private.get("/_tako/nodes").json()["nodes"]
                self.assertEqual([one["worker"] for one in nodes], [1, 2])
                self.assertTrue(all(one["answered"] and one["ready"] for one in nodes))
                self.assertEqual(sum(one["connections"] for one in nodes), 1)
                text = private.get("/_tako/metrics").text
                objects = re.findall(
                    r'tako_live_objects\{kind="channel",node="[^"]+:([12])"\} ([0-9.]+)', text
                )
                self.assertEqual(sorted(worker for worker, _ in objects), ["1", "2"])
                self.assertTrue(all(float(count) >= 1 for _, count in objects), text)
            summed = private.get("/_tako/metrics?nodes=sum").text
            counts = [float(count) for _, count in objects]
            self.assertIn(f'tako_live_objects{{kind="channel"}} {sum(counts)}', summed)
        shown = subprocess.run(
            [Path(sys.executable).with_name("tako"), "nodes"],
            cwd=self.server.folder,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        self.assertEqual(len(shown.splitlines()), 3, shown)
        self.assertEqual(shown.count("ready"), 2)
        page.leave()
