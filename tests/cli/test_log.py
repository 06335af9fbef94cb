"""``tako log``: what becomes of cursors when the log is backed up, moved and put back."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

from twisted.internet.task import Clock

from takotwist.adapters.sqlite import SqliteReplayLog
from takotwist.core.log import Page
from takotwist.errors import ReplayTooOld
from takotwist.server.state_lock import lock_log
from tests.adapters.sqlite.inline_pool import InlinePool
from tests.cli.command import CommandTestCase
from tests.contracts.replay_log import LOBBY, NOW, SECOND, entry

GOOD = "every cursor is good"
TOO_OLD = "Every cursor from before is too old"


class LogCommandTests(CommandTestCase):
    """Each test begins with a log of three messages, whose server was stopped."""

    def setUp(self) -> None:
        super().setUp()
        self.now = NOW
        self.write("tako.toml", 'state_dir = "here"\n')
        self.write("there.toml", 'state_dir = "there"\n')
        for name in ("here", "there"):
            os.mkdir(name)
        self.ids = self.live("here", "a", "b", "c")

    def start(self, place: str) -> SqliteReplayLog:
        """A server's log."""
        clock = Clock()
        self.now += 10 * SECOND
        clock.advance(self.now / SECOND)
        log = SqliteReplayLog(
            self.folder / place / "replay.sqlite", reactor=clock, make_pool=InlinePool
        )
        self.addCleanup(log.stop)
        self.successResultOf(log.start())
        return log

    def publish(self, log: SqliteReplayLog, *texts: str) -> list[int]:
        [appended] = self.successResultOf(log.append([entry(LOBBY, *texts)], self.now))
        return [message.id for message in appended.messages]

    def live(self, place: str, *texts: str) -> list[int]:
        """A server starts, publishes and stops."""
        log = self.start(place)
        ids = self.publish(log, *texts)
        self.successResultOf(log.stop())
        return ids

    def after(self, log: SqliteReplayLog, cursor: int) -> list[str]:
        page: Page = self.successResultOf(log.read(LOBBY, cursor, 100, 10**6))
        page.judge(cursor)
        return [message.data.decode().strip('"') for message in page.messages]

    def refuses(self, log: SqliteReplayLog, *cursors: int) -> None:
        for cursor in cursors:
            self.assertRaises(ReplayTooOld, self.after, log, cursor)

    def tako(self, *arguments: str, ends: int = 0) -> str:
        result = self.run_command("log", *arguments)
        self.assertEqual(result.exit_code, ends, result.output)
        self.assertTrue(result.exception is None or isinstance(result.exception, SystemExit))
        return result.output

    def mode(self, *path: str) -> int:
        return stat.S_IMODE(Path(*path).stat().st_mode)

    # moving

    def test_move(self) -> None:
        """An exported log that is imported elsewhere resumes every cursor, and ids go on."""
        out = self.tako("export", "moving")
        self.assertIn(GOOD, out)
        self.assertEqual(self.mode("moving"), 0o600)
        self.assertEqual(
            sorted(os.listdir("here")), ["replay.sqlite.lock", "replay.sqlite.witness"]
        )
        self.assertIn("not imported yet", self.tako("verify", "moving"))
        self.assertIn("Every cursor is good", self.tako("import", "moving", "-c", "there.toml"))
        for name in ("replay.sqlite", "replay.sqlite.witness"):
            self.assertEqual(self.mode("there", name), 0o600)
        self.assertIn("Sound", self.tako("verify", "-c", "there.toml"))
        log = self.start("there")
        [new] = self.publish(log, "d")
        self.assertGreater(new, self.ids[-1])
        self.assertEqual(self.after(log, self.ids[0]), ["b", "c", "d"])
        self.assertEqual(self.after(log, self.ids[2]), ["d"])

    def test_move_and_back(self) -> None:
        """What was exported can be taken in again where it came from."""
        self.tako("export", "moving")
        self.assertIn("Every cursor is good", self.tako("import", "moving"))
        log = self.start("here")
        self.assertEqual(self.after(log, self.ids[1]), ["c"])

    def test_exported_place_goes_on(self) -> None:
        """A server that is started where a log was exported begins a new one: no cursor is good."""
        self.tako("export", "moving")
        log = self.start("here")
        [new] = self.publish(log, "d")
        self.assertGreater(new, self.ids[-1])
        self.refuses(log, *self.ids)
        self.successResultOf(log.stop())
        self.assertIn("is there already", self.tako("import", "moving", ends=1))
        self.assertIn(TOO_OLD, self.tako("import", "moving", "--replace"))
        log = self.start("here")
        self.refuses(log, *self.ids)
        self.assertGreater(self.publish(log, "e"), [new])

    def test_second_import(self) -> None:
        """A second import, after the first one went on, makes every cursor too old."""
        self.tako("export", "moving")
        self.tako("import", "moving", "-c", "there.toml")
        [new] = self.live("there", "d")
        self.assertIn(TOO_OLD, self.tako("import", "moving", "--replace", "-c", "there.toml"))
        log = self.start("there")
        self.refuses(log, *self.ids)
        self.assertEqual(self.after(log, log.head), [])
        self.assertGreaterEqual(log.head, new)

    def test_copied_by_hand(self) -> None:
        """The file alone, at another place, resumes nobody, and is safe."""
        Path("there/replay.sqlite").write_bytes(Path("here/replay.sqlite").read_bytes())
        self.assertIn("has no witness file", self.tako("verify", "-c", "there.toml", ends=1))
        self.refuses(self.start("there"), *self.ids)

    # backups

    def test_backup_of_a_running_server(self) -> None:
        """A backup holds what was stored; after more was published it makes every cursor too old
        where it is imported."""
        log = self.start("here")
        [fourth] = self.publish(log, "d")
        out = self.tako("backup", "backup")
        self.assertIn("4 messages of 1 topic,", out)
        self.assertIn(f"ids up to {fourth}", out)
        self.assertEqual(self.mode("backup"), 0o600)
        [fifth] = self.publish(log, "e")
        with lock_log(self.folder / "here" / "replay.sqlite"):
            self.assertIn("another server", self.tako("import", "backup", "--replace", ends=1))
        self.successResultOf(log.stop())
        self.assertIn(TOO_OLD, self.tako("import", "backup", "--replace"))
        log = self.start("here")
        self.refuses(log, *self.ids, fourth)
        [new] = self.publish(log, "f")
        self.assertGreater(new, fifth)
        self.assertEqual(self.after(log, 0), ["a", "b", "c", "d", "f"])

    def test_backup_that_misses_nothing(self) -> None:
        """A backup after which nothing was published resumes every cursor, at its own place."""
        self.tako("backup", "backup")
        self.assertIn("Every cursor is good", self.tako("import", "backup", "--replace"))
        self.assertEqual(self.after(self.start("here"), self.ids[0]), ["b", "c"])

    def test_backup_elsewhere(self) -> None:
        """Elsewhere nobody knows what was published after it."""
        self.tako("backup", "backup")
        self.assertIn(TOO_OLD, self.tako("import", "backup", "-c", "there.toml"))
        self.refuses(self.start("there"), *self.ids)

    def test_nothing_is_overwritten(self) -> None:
        """A file that is there stays."""
        self.write("mine", "precious")
        for name in ("backup", "export"):
            self.assertIn("is there already", self.tako(name, "mine", ends=1))
        self.assertEqual(Path("mine").read_text(), "precious")
        self.assertEqual(self.after(self.start("here"), self.ids[0]), ["b", "c"])

    def test_nothing_to_export(self) -> None:
        """An export of no log says so, and makes none."""
        self.assertIn("there is none", self.tako("export", "x", "-c", "there.toml", ends=1))
        self.assertFalse(os.path.exists("x"))
        self.assertFalse(os.path.exists("there/replay.sqlite"))

    def test_export_of_a_running_server(self) -> None:
        """While a server has the log it is not moved."""
        with lock_log(self.folder / "here" / "replay.sqlite"):
            self.assertIn("another server", self.tako("export", "x", ends=1))
        self.assertFalse(os.path.exists("x"))

    def test_export_owns_up(self) -> None:
        """An export does not make a copy that was put in place pass for whole."""
        self.tako("backup", "backup")
        [lost] = self.live("here", "d")
        os.replace("backup", "here/replay.sqlite")
        self.assertIn(TOO_OLD, self.tako("export", "moving"))
        self.tako("import", "moving", "-c", "there.toml")
        log = self.start("there")
        self.refuses(log, *self.ids)
        self.assertGreater(self.publish(log, "e"), [lost])

    def test_garbage(self) -> None:
        """What is no log is not imported, and what is there stays."""
        self.write("garbage", "this is no database\n" * 1000)
        sqlite3.connect("theirs").execute("CREATE TABLE theirs (a)").connection.close()
        for name in ("garbage", "theirs"):
            self.assertIn(name, self.tako("import", name, "--replace", ends=1))
        self.assertEqual(sorted(os.listdir("here")), self.files())
        self.assertEqual(self.after(self.start("here"), self.ids[0]), ["b", "c"])

    def files(self) -> list[str]:
        return ["replay.sqlite", "replay.sqlite.lock", "replay.sqlite.witness"]

    # verify

    def test_verify(self) -> None:
        """A log is sound while its server runs and after it stopped."""
        self.assertIn("Sound", self.tako("verify"))
        log = self.start("here")
        self.publish(log, "d")
        out = self.tako("verify")
        self.assertIn("4 messages", out)
        self.assertIn("Sound", out)

    def test_verify_finds_what_is_wrong(self) -> None:
        """Rows that do not agree, an older copy, and pages that are none are each named."""
        self.tako("backup", "backup")
        db = sqlite3.connect("backup")
        db.execute("DELETE FROM message WHERE id = ?", self.ids[:1])
        db.commit()
        db.close()
        out = self.tako("verify", "backup", ends=1)
        self.assertIn("'chat?roomId=lobby' has 2 messages", out)
        self.tako("backup", "older")
        self.live("here", "d")
        os.replace("older", "here/replay.sqlite")
        self.assertIn("an older copy", self.tako("verify", ends=1))
        with open("here/replay.sqlite", "r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * 4096)
        self.assertIn("wrong: ***", self.tako("verify", ends=1))
