"""Lines that a process writes, into the log of the supervisor where that is a file of its own.

A process has the supervisor's standard output and error wherever the log goes there.  A file that
twistd puts aside at a size has one writer only, so there its lines come through a pipe.
Rule: a line is passed on as it is; the process has given it its form.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress

import attrs
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from zope.interface import implementer

#: Read at once.
CHUNK = 64 * 1024


@implementer(IReadDescriptor)
@attrs.define(slots=True, eq=False)
class LogPipe:
    """The pipe of one process.

    :ivar writing: the end that the process has; close it once it has.
    """

    _reactor: IReactorFDSet
    _write: Callable[[str], object]
    _reading: int
    writing: int
    _begun: bytes = b""

    @classmethod
    def open(cls, reactor: IReactorFDSet, write: Callable[[str], object]) -> LogPipe:
        """A new one, which is read until its writer has gone.

        :param write: is given whole lines.
        """
        reading, writing = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(reading, False)
        pipe = cls(reactor, write, reading, writing)
        reactor.addReader(pipe)
        return pipe

    # IReadDescriptor

    def fileno(self) -> int:
        return self._reading

    def logPrefix(self) -> str:
        return "supervisor"

    def doRead(self) -> None:
        try:
            data = os.read(self._reading, CHUNK)
        except BlockingIOError:
            return
        whole, newline, begun = (self._begun + data).rpartition(b"\n")
        if not data or len(begun) > CHUNK:
            whole, newline, begun = self._begun + data, b"\n" * bool(self._begun), b""
        self._begun = begun
        if newline:
            # A disk that is full takes these lines, and not the process's log for good: the
            # reactor drops a reader that raises, and with it the pipe.
            with suppress(OSError):
                self._write((whole + newline).decode("utf-8", "replace"))
        if not data:
            self.connectionLost(None)

    def connectionLost(self, reason: object) -> None:
        """Its writer has gone, or the reactor ends."""
        if self._reading >= 0:
            self._reactor.removeReader(self)
            os.close(self._reading)
            self._reading = -1
