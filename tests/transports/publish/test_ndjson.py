"""NDJSON publishes: order of the answers, silence, and every way in which a stream ends."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist import define_channel
from takotwist.adapters.memory.log import InMemoryReplayLog
from takotwist.server.config import Config
from takotwist.server.config.sections import Publish
from takotwist.testing.manual_log import ManualLog
from takotwist.testing.world import BEGINNING, World, WorldClock

KEY = "a-publish-key-of-these-tests"
BEARER = {"Authorization": f"Bearer {KEY}"}
CONFIG = Config(publish=Publish(keys=("another-publish-key-0123", KEY)))
PATH = "/channels/news"


class LineStreamTests(SynchronousTestCase):
    """A channel without params."""

    def setUp(self) -> None:
        clock = WorldClock()
        clock.rightNow = BEGINNING
        self.log = ManualLog(InMemoryReplayLog(clock))
        self.world = World(define_channel("news"), config=CONFIG, log=self.log)
        self.timers = len(self.world.parts.deadlines)

    def test_lines(self) -> None:
        """Lines are answered in their order, and what is bad among them is said in its place."""
        headers = {**BEARER, "Content-Type": "application/x-ndjson"}
        lines = b'{"type":"msg","data":1}\nno JSON\n\n{"type":"msg","data":3}'
        publish = self.world.request("POST", PATH, headers, lines)
        self.log.settle()
        first, second, third = publish.body.splitlines()
        self.assertIn(b'"data":1', first)
        self.assertIn(b"body-invalid", second)
        self.assertIn(b'"data":3', third)
        self.assertTrue(publish.ended)

    def test_left_before_the_answers(self) -> None:
        """A client that has sent all and leaves is written to no more; its lines are stored."""
        headers = {**BEARER, "Content-Type": "application/x-ndjson"}
        publish = self.world.request("POST", PATH, headers, b'{"type":"msg","data":1}\nno JSON\n')
        publish.leave()
        self.log.settle()
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(len(self.world.parts.deadlines), self.timers)
        asking = self.world.get(f"{PATH}/history")
        self.log.settle()
        self.assertEqual([one["data"] for one in asking.json["messages"]], [1])

    def stream(self, **times: float) -> Any:
        """An NDJSON publish whose body has begun and not ended."""
        config = Config(publish=Publish(keys=(KEY,), **times))
        self.world = World(define_channel("news"), config=config, log=self.log)
        headers = {**BEARER, "Content-Type": "application/x-ndjson", "Transfer-Encoding": "chunked"}
        return self.world.request("POST", PATH, headers)

    def send_line(self, stream: Any, text: bytes) -> None:
        """One chunk."""
        stream.send(b"%x\r\n%b\r\n" % (len(text), text))
        self.log.settle()

    def test_quiet_stream(self) -> None:
        """A stream may be quiet for long; empty lines show that it is alive."""
        stream = self.stream()
        self.world.advance(24)
        self.assertFalse(stream.answered)
        self.world.advance(2)
        self.assertEqual((stream.status, stream.body, stream.ended), (200, b"\n", False))
        self.send_line(stream, b'{"type":"msg","data":1}\n')
        self.world.advance(24)
        self.assertEqual(stream.body.count(b"\n"), 2)
        self.world.advance(1000)
        self.send_line(stream, b'{"type":"msg","data":2}\n')
        lines = stream.body.split(b"\n")
        self.assertEqual(len([line for line in lines if line]), 2)
        self.assertGreater(lines.count(b""), 39)
        stream.send(b"0\r\n\r\n")
        self.assertTrue(stream.ended)
        self.assertFalse(stream.closed)
        timers = len(self.world.parts.deadlines)
        self.world.advance(60)
        self.assertLessEqual(len(self.world.parts.deadlines), timers)

    def test_stream_that_is_over(self) -> None:
        """One that is quiet for too long, or lasts too long, is told in its last line."""
        for times, sentence in (
            ({"stream_idle_seconds": 40.0}, b"Nothing has come for 40 seconds."),
            ({"stream_seconds": 40.0}, b"A stream may last 40 seconds: begin another."),
        ):
            stream = self.stream(**times)
            self.world.advance(1)
            self.send_line(stream, b'{"type":"msg","data":1}\n')
            self.world.advance(42)
            lines, ended = stream.body, stream.ended
            self.assertTrue(ended)
            said = lines.splitlines()[-1]
            self.assertEqual(said, b'{"error":"%b","code":"refused"}' % sentence)
            self.world.advance(5)
            self.assertTrue(stream.closed)

    def test_stream_that_waits_for_the_log(self) -> None:
        """One whose body has ended is answered when the log is done, and not refused meanwhile."""
        stream = self.stream(stream_idle_seconds=40.0)
        line = b'{"type":"msg","data":1}\n'
        stream.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(line), line))
        self.world.advance(50)
        self.assertFalse(stream.ended)
        self.log.settle()
        self.assertEqual((len(stream.body.splitlines()), stream.ended), (1, True))
        self.assertIn(b'"id"', stream.body)

    def test_stream_while_stopping(self) -> None:
        """A stream is told in its last line that the server stops, behind all its answers."""
        stream = self.stream()
        line = b'{"type":"msg","data":1}\n'
        self.send_line(stream, line)
        stream.send(b"%x\r\n%b\r\n" % (len(line) + 5, line + b'{"typ'))
        self.world.parts.stop_admitting()
        self.assertEqual((stream.body.count(b"\n"), stream.ended), (1, False))
        stream.send(b"%x\r\n%b\r\n" % (len(line), line))
        self.log.settle()
        lines = [json.loads(one) for one in stream.body.splitlines()]
        self.assertEqual([one.get("code") for one in lines], [None, None, "shutting-down"])
        self.assertTrue(stream.ended)
        publish = self.world.parts.public.publish
        self.assertEqual(len(publish.intake.streams), 0)

    def test_line_that_stalls(self) -> None:
        """A line that has begun must come on; it is the last that is answered."""
        stream = self.stream()
        self.send_line(stream, b'{"type":"msg","data":1}\n{"type":')
        unfinished = self.world.parts.unfinished
        self.assertEqual(unfinished.held, 8)
        self.send_line(stream, b'"msg","data":2}\n')
        self.assertEqual((unfinished.held, unfinished.waited_for), (0, 0))
        self.send_line(stream, b"{")
        self.world.advance(31)
        lines, ended = stream.body, stream.ended
        self.assertTrue(ended)
        self.assertIn(b"too slowly", lines.splitlines()[-1])
        self.assertEqual(lines.count(b'"id"'), 2)
        self.assertEqual((unfinished.held, unfinished.waited_for), (0, 0))
