"""Reading a streamed message from a program, through answers that were cut off."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.app.durable_stream import Page
from takotwist.app.message_reader import MessageReader
from takotwist.errors import BodyInvalid, ConfigError, NotFound, ParamsInvalid


class ReaderTests(SynchronousTestCase):
    """Reader."""

    def setUp(self) -> None:
        self.reader = MessageReader("http://server.example", "a-key")
        self.asked: list[tuple[str, str]] = []

    def answer(self, *pages: Page | Exception) -> None:
        """Have these answered, one after the other."""
        waiting = list(pages)

        async def ask(method: str, path: str, *, query: str) -> Page:
            self.asked.append((path, query))
            page = waiting.pop(0)
            if isinstance(page, Exception):
                raise page
            return page

        streams: Any = self.reader._streams
        self.patch(type(streams), "ask", lambda _, *args, **named: ask(*args, **named))

    def read(self, **more: Any) -> tuple[Sequence[object], Any]:
        """All values, and the reading."""
        reading = self.reader.read("chat", {"roomId": "lobby"}, "job-7", **more)

        async def all_of_it() -> list[object]:
            return [value async for value in reading]

        return asyncio.run(all_of_it()), reading

    def test_to_its_end(self) -> None:
        """From where it begins, then from each place, and not once more after the end."""
        self.answer(
            Page(b'["a","b"]', "0001", False),
            Page(b"", "0001", False),
            Page(b'["c"]', "0002", True, "failed", "writer-gone"),
        )
        values, reading = self.read()
        self.assertEqual(values, ["a", "b", "c"])
        self.assertEqual((reading.how, reading.reason), ("failed", "writer-gone"))
        places = [query for _, query in self.asked]
        self.assertEqual(
            places,
            [f"?roomId=lobby&offset={at}&live=long-poll" for at in ("-1", "0001", "0001")],
        )
        self.assertEqual({path for path, _ in self.asked}, {"chat/streams/job-7"})

    def test_from_a_place(self) -> None:
        """Of an earlier reading."""
        self.answer(Page(b"", "0002", True, "ended"))
        values, reading = self.read(offset="0002")
        self.assertEqual((values, reading.how, reading.offset), ([], "ended", "0002"))
        self.assertIn("offset=0002", self.asked[0][1])

    def test_refused(self) -> None:
        """Is raised as it is."""
        self.answer(NotFound())
        self.assertRaises(NotFound, self.read)
        self.assertRaises(BodyInvalid, self.reader.read, "chat", {}, "a/b")
        self.assertRaises(ParamsInvalid, self.reader.read, "chat", {"a": object()}, "a")

    def test_no_server(self) -> None:
        """Is said at once."""
        self.patch(os, "environ", {})
        self.assertRaises(ConfigError, MessageReader)
