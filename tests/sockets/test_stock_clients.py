"""Event stream clients of others are handed nothing that a stock handler could not take.

One server and all of them at once: the first block, a cut before the first message, a
resume, a keepalive, a message, and a cursor that is too old.  Rule: each is used as its
own page shows it, and does not know this project.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
from twisted.trial.unittest import SynchronousTestCase

from tests.sockets.server_process import FAST, ServerProcess, wait_until

FOLDER = Path(__file__).with_name("stock_clients")
INSTALL = Path(__file__).parents[2] / "clients" / "js" / "install"

#: What they print, and whether an event with a name goes past their ordinary handler,
#: as it does in a browser's EventSource.
CLIENTS = {
    "eventsource": True,
    "event-source-polyfill": True,
    "fetch-event-source": False,
    "httpx-sse": False,
    "sseclient-py": False,
    "aiohttp-sse-client": False,
}
_OF_NPM = ("eventsource", "event-source-polyfill", "fetch-event-source")

CHANNELS = """
from takotwist import define_channel

quick = define_channel("quick", keepalive_interval=1)
"""

PATH = "/channels/quick"


class Running:
    """One client in a process of its own.

    :ivar handed: what it has printed, read.
    """

    def __init__(self, name: str, url: str, log: Path) -> None:
        program = ["node", "clients.mjs"] if name in _OF_NPM else [sys.executable, "clients.py"]
        self.handed: list[dict[str, str]] = []
        self._log = log
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [*program, name, url], cwd=FOLDER, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.handed.append(json.loads(line))

    @property
    def messages(self) -> list[Any]:
        """The data of messages of the app's, read as a stock handler would."""
        values = [json.loads(one["data"]) for one in self.handed]
        return [value["data"] for value in values if value.get("type") == "msg"]

    @property
    def trouble(self) -> str:
        """What it has said on standard error."""
        return self._log.read_text()

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        self._reading.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


class StockClientTests(SynchronousTestCase):
    """All of them beside each other."""

    def setUp(self) -> None:
        # Trial calls no `setUpClass`; where it was done this is nothing.
        subprocess.run(["sh", str(INSTALL), str(FOLDER)], check=True, timeout=300)
        self.server = ServerProcess(FAST, {"quick.py": CHANNELS})
        self.addCleanup(self.server.close)
        self.server.start()

    def start(self, query: str = "") -> dict[str, Running]:
        """All clients, connected."""
        running = {}
        for name in CLIENTS:
            log = self.server.folder / f"{name}.log"
            one = running[name] = Running(name, f"{self.server.url}{PATH}{query}", log)
            self.addCleanup(one.close)
        self.all_connected(running)
        return running

    def all_connected(self, running: dict[str, Running]) -> None:
        """Wait until they are, each once."""

        def connected() -> bool:
            return self.server.connected == len(CLIENTS)

        try:
            wait_until(connected, "all clients are connected")
        except AssertionError as late:
            trouble = {name: one.trouble for name, one in running.items() if one.trouble}
            raise AssertionError(f"{late}: {trouble}") from None

    def publish(self, *numbers: int) -> None:
        """Messages."""
        body = [{"type": "msg", "data": number} for number in numbers]
        with self.server.private() as private:
            private.post(PATH, json=body).raise_for_status()

    def assert_sound(self, name: str, handed: list[dict[str, str]]) -> None:
        """All that a client was handed reads as a message of this channel."""
        for one in handed:
            message = json.loads(one["data"])
            self.assertEqual(list(message), ["id", "channel", "type", "data"], (name, one))
            self.assertEqual((message["channel"], one["id"]), ("quick", message["id"]), name)
            ours = message["type"].startswith("tako.")
            self.assertEqual(one["name"], message["type"] if ours else "message", name)
            self.assertFalse(ours and CLIENTS[name], (name, one))

    def test_through_a_cut(self) -> None:
        """Nothing without data, nothing twice, nothing lost, from before the first message on."""
        running = self.start()
        self.server.stop()
        self.server.start()
        self.publish(1, 2)
        self.all_connected(running)
        for name, one in running.items():
            wait_until(lambda one=one: one.messages == [1, 2], f"{name} has resumed")
        # Each connection has been silent for more than two keepalive intervals.
        with httpx.stream("GET", f"{self.server.url}{PATH}", timeout=60) as watching:
            seen = b""
            for piece in watching.iter_raw():
                seen += piece
                if seen.count(b": keepalive\n") > 2:
                    break
        self.publish(3)
        for name, one in running.items():
            with self.subTest(client=name):
                wait_until(lambda one=one: one.messages == [1, 2, 3], f"{name} has all")
                self.assert_sound(name, one.handed)
        self.server.assert_clean()

    def test_too_old(self) -> None:
        """With ``stale=reset`` a cursor that is too old is an event with a name, first of all."""
        self.publish(1)
        running = self.start("?stale=reset&last_event_id=1")
        self.publish(2)
        for name, one in running.items():
            with self.subTest(client=name):
                wait_until(lambda one=one: one.messages == [2], f"{name} has what was published")
                reset, *rest = one.handed
                said = json.loads(reset["data"])
                self.assertEqual(reset["name"], "tako.reset")
                self.assertEqual(said, {"reason": "replay-too-old", "cursor": reset["id"]})
                self.assert_sound(name, rest)
