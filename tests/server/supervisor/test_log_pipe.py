"""Lines of a process in the log of the supervisor."""

from __future__ import annotations

import errno
import os

from twisted.trial.unittest import SynchronousTestCase

from takotwist.server.supervisor.log_pipe import CHUNK, LogPipe


class Readers:
    """The part of a reactor that is needed."""

    def __init__(self) -> None:
        self.readers: list[object] = []

    def addReader(self, reader: object) -> None:
        """See `IReactorFDSet`."""
        self.readers.append(reader)

    def removeReader(self, reader: object) -> None:
        """The same."""
        self.readers.remove(reader)


class LogPipeTests(SynchronousTestCase):
    """One pipe, read by hand."""

    def setUp(self) -> None:
        self.reactor = Readers()
        self.lines: list[str] = []
        self.pipe = LogPipe.open(self.reactor, self.lines.append)  # type: ignore[arg-type]
        self.addCleanup(self.pipe.connectionLost, None)

    def test_lines(self) -> None:
        """Whole lines are passed on, and what is left at the end."""
        os.write(self.pipe.writing, b"one\ntwo\nth")
        self.pipe.doRead()
        os.write(self.pipe.writing, b"ree\nfou\xff")
        self.pipe.doRead()
        self.pipe.doRead()
        self.assertEqual(self.lines, ["one\ntwo\n", "three\n"])
        os.close(self.pipe.writing)
        self.pipe.doRead()
        self.assertEqual(self.lines[2:], ["fou\ufffd\n"])
        self.assertEqual(self.reactor.readers, [])

    def test_endless_line(self) -> None:
        """It is not kept until it ends."""
        os.set_blocking(self.pipe.writing, False)
        for _ in range(3):
            os.write(self.pipe.writing, b"x" * (CHUNK // 2 + 1))
            self.pipe.doRead()
        self.assertGreater(len(self.lines[0]), CHUNK)
        os.close(self.pipe.writing)
        self.pipe.doRead()
        self.assertEqual(self.reactor.readers, [])

    def test_full_disk(self) -> None:
        """Lines that cannot be written are lost; those that come when there is room are not."""
        room: list[str] = []

        def write(lines: str) -> None:
            if not room:
                raise OSError(errno.ENOSPC, "full")
            self.lines.append(lines)

        pipe = LogPipe.open(self.reactor, write)  # type: ignore[arg-type]
        self.addCleanup(pipe.connectionLost, None)
        os.write(pipe.writing, b"one\n")
        pipe.doRead()
        room.append("some")
        os.write(pipe.writing, b"two\n")
        pipe.doRead()
        self.assertEqual(self.lines, ["two\n"])
        os.close(pipe.writing)
        pipe.doRead()
        self.assertEqual(self.reactor.readers, [self.pipe])
