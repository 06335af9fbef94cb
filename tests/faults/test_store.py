"""The replay log's file goes wrong under a running server: real files, real threads.

In each case: calls fail as unavailable and as nothing else, the operator is told
once, and when the cause is gone the next call works and says so once.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable
from typing import Any

from twisted.internet import reactor
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import TestCase

from takotwist.adapters.sqlite import SqliteReplayLog
from takotwist.adapters.sqlite.file import StoreFile
from takotwist.core.channel import Lifecycle
from takotwist.core.log import Append, Page
from takotwist.core.topic import EVERYTHING, Draft, Topic
from takotwist.errors import ReplayTooOld, StoreUnavailable
from tests.faults.seen import say

LOBBY = Topic.of("chat", {"roomId": "lobby"})

AGAIN = "is available again"
BEGUN = "was gone or empty, and a new one was begun. Every cursor from before is too old"
OLDER = "is older than what was given out"

GARBAGE = b"this is no database\n" * 2000


def now_us() -> int:
    return int(time.time() * 1_000_000)


class StoreCase(TestCase):
    """A running log, and what it told the operator."""

    durability: Any = "commit"

    def setUp(self) -> None:
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.path = os.path.join(self.folder, "replay.sqlite")
        self.said: list[str] = []
        self.heard: list[str] = []
        self.addCleanup(self._report)
        globalLogPublisher.addObserver(self._hear)
        self.addCleanup(globalLogPublisher.removeObserver, self._hear)
        return self.open()

    def _hear(self, event: Any) -> None:
        if str(event.get("log_namespace", "")).startswith("takotwist"):
            self.said.append(formatEvent(event))
            self.heard.append(self.said[-1])

    def _report(self) -> None:
        what = f"{type(self).__name__}, {self.id().rpartition('.')[2].removeprefix('test_')}"
        say(what.replace("_", " "), f"the operator was told: {'; '.join(self.heard) or 'nothing'}")

    def open(self) -> Any:
        self.log = SqliteReplayLog(self.path, reactor=reactor, durability=self.durability)
        self.addCleanup(self.log.stop)
        return self.log.start()

    async def publish(self, *texts: str) -> list[int]:
        drafts = tuple(Draft("msg", text.encode()) for text in texts)
        [appended] = await self.log.append([Append(LOBBY, drafts, Lifecycle())], now_us())
        return [message.id for message in appended.messages]

    async def read(self, after: int = EVERYTHING) -> Page:
        return await self.log.read(LOBBY, after, 1000, 2**30)

    async def texts(self) -> list[str]:
        return [message.data.decode() for message in (await self.read()).messages]

    async def unavailable(self, call: Awaitable[Any]) -> None:
        try:
            await call
        except StoreUnavailable:
            return
        self.fail("the call did not fail")

    async def recovers_anew(self, last: int) -> None:
        """A new log was begun: ids go on, and what was before is too old for certain."""
        [first] = await self.publish("anew")
        self.assertGreater(first, last)
        self.assertEqual(await self.texts(), ["anew"])
        page = await self.read()
        self.assertRaises(ReplayTooOld, page.judge, last)
        self.assertLess(page.removed, first)
        self.assertGreaterEqual(self.log.head, first)

    def told(self, *words: str) -> None:
        """The operator was told this, one line each, and nothing else."""
        self.assertEqual(len(self.said), len(words), self.said)
        for line, word in zip(self.said, words, strict=True):
            self.assertIn(word, line)
            self.assertIn(self.path, line)
        self.said.clear()


class Gone(StoreCase):
    """Files disappear."""

    async def test_database_deleted(self) -> None:
        """When the database file is deleted, a new log is begun with the next publish."""
        [last] = await self.publish("before")
        os.unlink(self.path)
        await self.recovers_anew(last)
        self.told(BEGUN)

    async def test_all_files_deleted(self) -> None:
        """So too when its companions went with it."""
        [last] = await self.publish("before")
        for suffix in ("", "-wal", "-shm"):
            os.unlink(self.path + suffix)
        await self.recovers_anew(last)
        self.told(BEGUN)

    async def test_deleted_and_read_first(self) -> None:
        """A read too finds that the file is gone, and gets a certain answer."""
        [last] = await self.publish("before")
        await self.read()
        os.unlink(self.path)
        page = await self.read()
        self.assertEqual(page.messages, ())
        self.assertRaises(ReplayTooOld, page.judge, last)
        await self.recovers_anew(last)
        self.told(BEGUN)

    async def test_deleted_while_stopped(self) -> None:
        """After a restart without the file a new log begins at the time of the restart."""
        [last] = await self.publish("before")
        await self.log.stop()
        os.unlink(self.path)
        await self.open()
        self.assertGreater(self.log.head, last)
        await self.recovers_anew(last)
        self.told(BEGUN)

    async def test_write_ahead_log_deleted(self) -> None:
        """When only the -wal and -shm files are deleted, nothing is lost."""
        [first] = await self.publish("a")
        await self.read()
        os.unlink(self.path + "-wal")
        os.unlink(self.path + "-shm")
        await self.publish("b")
        self.assertEqual(await self.texts(), ["a", "b"])
        (await self.read()).judge(first)
        await self.log.stop()
        await self.open()
        self.assertEqual(await self.texts(), ["a", "b"])
        self.told("no message is lost")

    async def test_folder_deleted(self) -> None:
        """Without its folder the log is unavailable; when the folder is back, a new one begins."""
        [last] = await self.publish("before")
        shutil.rmtree(self.folder)
        for _ in range(3):
            await self.unavailable(self.publish("x"))
            await self.unavailable(self.read())
        self.told("it cannot be opened")
        os.mkdir(self.folder)
        await self.recovers_anew(last)
        self.told(BEGUN, AGAIN)

    async def test_older_copy_put_in_place(self) -> None:
        """An older copy of the file lacks messages, so cursors from before are too old."""
        await self.publish("a")
        await self.log.stop()
        copy = self.path + ".copy"
        shutil.copy(self.path, copy)
        await self.log.start()
        [last] = await self.publish("b")
        os.replace(copy, self.path)
        [new] = await self.publish("c")
        self.assertGreater(new, last)
        page = await self.read()
        self.assertRaises(ReplayTooOld, page.judge, last - 1)
        page.judge(last)
        self.assertEqual(await self.texts(), ["a", "c"])
        self.told(OLDER)


class Damaged(StoreCase):
    """The file's content is not what it was."""

    async def damaged(self, last: int) -> None:
        """It is unavailable, left as it is, and begun anew when the operator moved it away."""
        for _ in range(3):
            await self.unavailable(self.publish("x"))
        with open(self.path, "rb") as file:
            content = file.read()
        await self.unavailable(self.publish("x"))
        await self.unavailable(self.read())
        with open(self.path, "rb") as file:
            self.assertEqual(file.read(), content)
        self.told("it is damaged or no database")
        for suffix in ("", "-wal", "-shm"):
            if os.path.exists(self.path + suffix):
                os.rename(self.path + suffix, self.path + ".damaged" + suffix)
        await self.recovers_anew(last)
        self.told(BEGUN, AGAIN)

    async def test_replaced_by_garbage(self) -> None:
        """Another file of that name, which is no database."""
        [last] = await self.publish("before")
        with open(self.path + ".new", "wb") as file:
            file.write(GARBAGE)
        os.replace(self.path + ".new", self.path)
        await self.damaged(last)
        with open(self.path + ".damaged", "rb") as file:
            self.assertEqual(file.read(), GARBAGE)

    async def test_overwritten_with_garbage(self) -> None:
        """The same file, overwritten."""
        [last] = await self.publish("before")
        await self.log.stop()
        await self.log.start()
        with open(self.path, "r+b") as file:
            file.write(GARBAGE)
        await self.damaged(last)

    async def test_truncated(self) -> None:
        """The same file, cut short."""
        for _ in range(10):
            [*_, last] = await self.publish(*("before" * 100 for _ in range(500)))
        # With everything written home: what is still in the -wal would come back.
        await self.log.stop()
        await self.log.start()
        os.truncate(self.path, os.path.getsize(self.path) // 2)
        await self.damaged(last)

    async def test_garbage_at_start(self) -> None:
        """A start with a damaged file is no error, and it goes on when the file is gone."""
        [last] = await self.publish("before")
        await self.log.stop()
        with open(self.path, "wb") as file:
            file.write(GARBAGE)
        await self.open()
        await self.damaged(last)

    async def test_repaired(self) -> None:
        """A good copy in place of the damaged file is taken as it is."""
        await self.publish("a")
        await self.log.stop()
        shutil.copy(self.path, self.path + ".copy")
        with open(self.path, "wb") as file:
            file.write(GARBAGE)
        await self.open()
        await self.unavailable(self.read())
        os.replace(self.path + ".copy", self.path)
        self.assertEqual(await self.texts(), ["a"])
        self.told("it is damaged or no database", AGAIN)

    async def test_truncated_to_nothing_at_start(self) -> None:
        """An empty file is a new log."""
        [last] = await self.publish("a")
        await self.log.stop()
        os.truncate(self.path, 0)
        await self.open()
        await self.recovers_anew(last)


class Refused(StoreCase):
    """The file is good, but it may not be used now."""

    async def test_locked(self) -> None:
        """Another program's lock: reads go on, publishes fail soon, and work when it is gone."""
        await self.publish("a")
        other = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(other.close)
        other.execute("BEGIN IMMEDIATE")
        waits = []
        for _ in range(3):
            began = time.monotonic()
            await self.unavailable(self.publish("x"))
            waits.append(time.monotonic() - began)
            self.assertEqual(await self.texts(), ["a"])
        # The machine may have held up one of them.
        self.assertLess(min(waits), 4)
        self.told("another program holds a lock")
        other.execute("ROLLBACK")
        await self.publish("b")
        self.assertEqual(await self.texts(), ["a", "b"])
        self.told(AGAIN)

    async def test_stops_while_locked(self) -> None:
        """A lock of another program does not keep the server from stopping."""
        other = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(other.close)
        other.execute("BEGIN IMMEDIATE")
        waiting = self.publish("x")
        await self.unavailable(waiting)
        began = time.monotonic()
        await self.log.stop()
        self.assertLess(time.monotonic() - began, 60)

    async def test_disk_full(self) -> None:
        """On a full disk publishes fail and reads go on; with room again both work."""
        opened: list[sqlite3.Connection] = []
        real = StoreFile.open_to_write

        def open_small(file: StoreFile) -> sqlite3.Connection:
            db = real(file)
            db.execute("PRAGMA max_page_count = 50")
            opened.append(db)
            return db

        self.patch(StoreFile, "open_to_write", open_small)
        await self.log.stop()
        await self.open()
        await self.publish("a")
        for _ in range(3):
            await self.unavailable(self.publish("x" * 10**6))
        self.assertEqual(await self.texts(), ["a"])
        self.told("the disk is full")
        opened[-1].execute("PRAGMA max_page_count = 1000000")
        [last] = await self.publish("x" * 10**6)
        self.assertEqual((await self.read()).messages[-1].id, last)
        self.told(AGAIN)

    async def test_read_only(self) -> None:
        """A file that this user may not write, until the user may."""
        await self.publish("a")
        await self.log.stop()
        os.chmod(self.path, 0o444)
        os.chmod(self.folder, 0o555)
        if os.geteuid() == 0:
            # Nothing is forbidden to root.
            os.chown(self.path, 65534, 65534)
            os.chown(self.path + ".witness", 65534, 65534)
            os.chown(self.folder, 65534, 65534)
            os.seteuid(65534)
            self.addCleanup(os.seteuid, 0)
        await self.open()
        for _ in range(3):
            await self.unavailable(self.publish("x"))
        self.assertEqual(len(self.said), 1, self.said)
        self.said.clear()
        os.chmod(self.folder, 0o755)
        os.chmod(self.path, 0o644)
        await self.publish("b")
        self.assertEqual(await self.texts(), ["a", "b"])
        self.told(AGAIN)
        await self.log.stop()


class Ends(StoreCase):
    """How a server ends."""

    async def test_threads_end(self) -> None:
        """After the stop no thread is left, and all is in the one file."""
        await self.publish("a")
        await self.read()
        self.assertTrue(_threads_of_pools())
        await self.log.stop()
        self.assertEqual(_threads_of_pools(), [])
        self.assertEqual(
            sorted(os.listdir(self.folder)), ["replay.sqlite", "replay.sqlite.witness"]
        )
        self.told()

    async def test_stop_finishes_what_is_under_way(self) -> None:
        """Appends and reads that were asked for before the stop are answered."""
        asked = [self.log.append([_entry(str(n))], now_us()) for n in range(20)]
        reading = self.log.read(LOBBY, EVERYTHING, 10, 1000)
        stopped = self.log.stop()
        await self.unavailable(self.publish("late"))
        await stopped
        self.assertTrue(all(one.called for one in [*asked, reading]))
        self.assertEqual(len([await one for one in asked]), 20)
        await reading
        await self.open()
        self.assertEqual(len(await self.texts()), 20)

    async def test_killed(self) -> None:
        """What was acknowledged is there after the process was killed, and ids go on."""
        path = os.path.join(self.folder, "killed.sqlite")
        child = subprocess.Popen(
            [sys.executable, "-c", _PUBLISH_FOREVER, path],
            stdout=subprocess.PIPE,
            cwd=os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
        )
        assert child.stdout is not None
        acknowledged = [int(child.stdout.readline()) for _ in range(200)]
        child.kill()
        acknowledged += [int(line) for line in child.stdout.read().split(b"\n")[:-1]]
        child.wait()
        child.stdout.close()
        await self.log.stop()
        self.path = path
        await self.open()
        page = await self.log.read(LOBBY, EVERYTHING, 10**6, 2**30)
        stored = [message.id for message in page.messages]
        self.assertEqual(stored[: len(acknowledged)], acknowledged)
        page.judge(acknowledged[0])
        [new] = await self.publish("after")
        self.assertGreater(new, stored[-1])


class EndsWithPower(Ends):
    """The same with every commit forced to the disk."""

    durability = "power"


def _entry(text: str) -> Append:
    return Append(LOBBY, (Draft("msg", text.encode()),), Lifecycle())


def _threads_of_pools() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if "PoolThread" in one.name]


_PUBLISH_FOREVER = """
import sys, time
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from takotwist.adapters.sqlite import SqliteReplayLog
from takotwist.core.channel import Lifecycle
from takotwist.core.log import Append
from takotwist.core.topic import Draft
from takotwist.core.topic import Topic

async def main():
    log = SqliteReplayLog(sys.argv[1], reactor=reactor)
    await log.start()
    entry = Append(Topic.of("chat", {"roomId": "lobby"}), (Draft("msg", b"1"),), Lifecycle())
    while True:
        [appended] = await log.append([entry], int(time.time() * 1_000_000))
        print(appended.messages[0].id, flush=True)

reactor.callWhenRunning(lambda: ensureDeferred(main()))
reactor.run()
"""
