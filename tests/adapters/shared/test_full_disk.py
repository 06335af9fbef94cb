"""A disk that is full under several workers, and has room again."""

from __future__ import annotations

import sqlite3

from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from takotwist import define_channel
from takotwist.adapters.sqlite import SqliteReplayLog
from takotwist.adapters.sqlite.file import StoreFile
from takotwist.flow.publish import LOOK_SECONDS
from takotwist.testing.world import BEGINNING, World
from tests.adapters.shared.pump import Writer
from tests.adapters.sqlite.inline_pool import InlinePool

PATH = "/channels/news"


class FullDiskTests(SynchronousTestCase):
    """Two workers, each with a publisher that was refused."""

    def setUp(self) -> None:
        opened: list[sqlite3.Connection] = []
        real = StoreFile.open_to_write

        def open_to_write(file: StoreFile) -> sqlite3.Connection:
            opened.append(real(file))
            return opened[-1]

        self.patch(StoreFile, "open_to_write", open_to_write)
        clock = Clock()
        clock.advance(BEGINNING)
        path = self.mktemp()
        writer = Writer(lambda: SqliteReplayLog(path, reactor=clock, make_pool=InlinePool), clock)
        writer.start()
        self.addCleanup(writer.kill)
        self.workers = [World(define_channel("news"), log=writer.worker()) for _ in range(2)]
        self.assertEqual([self.publish(one) for one in self.workers], [200, 200])
        self.db = opened[-1]
        [full] = self.db.execute("PRAGMA page_count").fetchone()
        self.db.execute(f"PRAGMA max_page_count = {full}")
        with capturedLogs() as said:
            self.assertEqual([self.publish(one, 30_000) for one in self.workers], [503, 503])
        self.assertEqual([one["problem"] for one in said if "problem" in one], ["the disk is full"])
        self.assertEqual(self.health, ["unavailable", "unavailable"])

    def publish(self, world: World, size: int = 1) -> int:
        message = {"type": "n", "data": "x" * size}
        return world.request("POST", PATH, {}, message, private=True).status

    @property
    def health(self) -> list[str]:
        found = [one.get("/_tako/health").json for one in self.workers]
        # Subscribers are served all the time.
        self.assertTrue(all(one["ready"] for one in found))
        return [one["store"] for one in found]

    def test_room_again(self) -> None:
        """Each worker finds that out by itself, though nobody publishes, and none before."""
        with capturedLogs():
            for one in self.workers:
                one.advance(3 * LOOK_SECONDS)
            self.assertEqual(self.health, ["unavailable", "unavailable"])
            self.db.execute("PRAGMA max_page_count = 1000000")
            for one in self.workers:
                one.advance(LOOK_SECONDS)
        self.assertEqual(self.health, ["available", "available"])

    def test_another_publishes(self) -> None:
        """So does a worker whose publishers have left, where those of another one are served."""
        with capturedLogs():
            self.db.execute("PRAGMA max_page_count = 1000000")
            one, other = self.workers
            self.assertEqual(self.publish(one), 200)
            self.assertEqual(self.health, ["available", "unavailable"])
            other.advance(LOOK_SECONDS)
        self.assertEqual(self.health, ["available", "available"])
