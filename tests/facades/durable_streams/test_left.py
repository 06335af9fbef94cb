"""Streamed messages whose clients leave in the middle of a request."""

from __future__ import annotations

from gc import collect

from twisted.trial.unittest import SynchronousTestCase

from takotwist import Grant, define_channel
from takotwist.adapters.memory.log import InMemoryReplayLog
from takotwist.core.durable_stream import End
from takotwist.core.topic import Topic
from takotwist.errors import CredentialsExpired
from takotwist.testing.manual_log import ManualLog
from takotwist.testing.memory_peer import HttpPeer
from takotwist.testing.world import BEGINNING, WorldClock
from tests.facades.durable_streams.test_messages import ROOM, Here


class ReaderLeftTests(SynchronousTestCase):
    """Readers of a message, by a grant that ends while the log is read for them."""

    def setUp(self) -> None:
        clock = WorldClock()
        clock.rightNow = BEGINNING
        self.log = ManualLog(InMemoryReplayLog(clock))
        channel = define_channel("chat", params=ROOM)
        channel.verify(header="x-user")(lambda _: Grant(expires_at=clock.seconds() + 5))
        self.here = Here(channel, log=self.log, clock=clock)
        self.log.settle()
        self.here.open()
        self.log.settle()

    def read(self, live: str) -> HttpPeer:
        """Read until what is there was found, and what comes next is asked for."""
        self.here.world.parts.follower.tails.clear()
        reader = self.here.read(f"&offset=now&live={live}", {"X-User": "ann"})
        while not len(self.here.world.parts.sessions):
            self.assertTrue(self.log.answer() or self.log.report())
        self.assertEqual(self.log.reads_waiting, 1)
        self.here.world.advance(6)
        return reader

    def test_answered(self) -> None:
        """It is told that it has ended."""
        for live in ("long-poll", "sse"):
            reader = self.read(live)
            self.log.settle()
            self.assertEqual((reader.status, reader.code), (401, "credentials-expired"))

    def test_left(self) -> None:
        """Who has left by then leaves nothing, and nothing in the server's log."""
        for live in ("long-poll", "sse"):
            self.read(live).leave()
            self.log.settle()
            self.assertEqual(len(self.here.world.parts.sessions), 0)
        collect()
        self.assertEqual(self.flushLoggedErrors(CredentialsExpired), [])


class LeftTests(SynchronousTestCase):
    """A log that answers when the test says so."""

    def setUp(self) -> None:
        clock = WorldClock()
        clock.rightNow = BEGINNING
        self.log = ManualLog(InMemoryReplayLog(clock))
        self.here = Here(log=self.log, clock=clock)
        self.ends: list[End] = []
        self.log.settle()
        self.here.open()
        self.log.settle()
        topic = Topic.of("chat", {"roomId": "lobby"})
        self.here.world.parts.streamed.messages.watch(topic, "b7c1", self.ends.append)

    def data(self) -> list[object]:
        """Of the topic's messages."""
        target = "/channels/chat/history?roomId=lobby"
        asking = self.here.world.get(target, private=True)
        self.log.settle()
        return [one["data"] for one in asking.json["messages"]]  # type: ignore[index]

    def check_left(self, leaving: HttpPeer, how: str) -> None:
        """At whatever moment it leaves, the writer is told and the final message is there."""
        leaving.leave()
        self.log.settle()
        self.assertEqual([end.how for end in self.ends], [how])
        [final] = self.data()
        self.assertEqual(final["stream"]["state"], how)  # type: ignore[index]
        self.assertEqual(len(self.here.world.parts.streamed.messages.open_messages), 0)

    def test_cancelled(self) -> None:
        """A page that cancels, and is closed before it has the answer."""
        self.check_left(self.here.cancel(), "cancelled")

    def test_ended(self) -> None:
        """A writer that ends, and is gone before it has the answer."""
        self.check_left(self.here.end(0, "a"), "ended")

    def test_ended_and_stored(self) -> None:
        """Also where it leaves while the final message is stored."""
        leaving = self.here.end(0, "a")
        while not self.ends:
            self.assertTrue(self.log.report() or self.log.answer())
        self.check_left(leaving, "ended")
