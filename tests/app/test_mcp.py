"""The event store of MCP: what it stores, and what becomes of what it cannot."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

from mcp.server.streamable_http import EventMessage
from mcp.types import JSONRPCNotification, JSONRPCResponse
from twisted.trial.unittest import SynchronousTestCase

from takotwist.app.durable_stream import Page
from takotwist.app.mcp import LogEventStore
from takotwist.errors import NotFound, Unreachable


class Stream:
    """A stream in memory.

    :ivar away: whether its server cannot be reached.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.values: list[str] = []
        self.there = self.ended = self.away = False

    def page(self, data: bytes = b"") -> Page:
        if self.away:
            raise Unreachable("away")
        if not self.there:
            raise NotFound
        return Page(data, f"{len(self.values):016d}", self.ended)

    async def create(self, *, ttl: int) -> Page:
        self.there = True
        return self.page()

    async def append(self, data: str, *, end: bool, producer: tuple[str, int]) -> Page:
        self.page()
        self.values.append(data)
        self.ended = end
        return self.page()

    async def read(self, offset: str) -> Page:
        return self.page()

    async def delete(self) -> None:
        self.page()
        self.there = False

    async def follow(self, offset: str) -> AsyncIterator[Page]:
        yield self.page(f"[{','.join(self.values[int(offset) :])}]".encode())


class Streams(dict[str, Stream]):
    """Streams by their paths."""

    def at(self, path: str, content_type: str) -> Stream:
        return self.setdefault(path, Stream(path))


PROGRESS = JSONRPCNotification(jsonrpc="2.0", method="notifications/progress", params={"n": 1})


def response(id: int | str) -> JSONRPCResponse:
    return JSONRPCResponse(jsonrpc="2.0", id=id, result={})


class TestStore(SynchronousTestCase):
    def setUp(self) -> None:
        self.streams: Any = Streams()
        self.store = LogEventStore(self.streams)
        logger = logging.getLogger("takotwist.mcp")
        self.patch(logger, "propagate", False)
        self.patch(logger, "handlers", [logging.NullHandler()])

    def within(self, work: Any, session: bytes | None = b"s1") -> Any:
        """Run the function `work` as a request of a session."""
        results = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            results.append(await work())

        headers = [] if session is None else [(b"mcp-session-id", session)]
        scope = {"type": "http", "headers": headers}
        asyncio.run(self.store.around(app)(scope, None, None))  # type: ignore[arg-type]
        return results[0]

    async def replayed(self, id: str) -> list[EventMessage]:
        sent: list[EventMessage] = []

        async def send(event: EventMessage) -> None:
            sent.append(event)

        self.assertIsNone(await self.store.replay_events_after(id, send))
        return sent

    def test_stored(self) -> None:
        """From each id what came after it; a request's stream ends with its response."""

        async def work() -> list[int]:
            ids = [await self.store.store_event("7", None)]
            ids += [await self.store.store_event("7", PROGRESS) for _ in range(3)]
            ids += [await self.store.store_event("7", response(7))]
            first = await self.replayed(ids[0])
            self.assertEqual(first[-1].event_id, ids[-1])
            ids += [event.event_id or "" for event in first]
            return [len(await self.replayed(id)) for id in ids]

        self.assertEqual(self.within(work), [4, 3, 2, 1, 0, 3, 2, 1, 0])
        self.assertTrue(self.streams["mcp/~s1/~7"].ended)

    def test_hostile_names(self) -> None:
        """A request's id is any text, and an id of an event is none of a line's ends."""

        async def work() -> int:
            id = await self.store.store_event("../a b\n\u20ac", None)
            await self.store.store_event("../a b\n\u20ac", PROGRESS)
            self.assertTrue(id.isascii() and id.isprintable())
            return len(await self.replayed(id))

        self.assertEqual(self.within(work, b".."), 1)
        self.assertEqual(list(self.streams), ["mcp/~../~..%2Fa%20b%0A%E2%82%AC"])
        for bad in ("", "x", "7/1/1", f"7/{0:016d}/x", f"8/{0:016d}/0"):
            self.assertEqual(self.within(lambda bad=bad: self.replayed(bad)), [])

    def test_lost(self) -> None:
        """What could not be stored is sent without an id, and nobody resumes over the gap."""

        async def work() -> list[Any]:
            first = await self.store.store_event("7", None)
            stream = self.streams["mcp/~s1/~7"]
            stream.away = True
            ids = [await self.store.store_event("7", PROGRESS)]
            stream.away = False
            unfinished = await self.replayed(first)
            ids += [await self.store.store_event("7", response(7))]
            return [ids, unfinished, await self.replayed(first), stream.there]

        self.assertEqual(self.within(work), [["", ""], [], [], False])

    def test_first_request(self) -> None:
        """Before a session has its name nothing is kept."""
        self.assertEqual(self.within(lambda: self.store.store_event("0", PROGRESS), None), "")
        self.assertEqual(self.streams, {})

    def test_not_wrapped(self) -> None:
        """Without `around` sessions could not be told apart."""
        self.assertRaises(RuntimeError, asyncio.run, self.store.store_event("0", None))
