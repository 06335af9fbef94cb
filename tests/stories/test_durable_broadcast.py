"""A chat room on a durable broadcast, on a real log, over restarts of the server."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.sqlite import SqliteReplayLog
from takotwist.live import Broadcast, BroadcastChannel, Replay, function
from takotwist.testing.world import BEGINNING, World, WorldClock
from tests.adapters.sqlite.inline_pool import InlinePool
from tests.live.page import ClientEnd, Page

KEPT = Replay(window=600)


@function
async def on_join_chat(cursor: str | None = None) -> BroadcastChannel[Any]:
    return BroadcastChannel(key="chat:lobby", replay=KEPT, after=cursor)


class DurableBroadcastStory(SynchronousTestCase):
    """Pages that go, servers that die, and what is heard in the end."""

    def setUp(self) -> None:
        self.path = self.mktemp()
        self.now = BEGINNING
        self.start()

    def start(self) -> None:
        """A server on the file."""
        clock = WorldClock()
        clock.rightNow = self.now
        self.log = SqliteReplayLog(
            self.path, reactor=clock, wall=lambda: self.now, make_pool=InlinePool
        )
        self.world = World(functions=[on_join_chat], log=self.log)
        self.world.clock.rightNow = self.now
        self.world.advance(0)
        self.page = Page(self.world)
        self.page.connect()

    def kill(self) -> None:
        """The process is gone; nothing was stopped in order."""
        self.now = self.world.clock.seconds() + 1
        self.page.cut()
        self.start()

    def join(self, cursor: str | None = None) -> ClientEnd:
        """Enter the room."""
        end = self.page.get("onJoinChat", cursor)
        self.place = end.subscribe(ack=True)
        end.subscribe("binary", ack=True)
        self.settle()
        return end

    def settle(self) -> None:
        """Let everything come that is under way."""
        for _ in range(5):
            self.page.advance(0.25)

    def test_over_restarts(self) -> None:
        """A page that comes back with its cursor misses nothing, and the count goes on."""
        end = self.join()
        for text in ("one", "two"):
            end.publish(text)
        self.settle()
        cursor = str(end.infos[-1].cursor)
        self.page.cut()
        self.page.ends.clear()
        Broadcast.publish("chat:lobby", "while away", replay=KEPT)
        Broadcast.publish_binary("chat:lobby", b"\x00\xff", replay=KEPT)
        self.world.advance(1)
        self.kill()
        end = self.join(cursor)
        self.assertEqual(end.heard, ["while away", b"\x00\xff"])
        mine = end.publish("three")
        self.settle()
        self.assertEqual(mine.answer["seq"], 5)
        self.assertEqual([info.seq for info in end.infos], [3, 4, 5])
        self.assertEqual(len({info.epoch for info in end.infos}), 1)
        self.kill()
        self.assertEqual(self.join("0").heard, ["one", "two", "while away", b"\x00\xff", "three"])

    def test_heard_nothing(self) -> None:
        """Who joined, heard nothing and was cut off misses nothing either."""
        self.join()
        cursor = self.place.answer["cursor"]
        self.kill()
        Broadcast.publish("chat:lobby", "first", replay=KEPT)
        self.settle()
        self.assertEqual(self.join(cursor).heard, ["first"])

    def test_too_old(self) -> None:
        """Who was away for longer than anything is kept is told so, after a restart too."""
        end = self.join()
        end.publish("one")
        end.publish("two")
        self.settle()
        first = str(end.infos[0].cursor)
        self.page.advance(700)
        self.kill()
        end = self.join(first)
        [trouble] = end.ended
        assert trouble is not None
        self.assertEqual(trouble.message, "replay-too-old")
