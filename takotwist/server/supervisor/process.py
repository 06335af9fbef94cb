"""One process of the server: started, sent signals, and known when it ends.

It gets the descriptors that it is told of, and none else.  It has a process group of its own,
because Ctrl-C in a terminal goes to the whole group of the supervisor, which says itself when
its processes stop.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

import attrs
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from zope.interface import implementer

#: Variables of the service manager's that are for the supervisor alone.
NOT_THEIRS = (
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
)

#: The module that a process runs.
MODULE = "takotwist.server.supervisor.child"


@implementer(IReadDescriptor)
@attrs.define(slots=True, eq=False)
class Process:
    """A process that runs, until `ended` is called with its exit code (a signal's is negative)."""

    _reactor: IReactorFDSet
    _popen: subprocess.Popen[bytes]
    _pidfd: int
    _ended: Callable[[int], object]

    @classmethod
    def start(
        cls,
        reactor: IReactorFDSet,
        name: str,
        control: int,
        descriptors: Sequence[int],
        environ: Mapping[str, str],
        ended: Callable[[int], object],
        output: int | None = None,
    ) -> Process:
        """Start one.

        :param name: shown by ps.
        :param control: the descriptor of its end of the message channel.
        :param descriptors: that it has beside, by the same numbers.
        :param output: where its standard output and error go, where not to the supervisor's.
        :raises OSError: there is no room for one more.
        """
        popen = subprocess.Popen(
            # -P: the working folder is no place of modules, as it is none for `tako`.
            [sys.executable, "-P", "-m", MODULE, str(control), name],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(control, *descriptors),
            env={name: value for name, value in environ.items() if name not in NOT_THEIRS},
            process_group=0,
        )
        process = cls(reactor, popen, os.pidfd_open(popen.pid), ended)
        reactor.addReader(process)
        return process

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._popen.pid

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs."""
        if self._pidfd >= 0:
            signal.pidfd_send_signal(self._pidfd, number)

    # IReadDescriptor

    def fileno(self) -> int:
        return self._pidfd

    def logPrefix(self) -> str:
        return "supervisor"

    def doRead(self) -> None:
        self._reactor.removeReader(self)
        os.close(self._pidfd)
        self._pidfd = -1
        self._ended(self._popen.wait())

    def connectionLost(self, reason: object) -> None:
        """The reactor ends, or took the end of the process for an error of the descriptor."""
        if self._pidfd >= 0 and self._popen.poll() is not None:
            self.doRead()
