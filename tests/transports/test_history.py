"""The window of a topic over HTTP: its pages, and how many are read at once."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from takotwist import define_channel
from takotwist.testing.world import World
from takotwist.transports import history
from takotwist.transports.history import MAX_IN_FLIGHT

PATH = "/channels/news/history"


class TurnsTests(SynchronousTestCase):
    """A log that takes its time."""

    def setUp(self) -> None:
        self.world = World(define_channel("news"))
        self.world.publish("/channels/news", "msg", 1)
        self.reads: list[Deferred[None]] = []
        read = self.world.parts.log.read

        async def slow(*asked: Any) -> Any:
            self.reads.append(Deferred())
            await self.reads[-1]
            return await read(*asked)

        self.patch(self.world.parts.log, "read", slow)
        # Nobody is left waiting for a turn: it would come in another test, at a closed transport.
        self.addCleanup(self.read_all)

    def read_all(self) -> None:
        """Let the log answer, until nobody asks any more."""
        while any(not one.called for one in self.reads):
            next(one for one in self.reads if not one.called).callback(None)

    def test_turns(self) -> None:
        """Four at once; who leaves while it waits is passed over, and all others are answered."""
        asking = [self.world.get(PATH) for _ in range(MAX_IN_FLIGHT + 3)]
        self.assertEqual(len(self.reads), MAX_IN_FLIGHT)
        asking[MAX_IN_FLIGHT].leave()
        asking[0].leave()
        self.read_all()
        self.assertEqual(len(self.reads), MAX_IN_FLIGHT + 2)
        for one in asking[1:MAX_IN_FLIGHT] + asking[MAX_IN_FLIGHT + 1 :]:
            self.assertEqual((one.status, len(one.json["messages"])), (200, 1))

    def test_too_many(self) -> None:
        """Past the bound of those who wait, one more is told to come again."""
        self.patch(history, "MAX_WAITING", 2)
        asking = [self.world.get(PATH) for _ in range(MAX_IN_FLIGHT + 3)]
        self.assertEqual((asking[-1].status, asking[-1].code), (503, "overloaded"))
        self.assertIn("retry-after", asking[-1].headers)
        self.assertFalse(asking[-2].answered)


class HistoryTests(SynchronousTestCase):
    """The window of a topic, page by page."""

    def setUp(self) -> None:
        self.world = World(define_channel("news"))

    def test_pages(self) -> None:
        """The cursor of one page is where the next begins."""
        stored = [self.world.publish("/channels/news", "msg", n) for n in range(3)]
        first = self.world.get(f"{PATH}?limit=2").json
        self.assertEqual((first["messages"], first["more"]), (stored[:2], True))
        second = self.world.get(f"{PATH}?limit=2&after={first['cursor']}").json
        self.assertEqual((second["messages"], second["more"]), (stored[2:], False))

    def test_empty(self) -> None:
        """An empty window gives a cursor from which nothing is missed."""
        page = self.world.get(PATH).json
        self.assertEqual((page["messages"], page["more"]), ([], False))
        message = self.world.publish("/channels/news", "msg", 1)
        reader = self.world.subscribe("/channels/news", {"Last-Event-ID": page["cursor"]})
        self.assertEqual(reader.messages, [message])

    def test_head(self) -> None:
        """HEAD is GET without its body."""
        answer = self.world.request("HEAD", PATH)
        self.assertEqual((answer.status, answer.body), (200, b""))
