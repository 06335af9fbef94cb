"""The database file goes wrong under the real server, with publishers and readers at work.

`test_store` has the table of what can happen to the file; this is what publishers,
readers and the operator see of it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.faults.seen import say
from tests.faults.watching import Publishing, Reading, publish
from tests.sockets.readers import READERS, Cut, SseReader
from tests.sockets.server_process import FAST, ServerProcess, wait_until

ROOM = {"roomId": "lobby"}

#: Bytes of the small disk.
DISK = 3 << 20


class Case(SynchronousTestCase):
    """A server under load, whose store fails for a while."""

    #: Whether messages before the fault may be gone after it, because an operator took them away.
    loses_history = False

    def begin(self, config: str = FAST) -> ServerProcess:
        server = self.server = ServerProcess(config)
        self.addCleanup(server.close)
        server.start()
        return server

    @property
    def file(self) -> Path:
        return self.server.folder / "state" / "replay.sqlite"

    def suffer(
        self, what: str, hurt: Callable[[], object], heal: Callable[[], object], *, fails: bool
    ) -> None:
        """Publish and read, `hurt` the store, `heal` it, and compare.

        :param fails: whether publishes must be refused meanwhile.
        """
        server = self.server
        before = publish(server, {"n": -1})
        publishing = Publishing(server, rate=200)
        reading = [Reading(kind(server.port, "chat", ROOM, before)) for kind in READERS.values()]
        for thread in (*reading, publishing):
            thread.start()
        wait_until(lambda: len(publishing.acknowledged) > 20, "publishes")
        hurt()
        if fails:
            wait_until(
                lambda: publishing.refused["store-unavailable"] > 3, "that publishes are refused"
            )
            with server.private() as private:
                health = private.get("/_tako/health").json()
                self.assertEqual(health["store"], "unavailable")
        else:
            time.sleep(0.3)
        heal()
        count = len(publishing.acknowledged)
        wait_until(lambda: len(publishing.acknowledged) > count + 20, "publishes again")
        publishing.stop()
        last = int(publish(server, {"n": "last"}))
        seen = [one.finish(last) for one in reading]
        acknowledged = [*publishing.acknowledged.values(), last]
        self.assertEqual(acknowledged, sorted(set(acknowledged)), "ids go back")
        say(
            what,
            f"{len(acknowledged)} acknowledged, {dict(publishing.refused)} refused, slowest"
            f" answer {publishing.slowest:.2f} s; {len(seen)} readers each saw"
            f" {sorted({len(one) for one in seen})}, told gone {[one.gone for one in reading]}",
        )
        for one, ids in zip(reading, seen, strict=True):
            if one.gone:
                self.assertTrue(self.loses_history, "told gone without a reason")
            else:
                self.assertEqual(ids, acknowledged)
        self.assertLess(publishing.slowest, 25)
        with server.private() as private:
            self.assertEqual(private.get("/_tako/health").json()["store"], "available")
        self.history(int(before), acknowledged)
        self.assertEqual(set(publishing.refused) - {"store-unavailable"}, set())
        server.assert_clean()

    def history(self, before: int, acknowledged: list[int]) -> None:
        """A new reader gets all since `before`, or for certain a 410."""
        reader = SseReader(self.server.port, "chat", ROOM, str(before))
        self.addCleanup(reader.close)
        try:
            reader.begin().read_until(len(acknowledged))
        except Cut as cut:
            self.assertEqual(cut.status, 410)
            self.assertTrue(self.loses_history, "told gone without a reason")
        else:
            self.assertEqual([int(one["id"]) for one in reader.messages], acknowledged)

    def told_once(self, words: str) -> None:
        """The operator reads of it once, and once that it is over."""
        self.assertEqual(self.server.log.count(words), 1, self.server.log)
        self.assertEqual(self.server.log.count("is available again"), 1, self.server.log)


class RefusedTests(Case):
    """The file is whole but cannot be written; nothing is lost."""

    def test_locked(self) -> None:
        """Another process holds a lock."""
        self.begin()
        other = sqlite3.connect(self.file, isolation_level=None)
        self.addCleanup(other.close)
        self.suffer(
            "the database locked by another process",
            lambda: other.execute("BEGIN IMMEDIATE"),
            lambda: other.execute("ROLLBACK"),
            fails=True,
        )
        self.told_once("another program holds a lock")

    def test_disk_full(self) -> None:
        """The disk is full, and then has room again."""
        with contextlib.ExitStack() as stack:
            folder, limit = stack.enter_context(_small_disk())
            server = self.server = ServerProcess(
                f'{FAST}\n[replay]\npath = "{folder}/replay.sqlite"'
            )
            self.addCleanup(server.close)
            stack.callback(server.kill)
            server.start(**({"preexec_fn": limit} if limit else {}))
            ballast = Path(folder) / "ballast"

            def fill() -> None:
                if limit is not None:
                    self.fill_up()
                    return
                with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
                    while True:
                        file.write(b"x" * 4096)

            def free() -> None:
                if limit is not None:
                    resource.prlimit(
                        server.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2
                    )
                else:
                    ballast.unlink()

            what = "files that cannot grow" if limit else f"a disk of {DISK >> 20} MiB filled up"
            self.suffer(what, fill, free, fails=True)
            server.stop()
        self.assertEqual(server.log.count("is available again"), 1, server.log)

    def test_start_on_a_full_disk(self) -> None:
        """A first start on a full disk serves, says so in one line, and stores once there is room;
        and so does one with a log that is there."""
        with _small_disk() as (folder, limit):
            if limit is not None:
                raise SkipTest("nothing can be mounted here")
            ballast = Path(folder) / "ballast"

            def fill() -> None:
                with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as file:
                    while True:
                        file.write(b"x" * 512)

            server = self.server = ServerProcess(
                f'{FAST}\n[replay]\npath = "{folder}/replay.sqlite"'
            )
            self.addCleanup(server.close)
            stored: list[str] = []
            for life in (1, 2):
                fill()
                server.start()
                publishing = Publishing(server, rate=20)
                publishing.start()
                wait_until(lambda p=publishing: p.refused["store-unavailable"] > 2, "refusals")  # type: ignore[misc]
                self.assertEqual(server.log.count("the disk is full"), life, server.log)
                ballast.unlink()
                wait_until(lambda p=publishing: len(p.acknowledged) > 3, "publishes")  # type: ignore[misc]
                publishing.stop()
                stored += map(str, publishing.acknowledged.values())
                self.assertEqual(server.log.count("is available again"), life)
                reader = SseReader(server.port, "chat", ROOM, stored[0]).begin()
                self.addCleanup(reader.close)
                reader.read_until(len(stored) - 1)
                self.assertEqual([one["id"] for one in reader.messages], stored[1:])
                server.stop()
            server.assert_clean()

    def fill_up(self) -> None:
        """Grow the store until it may not grow, with what no reader here follows."""
        with self.server.private() as private:
            for _ in range(DISK // 60_000 + 10):
                private.post("/channels/news", json={"type": "msg", "data": "x" * 60_000}).close()


class LostTests(Case):
    """The file's content is lost; whoever was behind is told, and the service goes on."""

    loses_history = True

    def test_deleted(self) -> None:
        """The file is deleted: a new one is begun, and no reader misses what comes."""
        self.begin()
        self.suffer("the database deleted", self.file.unlink, lambda: None, fails=False)

    def test_restored(self) -> None:
        """A backup is put back as it was: whoever saw more, or less, is told to load anew."""
        server = self.begin()
        ids = [publish(server, {"n": number}) for number in range(10)]
        backup = server.folder / "backup"
        db = sqlite3.connect(self.file)
        db.execute("VACUUM INTO ?", (str(backup),))
        db.close()
        ids += [publish(server, {"n": number}) for number in range(10, 20)]
        server.stop()
        os.replace(backup, self.file)
        server.start()
        self.too_old(ids, "put in its place")
        server.restart()
        self.assertEqual(server.log.count("Every cursor from before is too old"), 1)

    def test_write_ahead_log_removed(self) -> None:
        """The server is killed, and somebody tidies up its -wal and -shm."""
        server = self.begin()
        ids = [publish(server, {"n": number}) for number in range(20)]
        server.kill()
        for suffix in ("-wal", "-shm"):
            os.unlink(f"{self.file}{suffix}")
        server.start()
        self.too_old(ids, "its -wal was removed")

    def too_old(self, ids: list[str], why: str) -> None:
        """Whoever has one of `ids` is told so, and who begins anew gets what comes."""
        server = self.server
        after = [publish(server, {"n": number}) for number in (20, 21)]
        for cursor in (ids[0], ids[5], ids[14], ids[-2]):
            reader = SseReader(server.port, "chat", ROOM, cursor)
            self.addCleanup(reader.close)
            self.assertEqual(self.assertRaises(Cut, reader.begin).status, 410)
        self.assertGreater(int(after[0]), int(ids[-1]))
        reader = SseReader(server.port, "chat", ROOM, after[0]).begin()
        self.addCleanup(reader.close)
        reader.read_until(1)
        self.assertEqual([one["id"] for one in reader.messages], after[1:])
        [line] = [line for line in server.log.splitlines() if why in line]
        self.assertIn("Every cursor from before is too old", line)
        say(why, line.partition("sqlite ")[2])

    def _move_away(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.rename(f"{self.file}{suffix}", f"{self.file}.damaged{suffix}")

    def test_garbage(self) -> None:
        """The file is replaced by garbage: publishes fail until the operator moves it away."""
        self.begin()

        def hurt() -> None:
            other = self.file.with_name("garbage")
            other.write_bytes(b"this is no database\n" * 2000)
            os.replace(other, self.file)

        self.suffer("the database replaced by garbage", hurt, self._move_away, fails=True)
        self.told_once("it is damaged or no database")

    def test_truncated(self) -> None:
        """The file is cut in half: the same."""
        self.begin()
        with self.server.private() as private:
            for _ in range(30):
                private.post("/channels/news", json={"type": "msg", "data": "x" * 60_000})
        self.server.restart()
        self.suffer(
            "the database truncated to half",
            lambda: os.truncate(self.file, self.file.stat().st_size // 2),
            self._move_away,
            fails=True,
        )
        self.told_once("it is damaged or no database")


class ReadOnlyTests(Case):
    """The file may not be written by the server's user."""

    def test_read_only(self) -> None:
        """A restart onto a read-only file serves, refuses publishes, and recovers by itself."""
        server = self.begin(f'{FAST}\n[replay]\npath = "store/replay.sqlite"')
        first = int(publish(server, {"n": 0}))
        server.stop()
        folder = server.folder / "store"
        (folder / "replay.sqlite").chmod(0o444)
        folder.chmod(0o555)
        server.start(preexec_fn=_obey_modes)
        publishing = Publishing(server, rate=50)
        publishing.start()
        wait_until(lambda: publishing.refused["store-unavailable"] > 3, "refusals")
        folder.chmod(0o755)
        (folder / "replay.sqlite").chmod(0o644)
        wait_until(lambda: len(publishing.acknowledged) > 20, "publishes again")
        publishing.stop()
        acknowledged = [first, *publishing.acknowledged.values()]
        reader = SseReader(server.port, "chat", ROOM, "0").begin()
        self.addCleanup(reader.close)
        reader.read_until(len(acknowledged))
        say(
            "the database and its folder read-only at the start",
            f"{dict(publishing.refused)} refused, then {len(acknowledged)} stored and read",
        )
        self.assertEqual([int(one["id"]) for one in reader.messages], acknowledged)
        self.assertEqual(server.log.count("is available again"), 1, server.log)
        server.assert_clean()


#: <linux/prctl.h>, <linux/capability.h>.
_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE = 24, 1


def _obey_modes() -> None:
    """Have root obey the modes of files as everybody does; for the program executed next."""
    if os.geteuid() == 0 and ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE, 0, 0, 0):
        raise OSError("the capability cannot be dropped")


@contextlib.contextmanager
def _small_disk() -> Iterator[tuple[str, Callable[[], None] | None]]:
    """A folder on a small disk; where nothing can be mounted, a limit on the size of files."""
    with tempfile.TemporaryDirectory(prefix="tako-disk-") as folder:
        mounted = False
        with contextlib.suppress(OSError):
            mounted = not subprocess.run(
                ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", folder],
                capture_output=True,
                check=False,
            ).returncode
        try:
            if mounted:
                yield folder, None
            else:
                hard = resource.RLIM_INFINITY
                yield folder, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (DISK, hard))
        finally:
            if mounted:
                subprocess.run(["umount", folder], check=True)
