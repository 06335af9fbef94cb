"""The page of resumable MCP servers, with the client of the SDK, as it is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from mcp import Client
from twisted.trial.unittest import SynchronousTestCase

from tests.docs.page import DOCS, one
from tests.docs.running import Running, eventually
from tests.sockets.cut_once import CutOnce
from tests.sockets.server_process import free_port

PAGE = "howto/mcp.md"


class McpTests(SynchronousTestCase):
    """The server of the page, and a line that is cut in the middle of an answer."""

    timeout = 120

    def setUp(self) -> None:
        self.running = Running(DOCS / PAGE)
        self.addCleanup(self.running.close)
        self.tako = self.running.serve(one(PAGE, "serve").text)
        self.port = free_port()
        command = one(PAGE, "uvicorn").text.replace("8001", str(self.port))
        self.running.start(command, "mcp.log", errors_too=True)
        eventually(
            lambda: "startup complete" in self.running.said("mcp.log"), "the MCP server runs"
        )

    def cut(self, *needles: bytes) -> CutOnce:
        relay = CutOnce(self.port, *needles)
        self.addCleanup(relay.close)
        return relay

    async def week(
        self, port: int, city: str, on_day: Callable[[int], Awaitable[None]] | None = None
    ) -> tuple[str, list[int]]:
        """Ask for a week; the answer, and the days that were told on the way."""
        days: list[int] = []

        async def told(progress: float, total: float | None, message: str | None) -> None:
            self.assertEqual(message, f"day {int(progress)} of {city}")
            days.append(int(progress))
            if on_day is not None:
                await on_day(int(progress))

        async with Client(f"http://127.0.0.1:{port}/mcp", mode="legacy") as client:
            answer = await client.call_tool("week", {"city": city}, progress_callback=told)
        content: Any = answer.content[0]
        return content.text, days

    def assert_whole(self, city: str, said: tuple[str, list[int]]) -> None:
        self.assertEqual(said, (f"A week of rain in {city}.", [1, 2, 3, 4, 5, 6, 7]))

    def test_cut_twice(self) -> None:
        """A client that is cut again has everything; it asks from where it was the first time."""
        relay = self.cut(b"day 2 of Riga", b"day 5 of Riga")
        answer, days = asyncio.run(self.week(relay.port, "Riga"))
        self.assert_whole("Riga", (answer, sorted(set(days))))
        self.assertEqual(relay.cuts, 2)

    def test_sessions(self) -> None:
        """Two sessions have requests of one number, and each client is given its own."""
        relay = self.cut(b"day 3 of Riga", b"day 3 of Oslo")

        async def both() -> list[tuple[str, list[int]]]:
            return list(await asyncio.gather(*(self.week(relay.port, c) for c in ("Riga", "Oslo"))))

        riga, oslo = asyncio.run(both())
        self.assert_whole("Riga", riga)
        self.assert_whole("Oslo", oslo)
        self.assertEqual(relay.cuts, 2)

    def test_log_killed(self) -> None:
        """The log's server dies and comes back in the middle of an answer that is cut as well."""
        relay = self.cut(b"day 4 of Riga")

        async def kill(day: int) -> None:
            if day == 2:
                await asyncio.to_thread(self.running.kill, self.tako)
                await asyncio.to_thread(self.running.serve, "tako serve")

        self.assert_whole("Riga", asyncio.run(self.week(relay.port, "Riga", kill)))
        self.assertEqual(relay.cuts, 1)

    def test_of_another(self) -> None:
        """An event's id opens only what is of the session that shows it."""
        url = f"http://127.0.0.1:{self.port}/mcp"
        accept = {"Accept": "application/json, text/event-stream"}

        def ask(session: dict[str, str], id: int, method: str, params: object) -> httpx.Response:
            body = {"jsonrpc": "2.0", "id": id, "method": method, "params": params}
            return httpx.post(url, json=body, headers={**accept, **session}, timeout=30)

        def begun() -> dict[str, str]:
            params = {
                "protocolVersion": "2025-11-25",
                "capabilities": {},
                "clientInfo": {"name": "t", "version": "1"},
            }
            answer = ask({}, 0, "initialize", params)
            session = {"Mcp-Session-Id": answer.headers["mcp-session-id"]}
            body = {"jsonrpc": "2.0", "method": "notifications/initialized"}
            httpx.post(url, json=body, headers={**accept, **session}, timeout=30)
            return {**session, "MCP-Protocol-Version": "2025-11-25"}

        ann, eve = begun(), begun()
        params = {"name": "week", "arguments": {"city": "Riga"}}
        answer = ask(ann, 1, "tools/call", params)
        first = next(line[4:] for line in answer.text.splitlines() if line.startswith("id: "))
        resumed = [
            httpx.get(url, headers={**accept, **who, "Last-Event-ID": first}, timeout=30).text
            for who in (ann, eve)
        ]
        data = [line[6:] for line in resumed[0].splitlines() if line.startswith("data: ")]
        self.assertIn("A week of rain in Riga.", json.dumps(json.loads(data[-1])))
        self.assertNotIn("Riga", resumed[1])
