"""Publishing over HTTP, and the history that shows what came of it.

Targets of publishes are read once, and as the whole way reads them.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from takotwist import define_channel
from takotwist.adapters.memory.log import InMemoryReplayLog
from takotwist.core.channel import Registry
from takotwist.server.config import Config
from takotwist.server.config.sections import Publish
from takotwist.testing.manual_log import ManualLog
from takotwist.testing.world import BEGINNING, World, WorldClock
from takotwist.transports.publish import route as publish_targets
from takotwist.transports.publish.route import MAX_TARGET, PublishTargets

KEY = "a-publish-key-of-these-tests"
BEARER = {"Authorization": f"Bearer {KEY}"}
CONFIG = Config(publish=Publish(keys=("another-publish-key-0123", KEY)))
PATH = "/channels/news"


def msg(data: Any = "hi") -> dict[str, Any]:
    return {"type": "msg", "data": data}


class PublishTests(SynchronousTestCase):
    """A channel without params."""

    def setUp(self) -> None:
        clock = WorldClock()
        clock.rightNow = BEGINNING
        self.log = ManualLog(InMemoryReplayLog(clock))
        self.world = World(define_channel("news"), config=CONFIG, log=self.log)

    def test_answered_after_the_commit(self) -> None:
        """Nobody is told of a message before it is stored: not its publisher, not a reader."""
        reader = self.world.subscribe(PATH)
        publish = self.world.request("POST", PATH, BEARER, msg())
        self.assertFalse(publish.answered)
        self.assertEqual(reader.messages, [])
        self.log.settle()
        self.assertEqual(reader.messages, [publish.json])

    def test_store_unavailable(self) -> None:
        """A log that cannot be written is 503, and readers stay; a later publish works."""
        reader = self.world.subscribe(PATH)
        self.log.broken = True
        publish = self.world.request("POST", PATH, BEARER, msg())
        self.log.settle()
        self.assertEqual((publish.status, publish.code), (503, "store-unavailable"))
        self.assertIn("retry-after", publish.headers)
        health = self.world.get("/_tako/health").json
        self.assertEqual((health["ready"], health["store"]), (True, "unavailable"))
        self.log.broken = False
        publish = self.world.request("POST", PATH, BEARER, msg())
        self.log.settle()
        self.assertEqual(reader.messages, [publish.json])

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
        self.world.parts.close_doors()
        self.assertEqual((stream.body.count(b"\n"), stream.ended), (1, False))
        stream.send(b"%x\r\n%b\r\n" % (len(line), line))
        self.log.settle()
        lines = [json.loads(one) for one in stream.body.splitlines()]
        self.assertEqual([one.get("code") for one in lines], [None, None, "shutting-down"])
        self.assertTrue(stream.ended)
        publish = self.world.parts.public.publish
        self.assertEqual(len(publish.streams), 0)

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

    def test_publisher_leaves(self) -> None:
        """A publisher that leaves before the answer has published all the same."""
        reader = self.world.subscribe(PATH)
        self.world.request("POST", PATH, BEARER, msg()).leave()
        self.log.settle()
        self.assertEqual(len(reader.messages), 1)

    def test_published_while_stopping(self) -> None:
        """What was taken is stored; what comes later is refused."""
        taken = self.world.request("POST", PATH, BEARER, msg())
        stopping: Deferred[None] = self.world.parts.publishing.stop()
        self.assertNoResult(stopping)
        late = self.world.request("POST", PATH, BEARER, msg())
        self.assertEqual((late.status, late.code), (503, "shutting-down"))
        self.log.settle()
        self.assertEqual(taken.status, 200)
        self.successResultOf(stopping)


class HistoryTests(SynchronousTestCase):
    """The window of a topic, page by page."""

    def setUp(self) -> None:
        self.world = World(define_channel("news"), config=CONFIG)

    def test_pages(self) -> None:
        """The cursor of one page is where the next begins."""
        stored = [self.world.publish(PATH, "msg", n) for n in range(3)]
        first = self.world.get(f"{PATH}/history?limit=2").json
        self.assertEqual((first["messages"], first["more"]), (stored[:2], True))
        second = self.world.get(f"{PATH}/history?limit=2&after={first['cursor']}").json
        self.assertEqual((second["messages"], second["more"]), (stored[2:], False))

    def test_empty(self) -> None:
        """An empty window gives a cursor from which nothing is missed."""
        page = self.world.get(f"{PATH}/history").json
        self.assertEqual((page["messages"], page["more"]), ([], False))
        message = self.world.publish(PATH, "msg", 1)
        reader = self.world.subscribe(PATH, {"Last-Event-ID": page["cursor"]})
        self.assertEqual(reader.messages, [message])

    def test_head(self) -> None:
        """HEAD is GET without its body."""
        answer = self.world.request("HEAD", f"{PATH}/history")
        self.assertEqual((answer.status, answer.body), (200, b""))


ROOM = {
    "type": "object",
    "properties": {"roomId": {"type": "string"}, "n": {"type": "integer"}},
    "required": ["roomId"],
}


class PublishTargetsTests(SynchronousTestCase):
    """A channel of rooms, published to below ``/channels/``."""

    def setUp(self) -> None:
        self.world = World(define_channel("chat", params=ROOM), define_channel("news"))
        self.targets = PublishTargets(self.world.parts.authorizing)
        self.targets.learn(b"/channels/chat", "chat")

    def key(self, target: bytes) -> str | None:
        asked = self.targets.get(target)
        return None if asked is None else asked.topic.key

    def test_read(self) -> None:
        """However a target is spelled, it is the topic that its params make; once read, too."""
        for _ in range(2):
            for target, key in (
                (b"/channels/chat?roomId=a", "chat?roomId=a"),
                (b"/channels/chat?n=010&roomId=a", "chat?n=10&roomId=a"),
                (b"/channels/chat?roomId=%C3%BC+b", "chat?roomId=%C3%BC+b"),
                (b"/channels/news", "news"),
            ):
                self.assertEqual(self.key(target), key)
        self.assertEqual(len(self.targets), 4)

    def test_left_to_the_whole_way(self) -> None:
        """What is wrong, odd, or not below a path that was published to, is not answered here."""
        for target in (
            b"/channels/chat",
            b"/channels/chat?roomId=a&roomId=b",
            b"/channels/chat?roomId=a&typo=1",
            b"/channels/chat?roomId=a&n=x",
            b"/channels/chat?roomId=a&stale=reset",
            b"/channels/chat?roomId=a&access_token=x",
            b"/channels/chat?roomId=%FF",
            b"/channels/chat?roomId=a b",
            b"/channels/chat?roomId=\xc3\xbc",
            b"/channels/chat/history?roomId=a",
            b"/channels/ch%61t?roomId=a",
            b"/channels/none?roomId=a",
            b"/channels/",
            b"/_tako/channels/chat?roomId=a",
            b"http://a/channels/chat?roomId=a",
            b"chat?roomId=a",
            b"",
        ):
            self.assertIsNone(self.key(target), target)
        self.assertEqual(len(self.targets), 0)

    def test_new_definitions(self) -> None:
        """A target is read again when its channel is another one."""
        self.assertEqual(self.key(b"/channels/chat?roomId=a"), "chat?roomId=a")
        registry = self.world.parts.registry
        registry.replace(Registry())
        self.assertIsNone(self.key(b"/channels/chat?roomId=a"))
        self.assertEqual(len(self.targets), 0)

    def test_bounded(self) -> None:
        """The target longest unused is forgotten for a new one; a very long one is not kept."""
        self.patch(publish_targets, "MAX_TARGETS", 3)
        for room in (b"a", b"b", b"c", b"a", b"d"):
            self.targets.get(b"/channels/chat?roomId=" + room)
        first = self.targets.get(b"/channels/chat?roomId=a")
        self.assertIs(self.targets.get(b"/channels/chat?roomId=a"), first)
        self.assertEqual(len(self.targets), 3)
        self.assertIsNotNone(self.targets.get(b"/channels/chat?roomId=" + b"x" * MAX_TARGET))
        self.assertEqual(len(self.targets), 3)

    def test_learns_plain_paths(self) -> None:
        """A channel whose name was percent-encoded says nothing of where the others are."""
        targets = PublishTargets(self.world.parts.authorizing)
        targets.learn(b"/channels/ch%61t", "chat")
        self.assertIsNone(targets.get(b"/channels/chat?roomId=a"))
