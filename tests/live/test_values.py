"""Dates and bytes in calls and messages, and what JSON would change unseen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AwareDatetime, BaseModel
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from takotwist.live import Abort, Broadcast, BroadcastChannel, Channel, Replay, function
from takotwist.live.objects.outcome import Outcome
from takotwist.live.values import decode, encode, read_marks
from takotwist.testing.world import World
from tests.live.page import ClientEnd, Page

NOON = datetime(2026, 11, 30, 12, 0, 0, 123000, UTC)
TEXT = "2026-11-30T12:00:00.123000Z"


def mark(kind: str, *path: str | int) -> dict[str, Any]:
    """As it stands on the wire."""
    return {"path": list(path), "kind": kind}


class Event(msgspec.Struct, rename="camel"):
    held_at: datetime
    seal: bytes = b""
    more: Any = None


@dataclass
class Booking:
    begins: datetime


class Visit(BaseModel):
    at: AwareDatetime
    photo: bytes


class EncodeTests(SynchronousTestCase):
    """One value."""

    VALUES = st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**53) + 1, 2**53 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(exclude_categories=["Cs"]))
        | st.binary()
        | st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-7))])),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
        ),
        max_leaves=20,
    )

    @given(VALUES)
    def test_there_and_back(self, value: Any) -> None:
        """Whatever is carried comes back as it was."""
        said = encode(value)
        self.assertEqual(decode(said.data, read_marks(said.values), None), value)

    def test_refused(self) -> None:
        """What JSON has no form for, or would change, is refused with its place."""
        loop: list[Any] = []
        loop.append(loop)
        for value, sentence in (
            ({"items": [1, float("inf")]}, r"^data\.items\[1\]: NaN and Infinity"),
            (Event(NOON, more={"x": float("nan")}), r"^data\.more\.x: NaN and Infinity"),
            ([2**53], r"^data\[0\]: JavaScript would round"),
            ({"when": datetime(2026, 1, 1)}, r"^data\.when: a datetime without a time zone"),
            ({"a": {"b": [object()]}}, r"^data\.a\.b\[0\]: JSON has no form for 'object'"),
            (Event(NOON, more=[len]), r"^data\.more\[0\]: JSON has no form"),
            ({"t": "cut \ud83d"}, r"^data\.t: half of a surrogate pair"),
            ("\ud83d", r"^data: half of a surrogate pair"),
            (loop, r"^data: it contains itself"),
        ):
            with self.assertRaisesRegex((TypeError, ValueError), sentence):
                encode(value)

    def test_marks_of_nothing(self) -> None:
        """A mark that is nothing of the data is refused, whatever it is."""
        for data, marks in (
            (b"1", [mark("date")]),
            (b'"no date"', [mark("date")]),
            (b'"2026-11-30T12:00:00"', [mark("date")]),
            (b'"?"', [mark("bytes")]),
            (b"[]", [mark("date", 0)]),
            (b"{}", [mark("date", "a", "b")]),
            (b'["x"]', [mark("bytes", "0")]),
            (b'"AP8="', [mark("bytes"), mark("bytes")]),
        ):
            with self.assertRaisesRegex(ValueError, r"^values\[\d\]: there is no"):
                decode(data, read_marks(msgspec.json.encode(marks)), None)
        for bad in (b"1", b"[1]", b'[{"path":[],"kind":"map"}]', b"["):
            with self.assertRaisesRegex(ValueError, "^values: "):
                read_marks(bad)


class CallTests(SynchronousTestCase):
    """Arguments and results."""

    def call(self, wrapped: Callable[..., Any], **body: Any) -> tuple[int, Any]:
        """Call a function by its whole body."""
        wrapped.__name__ = "on_it"
        self.world = World(functions=[function(wrapped)])
        peer = self.world.request(
            "POST", "/_tako/functions/onIt", {"Content-Type": "application/json"}, body
        )
        return peer.status, peer.json

    def test_arguments(self) -> None:
        """They arrive as what they are, declared or not, by position and by name."""
        got: list[Any] = []

        async def on_it(
            anything: Any,
            when: datetime,
            event: Event,
            booking: Booking,
            visit: Visit,
            *,
            file: bytes,
        ) -> None:
            got.extend([anything, when, event, booking, visit, file])

        status, body = self.call(
            on_it,
            args=[
                {"at": [TEXT], "said": TEXT},
                TEXT,
                {"heldAt": TEXT, "seal": "AP8=", "more": TEXT},
                {"begins": TEXT},
                {"at": TEXT, "photo": "AP8="},
            ],
            named={"file": "AP8="},
            values=[
                mark("date", "args", 0, "at", 0),
                mark("date", "args", 1),
                mark("date", "args", 2, "heldAt"),
                mark("bytes", "args", 2, "seal"),
                mark("date", "args", 2, "more"),
                mark("date", "args", 3, "begins"),
                mark("date", "args", 4, "at"),
                mark("bytes", "args", 4, "photo"),
                mark("bytes", "named", "file"),
            ],
        )
        self.assertEqual((status, body), (200, {"result": None}))
        self.assertEqual(
            got,
            [
                {"at": [NOON], "said": TEXT},
                NOON,
                Event(NOON, b"\x00\xff", NOON),
                Booking(NOON),
                Visit(at=NOON, photo=b"\x00\xff"),
                b"\x00\xff",
            ],
        )

    def test_not_what_is_declared(self) -> None:
        """A date where text is declared does not fit, and a mark of nothing is a mistake."""

        async def on_it(text: str) -> None:
            raise NotImplementedError

        status, body = self.call(on_it, args=[TEXT], values=[mark("date", "args", 0)])
        self.assertEqual((status, body["code"]), (400, "body-invalid"))
        self.assertIn("args[0] (text): Expected `str`, got `datetime`", body["error"])
        for path in (("args", 0, "y"), ("args", 1), ("args", -1), ("named", "x"), ("x",), ()):
            status, body = self.call(on_it, args=["x"], values=[mark("bytes", *path)])
            self.assertEqual((status, body["code"]), (400, "body-invalid"))
            self.assertIn("values", body["error"])

    def test_results(self) -> None:
        """With the marks beside them, and those of live objects."""

        async def on_it() -> Any:
            return {
                "event": Event(NOON, b"\x00\xff"),
                "day": date(2026, 11, 30),
                "visits": [Visit(at=NOON, photo=b"\x00\xff")],
                "room": BroadcastChannel(key="k"),
            }

        wrapped = function(on_it)
        self.world = World(functions=[wrapped])
        status, body = Page(self.world).call("onIt")
        self.assertEqual(status, 200)
        self.assertEqual(
            body["result"],
            {
                "event": {"heldAt": TEXT, "seal": "AP8=", "more": None},
                "day": "2026-11-30",
                "visits": [{"at": TEXT, "photo": "AP8="}],
                "room": None,
            },
        )
        self.assertEqual(
            body["values"],
            [
                mark("date", "event", "heldAt"),
                mark("bytes", "event", "seal"),
                mark("date", "visits", 0, "at"),
                mark("bytes", "visits", 0, "photo"),
            ],
        )
        self.assertEqual(body["live"][0]["path"], ["room"])

    def test_declared_results(self) -> None:
        """They fit their annotations; a moment without a zone is a failure that names its place."""

        async def on_it() -> Event:
            return Event(NOON)

        self.assertEqual(self.call(on_it)[0], 200)

        async def on_other() -> Event:
            return Event(datetime(2026, 1, 1))

        with capturedLogs() as events:
            status, body = self.call(on_other)
        self.assertEqual((status, body["code"]), (500, "internal-error"))
        self.assertIn("result.heldAt: a datetime without", formatEvent(events[-1]))

    def test_abort(self) -> None:
        """Its value carries them; one that cannot be carried is a failure, and no other."""

        async def on_it() -> None:
            raise Abort({"until": NOON})

        status, body = self.call(on_it)
        self.assertEqual((status, body["value"]), (422, {"until": TEXT}))
        self.assertEqual(body["values"], [mark("date", "until")])

        async def on_other() -> None:
            raise Abort(object())

        with capturedLogs() as events:
            status, body = self.call(on_other)
        self.assertEqual((status, body["code"]), (500, "internal-error"))
        self.assertIn("value: JSON has no form for 'object'", formatEvent(events[-1]))


class MessageTests(SynchronousTestCase):
    """Messages and answers of live objects, to a page that reads frames as they are."""

    def setUp(self) -> None:
        self.channels: list[Channel[Any, Any]] = []
        self.heard: list[Any] = []
        self.closed: list[Any] = []
        self.typed = False

        @function
        async def on_open() -> Any:
            channel = Channel[Event, Any]() if self.typed else Channel[Any, Any]()
            self.channels.append(channel)
            channel.on_close(self.closed.append)
            channel.listen(self.hear)
            return channel.client

        @function
        async def on_join(kept: bool) -> Any:
            return (
                BroadcastChannel(key="room", replay=Replay())
                if kept
                else BroadcastChannel(key="room")
            )

        self.world = World(functions=[on_open, on_join])
        self.page = Page(self.world)
        self.page.connect()

    def hear(self, data: Any) -> Any:
        """Answer with the same."""
        self.heard.append(data)
        return data

    def said(self, do: str) -> list[dict[str, Any]]:
        """What the page was sent."""
        assert self.page.socket is not None
        frames = [
            msgspec.json.decode(data) for opcode, data in self.page.socket.raw_frames if opcode == 1
        ]
        return [one for one in frames if one.get("do") == do]

    def ask(self, end: ClientEnd, data: Any, *marks: dict[str, Any], do: str = "send") -> Any:
        """Send with marks, and wait for the answer."""
        values = msgspec.json.encode(marks) if marks else b""
        return end.send(data, ack=do == "send", do=do, values=values)

    def test_both_ways(self) -> None:
        """Messages and their answers."""
        end = self.page.get("onOpen")
        self.page.pump()
        asked = self.ask(
            end, {"at": TEXT, "raw": ["AP8="]}, mark("date", "at"), mark("bytes", "raw", 0)
        )
        self.page.pump()
        self.assertEqual(self.heard, [{"at": NOON, "raw": [b"\x00\xff"]}])
        [answer] = self.said("ack")
        self.assertEqual(answer["data"], {"at": TEXT, "raw": ["AP8="]})
        self.assertEqual(answer["values"], [mark("date", "at"), mark("bytes", "raw", 0)])
        self.assertTrue(asked.answered)
        outcome: Outcome[Any] = self.channels[0].send(NOON, ack=True)
        end.answers = None
        self.page.pump()
        [sent] = self.said("send")
        self.assertEqual((sent["data"], sent["values"]), (TEXT, [mark("date")]))
        [request] = end.open_requests
        values = msgspec.json.encode([mark("bytes")])
        end.act("answer", request.seq, b'"AP8="', None, self.page.now, values)
        self.page.pump()
        self.assertEqual(outcome.result(), b"\x00\xff")

    def test_credit(self) -> None:
        """Marks count against credit as data does."""
        end = self.page.get("onOpen")
        self.page.pump()
        before = self.channels[0].position().bytes
        marks = [mark("date")]
        end.send(TEXT, values=msgspec.json.encode(marks))
        self.page.pump()
        size = len(TEXT) + 2 + len(msgspec.json.encode(marks))
        self.assertEqual(self.channels[0].position().bytes - before, size)

    def test_typed(self) -> None:
        """Declared messages take them; what does not fit is told, or a line in the log, once."""
        self.typed = True
        end = self.page.get("onOpen")
        self.page.pump()
        self.ask(
            end, {"heldAt": TEXT, "seal": "AP8="}, mark("date", "heldAt"), mark("bytes", "seal")
        )
        wrong = self.ask(end, {"heldAt": TEXT}, mark("bytes", "heldAt"))
        self.page.pump()
        self.assertEqual(self.heard, [Event(NOON, b"\x00\xff")])
        self.assertEqual(wrong.code, "validation")
        with capturedLogs() as events:
            for _ in range(3):
                end.send({"heldAt": 7})
            self.page.pump()
        [line] = [formatEvent(event) for event in events if event["log_level"].name == "warn"]
        self.assertIn("a message was dropped: data.heldAt", line)

    def test_abort(self) -> None:
        """The value of an `Abort`, of either side."""
        end = self.page.get("onOpen")
        self.page.pump()
        self.channels[0].abort({"until": NOON})
        self.page.pump()
        [said] = self.said("end")
        self.assertEqual(said["error"]["values"], [mark("date", "until")])
        end = self.page.get("onOpen")
        self.page.pump()
        trouble = self.page.trouble("abort", {"until": TEXT}, [mark("date", "until")])
        end.act("end", trouble, self.page.now)
        self.page.pump()
        self.assertEqual(self.closed[-1].value, {"until": NOON})

    def test_refused(self) -> None:
        """What cannot be carried is raised by `send`; as an answer or an `Abort` of a listener it
        is a line in the log, and the channel goes on."""
        end = self.page.get("onOpen")
        self.page.pump()
        [channel] = self.channels
        self.assertRaisesRegex(ValueError, r"^data\.n", channel.send, {"n": 2**60})
        self.assertRaisesRegex(ValueError, "^value: ", channel.abort, float("nan"))
        self.assertFalse(channel.is_closed)
        channel.listen(lambda data: 2**60)
        with capturedLogs() as events:
            asked = end.send("x", ack=True)
            self.page.pump()
        self.assertEqual(asked.code, "failed")
        self.assertTrue(any("JavaScript would round" in formatEvent(event) for event in events))

        def refuse(data: Any) -> None:
            raise Abort(object())

        channel.listen(refuse)
        with capturedLogs() as events:
            asked = end.send("x", ack=True)
            self.page.pump()
        self.assertEqual((asked.code, channel.is_closed), ("failed", False))
        self.assertTrue(any("JSON has no form" in formatEvent(event) for event in events))

    def test_broadcasts(self) -> None:
        """Publications of servers and pages, kept and not kept."""
        got: list[Any] = []
        self.addCleanup(Broadcast.subscribe("room", lambda data, info: got.append(data)))
        for kept in (False, True):
            end = self.page.get("onJoin", kept)
            end.subscribe()
            self.page.pump()
            self.world.advance(0)
            self.page.pump()
            before = len(self.said("published"))
            Broadcast.publish("room", {"at": NOON})
            end.send("AP8=", do="publish", values=msgspec.json.encode([mark("bytes")]))
            for _ in range(4):
                self.page.pump()
                self.world.advance(0.1)
            published = self.said("published")[before:]
            self.assertEqual([one["data"] for one in published], [{"at": TEXT}, "AP8="])
            self.assertEqual(
                [one["values"] for one in published], [[mark("date", "at")], [mark("bytes")]]
            )
            self.assertEqual(got[-2:], [{"at": NOON}, b"\x00\xff"])
            end.close()
            self.page.pump()

    def test_kept(self) -> None:
        """What was kept comes back with its marks."""
        page, end = self.page, self.page.get("onJoin", True)
        Broadcast.publish("room", b"\x00\xff")
        Broadcast.publish("room", "plain")
        self.world.advance(0.1)
        end.subscribe(cursor=0)
        for _ in range(4):
            page.pump()
            self.world.advance(0.1)
        published = self.said("published")
        self.assertEqual([one["data"] for one in published], ["AP8=", "plain"])
        self.assertEqual([one.get("values") for one in published], [[mark("bytes")], None])
