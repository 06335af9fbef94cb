"""A channel over Server-Sent Events: the head, the first blocks, the order of the checks."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist import Channel, Grant, define_channel
from takotwist.adapters.memory.log import InMemoryReplayLog
from takotwist.core.channel import CURSOR_QUERY_KEYS
from takotwist.testing.manual_log import ManualLog
from takotwist.testing.world import BEGINNING, World, WorldClock

ROOM = "/channels/chat?roomId=a"


def chat() -> Channel[Any]:
    """Rooms that keep three messages."""
    params = {
        "type": "object",
        "properties": {"roomId": {"type": "string"}},
        "required": ["roomId"],
    }
    return define_channel("chat", params=params, replay_max_messages=3)


class SseTests(SynchronousTestCase):
    """One subscription."""

    def setUp(self) -> None:
        self.world = World(chat())

    def test_head(self) -> None:
        """The head keeps proxies from holding back; the first block sets delay and cursor."""
        reader = self.world.subscribe(ROOM)
        self.assertEqual(reader.status, 200)
        for name, value in {
            "content-type": "text/event-stream; charset=utf-8",
            "cache-control": "no-store, no-transform",
            "x-accel-buffering": "no",
        }.items():
            self.assertEqual(reader.headers[name], value)
        (event,) = reader.events
        self.assertEqual((event.name, event.id), ("tako.open", reader.cursor))
        message = {"id": event.id, "channel": "chat", "type": "tako.open", "data": {}}
        self.assertEqual(event.data, message)
        self.assertIn(b"\nretry: 2000\n", reader.body)
        self.assertEqual(reader.messages, [])

    def test_resumed_where_it_was(self) -> None:
        """Who is continued from its own cursor is told no other, and no event without data."""
        first, second = (self.world.publish(ROOM, "msg", n) for n in range(2))
        reader = self.world.subscribe(ROOM, {"Last-Event-ID": first["id"]})
        self.assertTrue(reader.body.startswith(b"retry: 2000\nid: "), reader.body)
        self.assertEqual([event.data for event in reader.events], [second])
        at_the_end = self.world.subscribe(ROOM, {"Last-Event-ID": second["id"]})
        self.assertEqual(at_the_end.body, b"retry: 2000\n")

    def test_head_request(self) -> None:
        """HEAD says what GET would: its head, or why there is none.  It follows nothing."""
        for n in range(6):
            self.world.publish(ROOM, "msg", n)
        for query, headers in (
            ("", {}),
            ("", {"Last-Event-ID": "0"}),
            ("", {"Last-Event-ID": "1"}),
            ("&stale=reset", {"Last-Event-ID": "1"}),
            ("", {"Last-Event-ID": "9" * 16}),
            ("", {"Last-Event-ID": "none"}),
            ("&nothing=1", {}),
        ):
            with self.subTest(query=query, headers=headers):
                get = self.world.request("GET", ROOM + query, headers)
                head = self.world.request("HEAD", ROOM + query, headers)
                self.assertEqual(head.status, get.status)
                self.assertEqual(head.body, b"")
                for name in ("content-type", "cache-control", "x-accel-buffering"):
                    self.assertEqual(head.headers.get(name), get.headers.get(name), name)
                get.leave()
                self.assertEqual(self.world.parts.metrics.subscriptions, 0)
                self.assertEqual(len(self.world.parts.sessions), 0)

    def test_keepalive(self) -> None:
        """A sign of life is a line, and ends no block."""
        reader = self.world.subscribe(ROOM)
        before = reader.body
        self.world.advance(26)
        self.assertEqual(reader.body.removeprefix(before), b": keepalive\n")

    def test_cursor_before_any_message(self) -> None:
        """Who got nothing but the first blocks resumes without loss."""
        reader = self.world.subscribe(ROOM)
        reader.leave()
        message = self.world.publish(ROOM, "msg", "meanwhile")
        again = self.world.subscribe(ROOM, {"Last-Event-ID": reader.cursor})
        self.assertEqual(again.messages, [message])

    def test_which_cursor(self) -> None:
        """The header wins over the query; every name of the query is read."""
        first, second, third = (self.world.publish(ROOM, "msg", n) for n in range(3))
        header = {"Last-Event-ID": second["id"]}
        for query in CURSOR_QUERY_KEYS:
            target = f"{ROOM}&{query}={first['id']}"
            self.assertEqual(self.world.subscribe(target).messages, [second, third])
            self.assertEqual(self.world.subscribe(target, header).messages, [third])

    def test_everything(self) -> None:
        """A cursor of 0 is everything in the window, and never too old."""
        messages = [self.world.publish(ROOM, "msg", n) for n in range(5)]
        reader = self.world.subscribe(f"{ROOM}&last_event_id=0")
        self.assertEqual(reader.messages, messages[2:])

    def test_reset(self) -> None:
        """A stale cursor is 410, or where asked for a first event that says so."""
        first, *_ = [self.world.publish(ROOM, "msg", n) for n in range(5)]
        target = f"{ROOM}&last_event_id={first['id']}"
        self.assertEqual(self.world.get(target).code, "replay-too-old")
        reader = self.world.subscribe(f"{target}&stale=reset")
        (event,) = reader.events
        self.assertEqual((event.name, event.id), ("tako.reset", event.data["cursor"]))
        message = self.world.publish(ROOM, "msg", "live")
        self.assertEqual(reader.messages, [message])

    def test_reset_for_any_cursor(self) -> None:
        """Where a reset was asked for, a cursor that was never given out is one too."""
        for cursor in ("0198f3a2-7c1e", "abc", "9007199254740991", "9007199254740993", "-1"):
            header = {"Last-Event-ID": cursor}
            self.assertEqual(self.world.get(ROOM, header).code, "cursor-invalid")
            reader = self.world.subscribe(f"{ROOM}&stale=reset", header)
            (event,) = reader.events
            said = {"reason": "cursor-invalid", "cursor": event.id}
            self.assertEqual((event.name, event.data), ("tako.reset", said))
            message = self.world.publish(ROOM, "msg", "live")
            self.assertEqual(reader.messages, [message])

    def test_slow_reader(self) -> None:
        """While its socket is full nothing is queued for it; then it gets what it missed."""
        reader = self.world.subscribe(ROOM)
        reader.stop_reading()
        messages = [self.world.publish(ROOM, "msg", n) for n in range(3)]
        self.assertEqual(reader.messages, [])
        reader.read_on()
        self.assertEqual(reader.messages, messages)

    def test_passed_by(self) -> None:
        """A reader that the window has passed by is ended, and told when it resumes."""
        reader = self.world.subscribe(ROOM)
        self.world.publish(ROOM, "msg", "seen")
        reader.stop_reading()
        for n in range(10):
            self.world.publish(ROOM, "msg", n)
        reader.read_on()
        self.assertTrue(reader.ended)
        self.assertEqual(len(reader.messages), 1)
        again = self.world.get(ROOM, {"Last-Event-ID": reader.cursor})
        self.assertEqual((again.status, again.code), (410, "replay-too-old"))

    def test_grant_that_ends_before_the_head(self) -> None:
        """It is answered, also where the log is read for longer than the grant holds."""
        clock = WorldClock()
        clock.rightNow = BEGINNING
        log = ManualLog(InMemoryReplayLog(clock))
        channel = chat()
        channel.verify(header="x")(lambda request: Grant(expires_at=clock.seconds() + 5))
        world = World(channel, log=log, clock=clock)
        log.settle()
        reader = world.subscribe(ROOM, {"X": "1", "Last-Event-ID": "0"})
        self.assertEqual((log.reads_waiting, reader.status), (1, 0))
        world.advance(6)
        log.settle()
        self.assertEqual((reader.status, reader.code), (401, "credentials-expired"))
        self.assertEqual(len(world.parts.sessions), 0)

    def test_nothing_is_left(self) -> None:
        """A reader that has left is nowhere any more."""
        reader = self.world.subscribe(ROOM)
        self.assertEqual(len(self.world.parts.fanout.keys()), 1)
        reader.leave()
        self.assertEqual(len(self.world.parts.fanout.keys()), 0)
        self.assertEqual(len(self.world.parts.sessions), 0)
        self.assertEqual(len(self.world.parts.deadlines), 0)
