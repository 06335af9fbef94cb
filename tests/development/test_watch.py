"""Files that change in real folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from queue import Empty, Queue
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.development import watch
from takotwist.development.watch import FileWatch, folders_of


class Passing:
    """Stands for the reactor: what a thread passes on is done at once."""

    def callFromThread(self, call: Callable[..., Any], *arguments: Any) -> None:
        call(*arguments)


class FolderTests(SynchronousTestCase):
    """Which folders are looked at."""

    def test_folders(self) -> None:
        """Neither those of tools, nor hidden ones, nor those that are left out."""
        root = Path(self.mktemp()).resolve()
        for name in ("channels", "pages/a/b", "node_modules/x", ".git/x", "state", "a/venv/lib"):
            (root / name).mkdir(parents=True)
        found = [str(one.relative_to(root)) for one in folders_of(root, [root / "state"])]
        self.assertEqual(found, [".", "a", "channels", "pages", "pages/a", "pages/a/b"])

    def test_bound(self) -> None:
        """A folder with more below it than can be watched is watched in part."""
        root = Path(self.mktemp()).resolve()
        for number in range(5):
            (root / str(number)).mkdir(parents=True)
        self.patch(watch, "MAX_FOLDERS", 3)
        self.assertEqual(len(folders_of(root)), 3)


class WatchTests(SynchronousTestCase):
    """Files are written, and told of."""

    def setUp(self) -> None:
        self.root = Path(self.mktemp()).resolve()
        (self.root / "channels").mkdir(parents=True)
        (self.root / "state").mkdir()
        self.file = self.root / "channels" / "chat.py"
        self.file.write_text("before")
        self.told: Queue[frozenset[Path]] = Queue()
        self.watch = FileWatch(self.root, [self.root / "state"], Passing(), self.told.put)

    def begin(self) -> None:
        """Start it, and end it with the test."""
        self.watch.startService()

        def end() -> None:
            self.watch.end()
            self.assertFalse(self.watch.alive)

        self.addCleanup(end)

    def wait_for(self, file: Path) -> set[Path]:
        """Until `file` is told of; all that was told."""
        told: set[Path] = set()
        while file not in told:
            try:
                told |= self.told.get(timeout=60)
            except Empty:
                self.fail(f"{file} was not told of, but {told}")
        return told

    def test_changed(self) -> None:
        """A file that is written, put in another's place as editors do, or removed."""
        self.begin()
        self.file.write_text("after")
        self.wait_for(self.file)
        new = self.root / "channels" / "new"
        new.write_text("moved")
        new.replace(self.file)
        self.wait_for(self.file)
        self.file.unlink()
        self.wait_for(self.file)

    def test_before_it_began(self) -> None:
        """What has changed between the reading and the watching is told of too."""
        self.file.write_text("changed meanwhile")
        self.begin()
        self.wait_for(self.file)

    def test_new_folder(self) -> None:
        """A folder that is made is watched, and what was put into it at once is told of."""
        self.begin()
        made = self.root / "functions" / "inner"
        made.mkdir(parents=True)
        (made / "a.py").write_text("a")
        self.wait_for(made / "a.py")
        (made / "b.py").write_text("b")
        self.wait_for(made / "b.py")

    def test_not_looked_at(self) -> None:
        """The state folder changes all the time, and is not told of."""
        self.begin()
        (self.root / "state" / "replay.sqlite").write_text("x")
        self.file.write_text("after")
        self.assertNotIn(self.root / "state" / "replay.sqlite", self.wait_for(self.file))
