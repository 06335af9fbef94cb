"""What an answer to a request for history means."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.client import events as history
from takotwist.client.errors import ProtocolBroken, UnexpectedAnswer
from takotwist.client.events import History, Message, PageBody, read_history
from takotwist.errors import RateLimited, VerifyRejected

ONE = {"id": "7", "channel": "chat", "type": "msg", "data": 1}


def read(status: int, body: Any, retry_after: str | None = None) -> History:
    """An answer with this JSON."""
    return read_history(status, json.dumps(body).encode(), {"room": "a"}, retry_after, 0)


class HistoryTests(SynchronousTestCase):
    """`takotwist.client.events`."""

    def test_page(self) -> None:
        """Messages, where to go on, and whether there is more."""
        page = read(200, {"messages": [ONE], "cursor": "9", "more": True})
        self.assertEqual(page, History((Message("7", "chat", "msg", 1, {"room": "a"}),), "9", True))

    def test_refusals(self) -> None:
        """The server's refusals are raised as what they are, with the time to wait."""
        with self.assertRaises(VerifyRejected):
            read(403, {"error": "No.", "code": "verify-rejected"})
        with self.assertRaises(RateLimited) as raised:
            read(429, {"error": "Slowly.", "code": "rate-limited"}, "7")
        self.assertEqual(raised.exception.retry_after, 7)
        self.assertEqual(raised.exception.sentence, "Slowly.")

    def test_somebody_else(self) -> None:
        """What answers and is no takotwist server is named by its status."""
        for status in (302, 404, 502):
            with self.assertRaises(UnexpectedAnswer) as raised:
                read(status, "<html>")
            self.assertEqual(raised.exception.code, f"http-{status}")

    def test_too_long(self) -> None:
        """No more of an answer is kept than a page may have; it says what to ask for instead."""
        self.patch(history, "MAX_PAGE_BYTES", 10)
        body = PageBody()
        for data in (b"12345", b"67890"):
            body.came(data)
        self.assertEqual(body.whole, b"1234567890")
        with self.assertRaises(ProtocolBroken) as raised:
            body.came(b"1")
        self.assertIn("limit", str(raised.exception))

    def test_no_page(self) -> None:
        """An answer that is no page is never an empty one."""
        page = {"messages": [ONE], "cursor": "9", "more": True}
        for bad in (
            {},
            {**page, "messages": {}},
            {**page, "messages": ["x"]},
            {**page, "messages": [{"id": "7"}]},
            {**page, "cursor": 9},
            {**page, "more": None},
        ):
            with self.assertRaises(ProtocolBroken):
                read(200, bad)
        for other in ([], "log in"):
            with self.assertRaises(UnexpectedAnswer):
                read(200, other)
