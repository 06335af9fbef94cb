"""What a log can still promise when it finds its file as the last process left it."""

from __future__ import annotations

import os
import stat

import msgspec
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.sqlite import SqliteReplayLog
from takotwist.errors import ReplayTooOld
from tests.adapters.sqlite.inline_pool import InlinePool
from tests.contracts.replay_log import LOBBY, NOW, SECOND, entry


class FileTests(SynchronousTestCase):
    """Each test begins with a log that holds one message, and goes on with its file."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW / SECOND)
        self.path = self.mktemp()

    def open(self, boot: str, durability: str = "commit") -> SqliteReplayLog:
        log = SqliteReplayLog(
            self.path, reactor=self.clock, durability=durability, make_pool=InlinePool
        )
        log._file.boot = boot
        self.successResultOf(log.start())
        self.addCleanup(log.stop)
        return log

    def publish(self, log: SqliteReplayLog) -> int:
        [appended] = self.successResultOf(log.append([entry(LOBBY, "a")], NOW + 10))
        return appended.messages[0].id

    def abandon(self, log: SqliteReplayLog) -> None:
        """As when the process is killed: the file is not closed in order."""
        for pool in log._pools.values():
            pool.close()
        log._pools = {}

    def page(self, log: SqliteReplayLog):
        return self.successResultOf(log.read(LOBBY, 0, 10, 10**6))

    def test_killed(self) -> None:
        """After a kill in the same run of the machine all cursors are good."""
        log = self.open("monday")
        last = self.publish(log)
        self.abandon(log)
        self.page(self.open("monday")).judge(last - 1)

    def test_machine_stopped(self) -> None:
        """When the machine stopped under the log, the last commits may be missing, so every
        older cursor is too old; what is there can still be read."""
        log = self.open("monday")
        last = self.publish(log)
        self.abandon(log)
        self.clock.advance(60)
        again = self.open("tuesday")
        page = self.page(again)
        self.assertEqual(len(page.messages), 1)
        self.assertRaises(ReplayTooOld, page.judge, last)
        page.judge(again.head)
        self.assertGreater(self.publish(again), NOW + 60 * SECOND)

    def test_machine_stopped_under_a_numbered_topic(self) -> None:
        """Numbers that may have been given to what is missing are given to nothing else."""
        one = msgspec.structs.replace(entry(LOBBY, "a"), numbered=True)
        log = self.open("monday")
        [before] = self.successResultOf(log.append([one], NOW + 10))
        self.abandon(log)
        self.clock.advance(60)
        [after] = self.successResultOf(self.open("tuesday").append([one], NOW + 10))
        (old, _), (new, seq) = before.messages[0].place, after.messages[0].place
        self.assertEqual(seq, 1)
        self.assertGreater(new, old)

    def test_machine_stopped_after_an_orderly_stop(self) -> None:
        """A log that was stopped in order has nothing to doubt after a reboot."""
        log = self.open("monday")
        last = self.publish(log)
        self.successResultOf(log.stop())
        self.page(self.open("tuesday")).judge(last - 1)

    def test_machine_stopped_with_power(self) -> None:
        """With each commit forced to the disk nothing is missing after a power loss."""
        log = self.open("monday", "power")
        last = self.publish(log)
        self.abandon(log)
        self.page(self.open("tuesday", "power")).judge(last - 1)

    def test_private(self) -> None:
        """Nobody else on the machine may read the messages."""
        self.publish(self.open("monday"))
        for suffix in ("", "-wal", "-shm"):
            self.assertEqual(stat.S_IMODE(os.stat(self.path + suffix).st_mode), 0o600)

    def test_companions_without_a_database(self) -> None:
        """A -wal that belongs to a deleted database is not read into the new one."""
        log = self.open("monday")
        self.publish(log)
        with open(self.path + "-wal", "rb") as file:
            left = file.read()
        self.successResultOf(log.stop())
        os.unlink(self.path)
        with open(self.path + "-wal", "wb") as file:
            file.write(left)
        self.assertEqual(self.page(self.open("monday")).messages, ())
