"""Files judged by what was opened."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.files import opened
from takotwist.streams.files.opened import CannotOpen, FileChanged, Folder, IsFolder, open_file
from tests.streams.files.exchange import open_below


class Opening(SynchronousTestCase):
    """A folder with a file, and a secret outside."""

    def setUp(self) -> None:
        self.outside = Path(self.mktemp()).absolute()
        self.inside = self.outside / "inside"
        self.inside.mkdir(parents=True)
        (self.inside / "file").write_bytes(b"0123456789")
        (self.outside / "secret").write_bytes(b"secret")
        self.folder = Folder(self.inside)

    def assert_cannot(self, status: int, relative: bytes) -> None:
        """It is refused with this status, and no descriptor is left open."""
        error = self.assertRaises(CannotOpen, self.folder.open, relative)
        self.assertEqual(error.status, status)
        self.assertEqual(open_below(self.outside), [])


class OpenedFiles(Opening):
    """What an open file knows and does."""

    def test_facts(self) -> None:
        """Facts are those of the file; a second close does nothing."""
        for file in (open_file(bytes(self.inside / "file")), self.folder.open(b"file")):
            facts = (self.inside / "file").stat()
            self.assertEqual(
                (file.size, file.mtime_ns, file.inode), (10, facts.st_mtime_ns, facts.st_ino)
            )
            self.assertEqual(file.read(3, 4), b"3456")
            file.close()
            file.close()

    def test_reading_beyond_the_end(self) -> None:
        """Fewer bytes than asked for is a changed file, never a short answer."""
        file = self.folder.open(b"file")
        self.addCleanup(file.close)
        self.assertRaises(FileChanged, file.read, 8, 3)

    def test_change(self) -> None:
        """Another size or another time is a changed file."""
        file = self.folder.open(b"file")
        self.addCleanup(file.close)
        file.check_unchanged()
        with open(self.inside / "file", "ab") as more:
            more.write(b"x")
        self.assertRaises(FileChanged, file.check_unchanged)
        self.assertRaises(FileChanged, file.read, 0, 1)


class Refusing(Opening):
    """F9: the second wall."""

    def test_missing_and_special(self) -> None:
        """What is not there, is a folder or a pipe, or cannot be a name, is not opened."""
        os.mkfifo(self.inside / "pipe")
        (self.inside / "loop").symlink_to("loop")
        for relative in (b"nothing", b"file/x", b"pipe", b"loop", b"a" * 300, b"a\x00b"):
            self.assert_cannot(404, relative)
        self.assertRaises(IsFolder, self.folder.open, b"")

    def test_outside(self) -> None:
        """F9: whatever the name, what lies outside is not opened."""
        (self.inside / "link").symlink_to(self.outside / "secret")
        (self.inside / "up").symlink_to("..")
        for relative in (b"../secret", b"link", b"up/secret", b"up/inside/../secret", b"up"):
            self.assert_cannot(404, relative)

    def test_exchanged_while_opening(self) -> None:
        """F9: a file exchanged for a link just before it is opened is caught afterwards."""
        real_open = os.open

        def exchange(path: bytes, flags: int) -> int:
            (self.inside / "file").unlink()
            (self.inside / "file").symlink_to(self.outside / "secret")
            return real_open(path, flags)

        self.patch(os, "open", exchange)
        self.assert_cannot(404, b"file")

    def test_without_proc(self) -> None:
        """F9: where /proc is missing, the name is resolved again and has to be the same file."""
        (self.inside / "link").symlink_to(self.outside / "secret")
        real_open = os.open

        def unreadable(path: bytes) -> bytes:
            raise FileNotFoundError(errno.ENOENT, "no /proc")

        self.patch(opened.os, "readlink", unreadable)
        self.folder.open(b"file").close()

        def no_link(path: bytes, *, strict: bool = False) -> bytes:
            return bytes(self.inside / "file")

        self.patch(opened.os.path, "realpath", no_link)
        error = self.assertRaises(CannotOpen, self.folder.open, b"link")
        self.assertEqual(error.status, 404)
        self.patch(os, "open", real_open)

    def test_statuses(self) -> None:
        """Each cause has its status: ours to mend, forbidden, exhausted."""
        for number, status in (
            *((errno.EACCES, 403), (errno.EPERM, 403), (errno.EMFILE, 503), (errno.ENFILE, 503)),
            *((errno.EIO, 500), (errno.ENOENT, 404), (errno.ENOTDIR, 404)),
        ):

            def fail(path: bytes, flags: int, number: int = number) -> int:
                raise OSError(number, "told to")

            self.patch(os, "open", fail)
            error = self.assertRaises(CannotOpen, self.folder.open, b"file")
            self.assertEqual(error.status, status)
            error = self.assertRaises(CannotOpen, open_file, b"file")
            self.assertEqual(error.status, status)

    def test_root(self) -> None:
        """The root of the file system can be a folder too."""
        self.assertRaises(IsFolder, Folder("/").open, b"tmp")
