"""Several workers on one replay log in a file: one server to its clients."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
from twisted.trial.unittest import TestCase

from tests.sockets.server_process import FAST, KEY, KEYS, ServerProcess, wait_until

TOPIC = "/channels/news"


class Reader:
    """An event stream, read in a thread; it comes again with its cursor, as a browser does."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.texts: list[str] = []
        self.opened = 0
        self.wrong: list[Any] = []
        self._cursor: str | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended = True

    def _run(self) -> None:
        while not self._ended:
            try:
                self._read()
            except (httpx.HTTPError, OSError):
                time.sleep(0.05)

    def _read(self) -> None:
        headers = {"Last-Event-ID": self._cursor} if self._cursor else {}
        with httpx.stream("GET", self.url, headers=headers, timeout=20.0) as response:
            if response.status_code != 200:
                if response.status_code not in (429, 503):
                    self.wrong.append((response.status_code, response.read()))
                time.sleep(0.05)
                return
            self.opened += 1
            event: dict[str, str] = {}
            for line in response.iter_lines():
                if self._ended:
                    return
                if line:
                    name, _, value = line.partition(": ")
                    event[name] = value
                else:
                    # With its blank line, and not before: a kill may come in between.
                    self._take(event)
                    event = {}

    def _take(self, event: dict[str, str]) -> None:
        self._cursor = event.get("id", self._cursor)
        if "data" in event:
            message = json.loads(event["data"])
            if message["type"] == "tako.reset":
                self.wrong.append(message)
            elif not message["type"].startswith("tako."):
                self.texts.append(message["data"])


def publish(test: TestCase, server: ServerProcess, text: str) -> None:
    """Until it is acknowledged, by one key."""
    until = time.monotonic() + 60.0
    while True:
        try:
            answer = httpx.post(
                server.url + TOPIC,
                json={"type": "m", "data": text},
                headers={"Authorization": f"Bearer {KEY}", "Idempotency-Key": text},
                timeout=15,
            )
            if answer.status_code == 200:
                return
            test.assertIn(answer.status_code, (429, 503), answer.text)
        except httpx.HTTPError:
            pass
        test.assertLess(time.monotonic(), until, f"{text} was not taken")
        time.sleep(0.05)


class ReleasedServer(ServerProcess):
    """`tests.sockets.released` in processes of its own.

    :ivar release: of the processes that start from now on.
    """

    @property
    def command(self) -> list[str]:
        """How it is started."""
        return [sys.executable, "-m", "tests.sockets.released", *super().command[1:]]

    @property
    def release(self) -> Path:
        """The file that names it."""
        return self.folder / "release"


class UpgradeTests(TestCase):
    """Processes of two releases in one server."""

    def test_upgrade(self) -> None:
        """The code is replaced and nobody asks for a restart: the first process that dies comes
        back as another release.  Then all are replaced, by themselves, and what was published
        meanwhile is stored once."""
        server = ReleasedServer(FAST + KEYS, serve=True, arguments=("--workers", "2"))
        self.addCleanup(server.close)
        server.release.write_text("1")
        root = str(Path(__file__).parents[2])
        server.start(env={"TESTS_RELEASE": str(server.release), "PYTHONPATH": root})
        reader = Reader(server.url + TOPIC)
        self.addCleanup(reader.close)
        wait_until(lambda: reader.opened, "a subscriber")
        publish(self, server, "a")
        server.release.write_text("2")
        [writer] = re.findall(r"writer is ready \(process (\d+)\)", server.log)
        os.kill(int(writer), signal.SIGKILL)
        wait_until(lambda: "the log's writer is of another release" in server.log, server.log)
        publish(self, server, "b")
        wait_until(lambda: "rolling restart: done" in server.log, server.log, 60)
        publish(self, server, "c")
        wait_until(lambda: reader.texts == ["a", "b", "c"], "all to be told")
        self.assertEqual(server.log.count("processes of two releases cannot work together"), 1)
        self.assertEqual(server.stop(), 0)
        server.assert_clean()


class SharedLogTests(TestCase):
    """Two workers and the log's writer, in processes of their own."""

    def setUp(self) -> None:
        self.server = ServerProcess(config=FAST + KEYS, arguments=("--workers", "2"))
        self.addCleanup(self.server.close)
        self.server.start()
        self.readers = [Reader(self.server.url + TOPIC) for _ in range(6)]
        for reader in self.readers:
            self.addCleanup(reader.close)
        wait_until(lambda: all(reader.opened for reader in self.readers), "all to be subscribed")

    def publish(self, text: str) -> None:
        """Until it is acknowledged, by one key."""
        publish(self, self.server, text)

    def processes(self, kind: str) -> list[int]:
        """Process ids of a kind, those of today."""
        found = re.findall(rf"{kind}[-\d]* is ready \(process (\d+)\)", self.server.log)
        return [int(pid) for pid in found if os.path.exists(f"/proc/{pid}")]

    def test_one_server(self) -> None:
        """What is published through any worker reaches the subscribers of all, in one order,
        and stands in the history that any of them answers with."""
        texts = [f"{number}" for number in range(40)]
        for text in texts:
            self.publish(text)
        wait_until(lambda: all(reader.texts == texts for reader in self.readers), "all to be told")
        for _ in range(4):
            answer = httpx.get(f"{self.server.url}{TOPIC}/history", timeout=60).json()
            self.assertEqual([message["data"] for message in answer["messages"]], texts)
        self.assertEqual(self.server.stop(), 0)
        self.server.assert_clean()

    def test_sockets_removed(self) -> None:
        """Somebody tidies up: a worker that is started later finds the writer all the same, and
        the workers find each other."""
        self.publish("a")
        state = self.server.folder / "state"
        removed = [state / "writer.sock", *state.glob("peer-*.sock")]
        self.assertEqual(len(removed), 3)
        for path in removed:
            path.unlink()
        wait_until(lambda: all(path.exists() for path in removed), "the sockets to be there again")
        with self.server.private() as private:
            nodes = private.get("/_tako/nodes").json()["nodes"]
        self.assertEqual([one["answered"] for one in nodes], [True, True])
        [victim, *_] = self.processes("worker")
        os.kill(victim, signal.SIGKILL)
        wait_until(
            lambda: len(now := self.processes("worker")) == 2 and victim not in now,
            "another worker",
        )
        for number in range(4):
            self.publish(f"{number}")
        texts = ["a", *map(str, range(4))]
        wait_until(lambda: all(reader.texts == texts for reader in self.readers), "all to be told")
        self.assertEqual(self.server.log.count("writer.sock was removed; it is served again"), 1)

    def test_writer_cannot_listen(self) -> None:
        """The server ends, with a sentence that says what to do and exit codes that say it too."""
        self.assertEqual(self.server.stop(), 0)
        path = self.server.folder / "state" / "writer.sock"
        path.write_text("a file of somebody's")
        self.server.start(ready=False)
        self.assertEqual(self.server.wait(), 1)
        self.assertIn(f"{path}: state_dir: is there already and is no socket", self.server.log)
        self.assertIn("move it away", self.server.log)
        self.assertIn("writer ended (exit code 1) before the server was ready", self.server.log)
        self.assertEqual(path.read_text(), "a file of somebody's")
        self.server.assert_clean()

    def test_writer_hangs(self) -> None:
        """Publishers are refused in time while the writer stands still, and all goes on after."""
        self.publish("a")
        [writer] = self.processes("writer")
        os.kill(writer, signal.SIGSTOP)
        try:
            began = time.monotonic()
            answer = httpx.post(
                self.server.url + TOPIC,
                json={"type": "m", "data": "b"},
                headers={"Authorization": f"Bearer {KEY}", "Idempotency-Key": "b"},
                timeout=20,
            )
            self.assertEqual(
                (answer.status_code, answer.json()["code"]), (503, "store-unavailable")
            )
            self.assertLess(time.monotonic() - began, 10, "a client has waited for long enough")
        finally:
            os.kill(writer, signal.SIGCONT)
        self.publish("b")
        self.publish("c")
        # Stored by the writer after its publisher was told no, or by the publisher's second
        # try: once in either case.
        texts = ["a", "b", "c"]
        wait_until(lambda: all(reader.texts == texts for reader in self.readers), "all to be told")
        self.assertIn("the log's writer has not answered for", self.server.log)

    def test_killed(self) -> None:
        """The writer and the workers are killed in turn: nothing that was acknowledged is lost,
        doubled or out of order for anybody."""
        texts = [f"{number}" for number in range(120)]
        for number, text in enumerate(texts):
            if number % 20 == 10:
                victims = self.processes(("writer", "worker")[number // 20 % 2])
                os.kill(victims[number % len(victims)], signal.SIGKILL)
            self.publish(text)
        wait_until(
            lambda: all(len(set(reader.texts)) == len(texts) for reader in self.readers),
            "all to be told",
        )
        for reader in self.readers:
            self.assertEqual(reader.wrong, [])
            self.assertEqual(reader.texts, texts)
