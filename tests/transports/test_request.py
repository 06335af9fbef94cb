"""What a request asks is read from its URL and headers, and what is bad is named.

A request's body is read whole, or not at all.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from takotwist.core.topic import FOREIGN
from takotwist.errors import CursorInvalid, MessageTooLarge, Overloaded, ParamsInvalid
from takotwist.streams.unfinished import Unfinished
from takotwist.transports.request import (
    MAX_FIELDS,
    BodyTooSlow,
    ChannelRequest,
    read_all_presented,
    read_channel_request,
    read_fields,
    whole_body,
)
from tests.settings import change_limits, limited


class Request:
    """A request line and headers."""

    def __init__(self, query: str, headers: dict[str, str] | None = None) -> None:
        self.uri = f"/channels/chat?{query}".encode()
        fields = {"cookie": "session=s1", **(headers or {})}
        self.requestHeaders = Headers({k: [v] for k, v in fields.items()})


def read(query: str, **headers: str) -> ChannelRequest:
    """Of a request with this query; ``_`` in a header's name is ``-``."""
    request: Any = Request(query, {k.replace("_", "-"): v for k, v in headers.items()})
    return read_channel_request(request)


class TestAsking(SynchronousTestCase):
    """`read_channel_request` and what it is made of."""

    def test_params(self) -> None:
        """Fields are params with their values in order, but for the reserved ones."""
        channel_request = read("a=1&b=&a=%C3%A9&last_event_id=5&access_token=t")
        self.assertEqual(channel_request.params, {"a": ["1", "é"], "b": [""]})
        self.assertEqual(channel_request.reserved("access_token"), "t")
        self.assertIsNone(channel_request.reserved("stale"))

    def test_extra(self) -> None:
        """A route may keep further fields for itself."""
        request: Any = Request("after=3&a=1")
        channel_request = read_channel_request(request, extra=("after",))
        self.assertEqual(
            (channel_request.params, channel_request.reserved("after")), ({"a": ["1"]}, "3")
        )

    def test_cursor(self) -> None:
        """The header goes before the query; an empty one counts as none; a bad one is named."""
        self.assertIsNone(read("a=1").cursor)
        self.assertEqual(read("last_message_id=4").cursor, 4)
        self.assertEqual(read("last_event_id=5&last_message_id=4").cursor, 5)
        self.assertEqual(read("last_event_id=5", last_event_id="6").cursor, 6)
        self.assertEqual(read("last_event_id=5", last_event_id="").cursor, 5)
        self.assertEqual(read("last_event_id=5&lastEventId=6&last_message_id=4").cursor, 6)
        self.assertEqual(read("lastEventId=&last_event_id=5").cursor, 5)
        self.assertIsNone(read("last_event_id=&last_message_id=", last_event_id="").cursor)
        self.assertEqual(read("last_event_id=x&stale=reset").cursor, FOREIGN)
        for channel_request, name in (
            (read("last_event_id=x"), "last_event_id"),
            (read("last-event-id=x"), "last-event-id"),
            (read("", last_event_id="x"), "Last-Event-ID"),
        ):
            with self.assertRaises(CursorInvalid) as raised:
                _ = channel_request.cursor
            self.assertIn(name, raised.exception.sentence)

    def test_stale(self) -> None:
        """``stale`` is ``reset`` or nothing."""
        self.assertTrue(read("stale=reset").reset_when_stale)
        self.assertFalse(read("").reset_when_stale)
        with self.assertRaises(CursorInvalid):
            read("stale=no")

    def test_bad_query(self) -> None:
        """What is no UTF-8, or has too many fields, is refused."""
        for query in (b"/?a=%ff", b"/?a=\xc3\xa9", b"/?" + b"&".join([b"a=1"] * (MAX_FIELDS + 1))):
            with self.assertRaises(ParamsInvalid):
                read_fields(query)
        self.assertEqual(len(read_fields(b"/?" + b"&".join([b"a=1"] * MAX_FIELDS))), MAX_FIELDS)

    def test_presented_apart(self) -> None:
        """All credentials of a request can be kept without keeping the request."""
        request: Any = Request("access_token=t", {"Authorization": "Bearer x"})
        presented = read_all_presented(request)
        self.assertEqual(presented.header("authorization"), "Bearer x")
        self.assertEqual(presented.cookie("session"), "s1")
        self.assertIsNone(presented.cookie("other"))


class TestFields(SynchronousTestCase):
    """The fields of a query."""

    @given(st.text(alphabet="ab=&;%2 +?#/.", max_size=30))
    def test_as_everywhere(self, query: str) -> None:
        """They are read as Python's library reads them, whether or not there is a short way."""
        try:
            expected = parse_qsl(query, keep_blank_values=True, errors="strict")
        except UnicodeDecodeError:
            self.assertRaises(ParamsInvalid, read_fields, b"/x?" + query.encode())
            return
        self.assertEqual(read_fields(b"/x?" + query.encode()), expected)

    def test_too_many(self) -> None:
        """More than a hundred are refused, empty ones included, and a hundred are not."""
        self.assertEqual(len(read_fields(b"/x?" + b"&".join([b"a=b"] * 100))), 100)
        for query in (b"&".join([b"a=b"] * 101), b"&" * 100, b"a=%20" + b"&" * 100):
            self.assertRaises(ParamsInvalid, read_fields, b"/x?" + query)


class BodyRequest:
    """Hands its body to who asked for it."""

    reader: Any
    stated_length: int | None = None

    def __init__(self, clock: Clock) -> None:
        self.settings = limited()
        self.site = SimpleNamespace(unfinished=Unfinished(clock, self.settings))

    def stream_body(self, reader: Any) -> None:
        """See `StreamRequest`."""
        self.reader = reader


class TestWholeBody(SynchronousTestCase):
    """`whole_body` with a limit of 4 bytes."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.request = BodyRequest(self.clock)
        self.all = self.request.site.unfinished
        self.done = whole_body(self.request, 4)
        self.reader = self.request.reader

    def test_pieces(self) -> None:
        """It comes in any pieces and is whole at its end, up to the very limit."""
        self.reader.body_chunk(b"ab")
        self.reader.body_chunk(b"cd")
        self.assertNoResult(self.done)
        self.reader.body_end()
        self.assertEqual(self.successResultOf(self.done), b"abcd")

    def test_too_large(self) -> None:
        """One byte more is refused at once; what follows is let pass by."""
        self.reader.body_chunk(b"abcd")
        self.reader.body_chunk(b"e")
        failure = self.failureResultOf(self.done, MessageTooLarge)
        self.assertIn("4 bytes", failure.value.sentence)
        self.reader.body_chunk(b"f")
        self.reader.body_end()
        self.reader.body_lost()

    def test_stated(self) -> None:
        """What is said to be too large is not asked for."""
        request = BodyRequest(self.clock)
        request.stated_length = 5
        self.assertRaises(MessageTooLarge, whole_body, request, 4)
        self.assertFalse(hasattr(request, "reader"))

    def test_lost(self) -> None:
        """A peer that leaves in the middle leaves no half body."""
        self.reader.body_chunk(b"ab")
        self.reader.body_lost()
        self.failureResultOf(self.done, CancelledError)

    def test_too_slow(self) -> None:
        """One that does not come on is refused; nothing of it is counted then."""
        self.reader.body_chunk(b"ab")
        self.clock.advance(30)
        failure = self.failureResultOf(self.done, BodyTooSlow)
        self.assertEqual(failure.value.http_status, 408)
        self.assertEqual((self.all.held, self.all.waited_for), (0, 0))
        self.reader.body_chunk(b"cdefg")
        self.reader.body_lost()

    def test_overloaded(self) -> None:
        """One for which there is no room is refused."""
        change_limits(self.request.settings, max_unfinished_bytes=1)
        self.reader.body_chunk(b"ab")
        self.failureResultOf(self.done, Overloaded)
        self.assertEqual((self.all.held, self.all.waited_for), (0, 0))
