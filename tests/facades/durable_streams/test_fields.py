"""Requests of the protocol: every field that has a grammar, and what is said of a wrong one."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from takotwist.core.durable_stream import Producer
from takotwist.core.topic import MAX_ID
from takotwist.errors import BodyInvalid, CursorInvalid, ParamsInvalid
from takotwist.facades.durable_streams.fields import (
    MAX_NAME,
    Reading,
    closes,
    read_create,
    read_producer,
    read_write,
)

PRODUCER = {"producer-id": "w", "producer-epoch": "2", "producer-seq": "7"}
TEXT = {"content-type": "text/plain"}


class Request:
    """Headers."""

    def __init__(self, **fields: str) -> None:
        self.requestHeaders = Headers({name: [text] for name, text in fields.items()})


def request(*fields: dict[str, str]) -> Any:
    """A request with these headers."""
    return Request(**{name: text for one in fields for name, text in one.items()})


class FieldCase(SynchronousTestCase):
    """Errors name the field."""

    def refused(self, name: str, read: Any, *args: Any, **more: Any) -> None:
        with self.assertRaises(BodyInvalid) as refused:
            read(*args, **more)
        self.assertIn(name, refused.exception.sentence)


class ClosesTests(SynchronousTestCase):
    """The end of a stream."""

    def test_values(self) -> None:
        """``true`` in any case ends it; all else is no such field."""
        for text in ("true", " TRUE ", "True"):
            self.assertTrue(closes(request({"stream-closed": text})), text)
        for text in ("", "1", "yes", "false", "true, true"):
            self.assertFalse(closes(request({"stream-closed": text})), text)
        self.assertFalse(closes(request()))


class CreateTests(FieldCase):
    """A PUT."""

    def create(self, **fields: str) -> Any:
        named = {name.replace("_", "-"): text for name, text in fields.items()}
        return read_create(request(named), b"x", 1_000)

    def test_plain(self) -> None:
        """Without a content type it is bytes; without an end it is open."""
        made = self.create()
        self.assertEqual(made.spec.content_type, "application/octet-stream")
        self.assertEqual(
            (made.spec.at_us, made.spec.ttl_s, made.spec.expires_us), (1_000, None, None)
        )
        self.assertEqual((made.body, made.end), (b"x", False))
        self.assertEqual(
            self.create(content_type=" ").spec.content_type, "application/octet-stream"
        )
        made = self.create(content_type=" text/plain ", stream_closed="true")
        self.assertEqual((made.spec.content_type, made.end), ("text/plain", True))

    def test_ttl(self) -> None:
        """Whole seconds as they are written, one spelling each."""
        for text, seconds in (("0", 0), ("60", 60), (" 9999999999 ", 9_999_999_999)):
            self.assertEqual(self.create(stream_ttl=text).spec.ttl_s, seconds)
        for text in ("", "00", "07", "-1", "+1", "1.0", "1e3", "x", "10000000000", "٦"):
            self.refused("Stream-TTL", self.create, stream_ttl=text)

    def test_expires_at(self) -> None:
        """A time of RFC 3339, to the microsecond, in any zone; kept as it was written."""
        for text, us in (
            ("1970-01-01T00:00:01Z", 1_000_000),
            ("1970-01-01t00:00:01z", 1_000_000),
            ("1970-01-01 01:00:01+01:00", 1_000_000),
            ("1970-01-01T00:00:01.5Z", 1_500_000),
            ("1970-01-01T00:00:01.000001999Z", 1_000_001),
        ):
            spec = self.create(stream_expires_at=text).spec
            self.assertEqual((spec.expires_us, spec.expires_at), (us, text))
        for text in (
            "",
            "1970-01-01",
            "1970-01-01T00:00:01",
            "1970-13-01T00:00:01Z",
            "1970-02-30T00:00:01Z",
            "1970-01-01T00:00:01+99:99",
            "1970-W01-1T00:00:01Z",
            "19700101T000001Z",
            "tomorrow",
        ):
            self.refused("Stream-Expires-At", self.create, stream_expires_at=text)

    def test_ends_of_time(self) -> None:
        """The first and the last that can be written, in the farthest zones."""
        for text in ("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"):
            self.assertIsNotNone(self.create(stream_expires_at=text).spec.expires_us)

    def test_exclude(self) -> None:
        """Both bounds in time are refused, and so is a fork."""
        both = {"stream_ttl": "5", "stream_expires_at": "1970-01-01T00:00:01Z"}
        self.refused("exclude", self.create, **both)
        self.refused("Stream-Forked-From", self.create, stream_forked_from="/streams/a")

    def test_content_type(self) -> None:
        """A bound, for it is stored and given back."""
        self.create(content_type="t" * MAX_NAME)
        self.refused("Content-Type", self.create, content_type="t" * (MAX_NAME + 1))


class WriteTests(FieldCase):
    """A POST."""

    def test_plain(self) -> None:
        write = read_write(request(TEXT), b"x")
        self.assertEqual((write.body, write.content_type, write.end), (b"x", "text/plain", False))
        self.assertEqual((write.producer, write.seq), (None, None))

    def test_end_alone(self) -> None:
        """An end needs no body, and then no type; without either there is nothing to do."""
        write = read_write(request({"stream-closed": "true"}), b"")
        self.assertEqual((write.end, write.content_type), (True, None))
        self.refused("empty", read_write, request(TEXT), b"")
        self.refused("Content-Type", read_write, request(), b"x")

    def test_seq(self) -> None:
        """Any short text."""
        for text in ("0", "2026-11-30", "x" * MAX_NAME):
            self.assertEqual(read_write(request(TEXT, {"stream-seq": text}), b"x").seq, text)
        for text in ("", " ", "x" * (MAX_NAME + 1)):
            self.refused("Stream-Seq", read_write, request(TEXT, {"stream-seq": text}), b"x")


class ProducerTests(FieldCase):
    """Who appends."""

    def test_together(self) -> None:
        """All three fields or none."""
        self.assertIsNone(read_producer(request()))
        self.assertEqual(read_producer(request(PRODUCER)), Producer("w", 2, 7))
        for left_out in PRODUCER:
            some = {name: text for name, text in PRODUCER.items() if name != left_out}
            self.refused("go together", read_producer, request(some))
            self.refused("go together", read_producer, request({left_out: PRODUCER[left_out]}))

    def test_without_number(self) -> None:
        """Where a request has no number of its own, two are enough; one that is there is read."""
        some = {name: text for name, text in PRODUCER.items() if name != "producer-seq"}
        self.assertEqual(read_producer(request(some), seq=False), Producer("w", 2, 0))
        self.assertEqual(read_producer(request(PRODUCER), seq=False), Producer("w", 2, 7))
        self.assertIsNone(read_producer(request(), seq=False))
        self.refused("go together", read_producer, request({"producer-id": "w"}), seq=False)

    def test_numbers(self) -> None:
        """Up to what every client holds exactly."""
        for field, name in (("producer-epoch", "Producer-Epoch"), ("producer-seq", "Producer-Seq")):
            self.assertIsNotNone(read_producer(request(PRODUCER, {field: str(MAX_ID)})))
            for text in (str(MAX_ID + 1), "-1", "1.0", "", "x", "0" * 17, "٦"):
                self.refused(name, read_producer, request(PRODUCER, {field: text}))

    def test_name(self) -> None:
        for text in ("", "x" * (MAX_NAME + 1)):
            self.refused("Producer-Id", read_producer, request(PRODUCER, {"producer-id": text}))


class ReadingTests(SynchronousTestCase):
    """A GET."""

    def of(self, query: str) -> Reading:
        return Reading.of(f"/streams/a?{query}".encode())

    def test_query(self) -> None:
        """Fields that are not the protocol's are somebody else's."""
        self.assertEqual(Reading.of(b"/streams/a"), Reading(None, None, None))
        self.assertEqual(self.of("offset=-1"), Reading("-1", None, None))
        read = self.of("x=1&offset=now&live=sse&cursor=12&x=2")
        self.assertEqual(read, Reading("now", "sse", "12"))
        read = self.of("offset=0000000000000007&live=long-poll")
        self.assertEqual(read, Reading("0000000000000007", "long-poll", None))

    def test_refused(self) -> None:
        """Each says its name."""
        for query, name in (
            ("offset=7", "offset"),
            ("offset=", "offset"),
            ("offset=-2", "offset"),
            ("offset=%D9%A0" + "0" * 15, "offset"),
            ("offset=00000000000000071", "offset"),
            ("offset=now&offset=now", "offset"),
            ("offset=now&live=", "live"),
            ("offset=now&live=websocket", "live"),
            ("offset=now&live=sse&live=sse", "live"),
            ("cursor=1&cursor=1", "cursor"),
            ("live=sse", "offset"),
        ):
            with self.subTest(query), self.assertRaises(ParamsInvalid) as refused:
                self.of(query)
            self.assertIn(name, refused.exception.sentence)

    def test_after(self) -> None:
        """Where it begins: at the first, behind the last, or behind what was seen."""
        for offset, after in ((None, 5), ("-1", 5), ("now", 9), (f"{7:016d}", 7), (f"{9:016d}", 9)):
            self.assertEqual(Reading(offset, None, None).after(5, 9), after)
        # One before its first belongs to an earlier stream, which is told by whoever asks.
        self.assertEqual(Reading(f"{3:016d}", None, None).after(5, 9), 3)
        self.assertRaises(CursorInvalid, Reading(f"{10:016d}", None, None).after, 5, 9)

    def test_returned(self) -> None:
        """A browser that comes back goes on where it was, whatever its address says."""
        read = Reading("-1", "sse", "12").at("0000000000000007")
        self.assertEqual(read, Reading("0000000000000007", "sse", "12"))
        for text in ("", "7", "now", "-1", "x" * 16):
            self.assertRaises(CursorInvalid, read.at, text)
