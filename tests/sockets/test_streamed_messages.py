"""A message that is written bit by bit, read by the JavaScript client in Node: cuts and reloads."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import httpx
from twisted.trial.unittest import SynchronousTestCase

from tests.docs.node_packages import give_packages
from tests.sockets.cut_once import CutOnce
from tests.sockets.server_process import FAST, KEY, KEYS, ServerProcess, wait_until

READER = Path(__file__).with_name("streamed_messages") / "reader.mjs"


class Reader:
    """A process that reads.

    :ivar said: what it has printed, read.
    """

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.said: list[dict[str, Any]] = []
        self._process = subprocess.Popen(
            ["node", "reader.mjs", *arguments], cwd=folder, stdout=subprocess.PIPE, text=True
        )
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.said.append(json.loads(line))

    def all(self, name: str) -> list[Any]:
        """Everything that it has said of one kind."""
        return [one[name] for one in list(self.said) if name in one]

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reading.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


class ReaderTests(SynchronousTestCase):
    """One server, one message, and readers of it."""

    timeout = 120

    def setUp(self) -> None:
        self.server = ServerProcess(FAST + KEYS)
        self.addCleanup(self.server.close)
        give_packages(self.server.folder, "streams")
        shutil.copy(READER, self.server.folder)
        self.server.start()
        self.number = 0
        self.open()

    def open(self) -> None:
        opened = httpx.put(
            f"{self.server.url}/_tako/channels/chat/streams/b7c1?roomId=a",
            json={"type": "msg"},
            headers={"Authorization": f"Bearer {KEY}", "Idempotency-Key": "k1"},
            timeout=60,
        )
        self.assertEqual(opened.status_code, 201, opened.text)

    def write(self, *values: str, **more: str) -> None:
        headers = {
            "Authorization": f"Bearer {KEY}",
            "Producer-Id": "writer",
            "Producer-Epoch": "0",
            "Producer-Seq": str(self.number),
        }
        self.number += 1
        said = httpx.post(
            f"{self.server.url}/_tako/channels/chat/streams/b7c1?roomId=a",
            json=values,
            headers={**headers, **more},
            timeout=60,
        )
        self.assertEqual(said.status_code, 200, said.text)

    def reader(self, port: int, offset: str = "-1", *more: str) -> Reader:
        reader = Reader(self.server.folder, f"http://127.0.0.1:{port}", "b7c1", offset, *more)
        self.addCleanup(reader.close)
        return reader

    def until_read(self, reader: Reader, value: str) -> None:
        wait_until(lambda: value in reader.all("value"), f"{value!r} is read")

    def test_cuts_and_reloads(self) -> None:
        """Cut twice, the server killed, a reload at its offset, another that comes late: each
        has every value once, and the end."""
        relay = CutOnce(self.server.port, b"token 3", b"token 6")
        self.addCleanup(relay.close)
        first = self.reader(relay.port)
        reloaded = self.reader(self.server.port)
        for number in range(5):
            self.write(f"token {number}")
        for reader in (first, reloaded):
            self.until_read(reader, "token 4")
            self.assertEqual(reader.all("open"), [["b7c1"]])
        wait_until(lambda: reloaded.said[-1].get("offset"), "the offset is told")
        # What a page keeps over its reload.
        before, offset = reloaded.all("value"), reloaded.all("offset")[-1]
        reloaded.close()
        self.server.kill()
        self.server.start()
        for number in range(5, 10):
            self.write(f"token {number}")
        reloaded = self.reader(self.server.port, offset)
        late = self.reader(self.server.port)
        self.until_read(first, "token 9")
        self.write("the last", **{"Stream-Closed": "true"})
        whole = [f"token {number}" for number in range(10)] + ["the last"]
        for reader, already in ((first, []), (reloaded, before), (late, [])):
            wait_until(lambda reader=reader: reader.all("end"), "the end")
            self.assertEqual(already + reader.all("value"), whole)
            self.assertEqual(reader.all("end"), [{"state": "ended"}])
        self.assertEqual(relay.cuts, 2)

    def test_cancelled(self) -> None:
        """A cancel ends it for its readers, who have what was written until then."""
        reader = self.reader(self.server.port)
        self.write("token 0")
        self.until_read(reader, "token 0")
        self.reader(self.server.port, "-1", "cancel", KEY)
        wait_until(lambda: reader.all("end"), "the end")
        self.assertEqual(reader.all("end"), [{"state": "cancelled"}])
        self.assertEqual(reader.all("value"), ["token 0"])
