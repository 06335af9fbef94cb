"""Who is here on a server with several workers, in processes of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import httpx
from twisted.trial.unittest import SynchronousTestCase

from tests.faults.presence_crowd import CROWD_CHANNEL
from tests.sockets.server_process import FAST, ServerProcess, wait_until

CROWD, WHO = "/channels/crowd", "/channels/crowd/presence"


class WorkersTests(SynchronousTestCase):
    """Two workers."""

    timeout = 120

    def setUp(self) -> None:
        self.server = ServerProcess(
            FAST, {"crowd.py": CROWD_CHANNEL}, serve=True, arguments=("--workers", "2")
        )
        self.addCleanup(self.server.close)
        self.server.start(ready=False)
        self.server.wait_ready(60)
        self.stack = ExitStack()
        self.addCleanup(self.stack.close)
        self.reading: list[Iterator[str]] = []

    def client(self) -> httpx.Client:
        return self.stack.enter_context(
            httpx.Client(base_url=self.server.url, headers={"Authorization": "ada"}, timeout=30)
        )

    def opened(self) -> str:
        """An event stream that stays; its name."""
        accept = {"Accept": "text/event-stream"}
        answer = self.stack.enter_context(self.client().stream("GET", CROWD, headers=accept))
        lines = answer.iter_lines()
        # An iterator that nobody has any more closes its stream.
        self.reading.append(lines)
        for line in lines:
            if line.startswith("data:"):
                opened: Any = json.loads(line.removeprefix("data:"))
                return str(opened["data"]["connection"])
        raise AssertionError("the stream has ended")

    def says(self, client: httpx.Client, state: object) -> bool:
        return any(one.get("state") == state for one in client.get(WHO).json()["members"])

    def test_says_it_by_any_worker(self) -> None:
        """A POST of a member's state is taken by whichever worker it comes to."""
        streams: dict[str, str] = {}
        while len(streams) < 2:
            name = self.opened()
            streams[name.partition(".")[0]] = name
        client = self.client()
        # One connection is of one worker, so one of these streams is of the other.
        for number, name in enumerate(streams.values()):
            answer = client.post(WHO, json={"connection": name, "state": {"x": number}})
            self.assertEqual((answer.status_code, answer.json()), (200, {}))
            wait_until(partial(self.says, client, {"x": number}), "the state is in the list")
        nobody = next(iter(streams)) + ".nobody"
        answer = client.post(WHO, json={"connection": nobody, "state": 1})
        self.assertEqual(answer.json()["code"], "not-found")
