"""The latest state and what follows, from a server in a process of its own: curl, and the
JavaScript client in Node."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import takotwist
from takotwist.client.events import Message
from takotwist.client.state import StateView
from takotwist.client.sync import subscribe
from tests.docs.node_packages import give_packages
from tests.sockets.server_process import FAST, ServerProcess, wait_until

READER = Path(__file__).with_name("latest_state") / "reader.mjs"

#: The client, as the server serves it.
CLIENT = Path(takotwist.__file__).parent / "static" / "client.js"

CHANNELS = """
from takotwist import Newest, define_channel

prices = define_channel("prices", newest=Newest(key="symbol", conflate=True))
board = define_channel("board")

@board.state
def state(request):
    return {"total": 7}
"""


class Lines:
    """A program, and the lines that it has printed.

    :ivar said: of JSON.
    """

    def __init__(self, *command: str, cwd: Path) -> None:
        self.said: list[Any] = []
        self._process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, text=True)
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            text = line.removeprefix("data: ").strip()
            if text.startswith("{"):
                self.said.append(json.loads(text))

    @property
    def data(self) -> list[Any]:
        """Of the messages, without what the server says of itself."""
        return [
            one["data"] for one in list(self.said) if one.get("type") not in (None, "tako.open")
        ]

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        self._reading.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


class NewestTests(SynchronousTestCase):
    """Prices by symbol, and a board whose app adds up."""

    timeout = 120

    def setUp(self) -> None:
        self.server = ServerProcess(FAST)
        self.addCleanup(self.server.close)
        self.server.write("channels/latest.py", CHANNELS)
        self.server.start()

    def publish(self, channel: str, *messages: dict[str, Any]) -> None:
        with self.server.private() as private:
            answer = private.post(f"/channels/{channel}", content=json.dumps(messages))
        self.assertEqual(answer.status_code, 200, answer.text)

    def price(self, symbol: str, price: int) -> None:
        self.publish("prices", {"type": "price", "data": {"symbol": symbol, "price": price}})

    def lines(self, *command: str) -> Lines:
        lines = Lines(*command, cwd=self.server.folder)
        self.addCleanup(lines.close)
        return lines

    def until(self, lines: Lines, expected: list[Any]) -> None:
        wait_until(lambda: len(lines.data) >= len(expected), f"{expected}: {lines.said}")
        self.assertEqual(lines.data, expected)

    def curl(self, channel: str) -> Lines:
        url = f"{self.server.url}/channels/{channel}?last_event_id=newest"
        return self.lines("curl", "-N", "-s", url)

    def test_curl(self) -> None:
        """``curl -N`` is given the newest of each key, or what the app says, and what follows."""
        for symbol, price in (("a", 1), ("b", 2), ("a", 3)):
            self.price(symbol, price)
        newest = [{"symbol": "b", "price": 2}, {"symbol": "a", "price": 3}]
        prices, board = self.curl("prices"), self.curl("board")
        self.until(prices, newest)
        self.until(board, [{"total": 7}])
        self.price("b", 4)
        self.publish("board", {"type": "add", "data": 1})
        self.until(prices, [*newest, {"symbol": "b", "price": 4}])
        self.until(board, [{"total": 7}, 1])

    def test_clients(self) -> None:
        """The JavaScript client is given the same, and after a restart what it missed, once; the
        Python client begins after that with what is newest."""
        give_packages(self.server.folder)
        shutil.copy(CLIENT, self.server.folder / "client.mjs")
        shutil.copy(READER, self.server.folder)
        self.price("a", 1)
        self.price("a", 2)
        prices = self.lines("node", "reader.mjs", self.server.url, "prices")
        board = self.lines("node", "reader.mjs", self.server.url, "board")
        self.until(prices, [{"symbol": "a", "price": 2}])
        self.until(board, [{"total": 7}])
        self.server.restart()
        self.price("a", 3)
        self.publish("board", {"type": "add", "data": 1})
        self.until(prices, [{"symbol": "a", "price": 2}, {"symbol": "a", "price": 3}])
        self.until(board, [{"total": 7}, 1])
        table: StateView[dict[str, int]] = StateView(_row, dict)
        with subscribe(self.server.url, "prices", cursor="newest") as events:
            while not table.synced:
                table.take(events.next(timeout=60))
        self.assertEqual(table.state, {"a": 3})


def _row(table: dict[str, int], message: Message) -> dict[str, int]:
    data: Any = message.data
    return {**table, data["symbol"]: data["price"]}
