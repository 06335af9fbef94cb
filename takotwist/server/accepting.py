"""Reserve of file descriptors: accepting pauses while the process has hardly one left.

Twisted, out of descriptors, accepts each client only to drop it, and logs three
lines for it; clients that come back at once make that a loop, and the replay log
and the app's connections find no descriptor either.  So a few are kept for
those: short of them a listener is not read, and clients wait in the kernel's queue.
Rule: what is open already is never hurt by new connections.
"""

from __future__ import annotations

import errno
import os
from typing import Any

import attrs
from twisted.internet import tcp
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

#: Descriptors that are kept for the log, the app and the operator, where the limit allows.
SPARE = 128

#: Seconds between two looks for descriptors that have come free.
LOOK_INTERVAL = 0.1

#: Seconds before the log says the same again: a full server comes and goes at its limit.
SAY_INTERVAL = 60.0

_SHORTAGE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@attrs.define(slots=True, eq=False)
class Accepting:
    """Watch on the descriptors that the listeners of one process hand out.

    :param limit: descriptors that this process may have open.
    """

    _reactor: IReactorTime
    _limit: int
    _waiting: list[_Guarded] = attrs.field(factory=list, init=False)
    _looking: IDelayedCall | None = attrs.field(default=None, init=False)
    _said_at: float | None = attrs.field(default=None, init=False)
    _said: bool = attrs.field(default=False, init=False)
    _log: Logger = attrs.field(factory=Logger, init=False)

    def guard(self, port: tcp.Port, *, last: bool = False) -> None:
        """Make `port`, an open stream listener, leave some descriptors.

        :param last: may use half of those that others leave; for the private listener, so
            that a full server can still be looked into.
        """
        spare = min(SPARE, self._limit // 4)
        end = self._limit - (spare // 2 if last else spare)
        port.socket = _Guarded(port, port.socket, end, self)

    def stop(self) -> None:
        """Resume nothing any more."""
        self._waiting.clear()
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None

    def short(self, guarded: _Guarded) -> None:
        """`guarded` has none to take."""
        guarded.port.stopReading()
        self._waiting.append(guarded)
        now = self._reactor.seconds()
        if self._said_at is None or now - self._said_at >= SAY_INTERVAL:
            self._said_at, self._said = now, True
            self._log.error(
                "accepting pauses: of {limit} files that this process may have open nearly all"
                " are. Who connects now waits until others leave. Raise LimitNOFILE in the"
                " systemd unit, or lower limits.max_connections below it.",
                limit=self._limit,
            )
        self._look_later()

    def _look_later(self) -> None:
        if self._looking is None:
            self._looking = self._reactor.callLater(LOOK_INTERVAL, self._look)

    def _look(self) -> None:
        self._looking = None
        free = _lowest_free()
        waiting, self._waiting = self._waiting, []
        for guarded in waiting:
            if not guarded.port.connected or guarded.port.disconnecting:
                continue
            if guarded.has_room(free):
                guarded.port.startReading()
            else:
                self._waiting.append(guarded)
        if self._waiting:
            self._look_later()
        elif self._said:
            self._said = False
            self._log.info("accepting goes on")


@attrs.define(slots=True, eq=False)
class _Guarded:
    """A listening socket that knows when to take nobody.

    The system gives out the lowest number that is free, so the number of a new
    connection says how many descriptors are in use, without counting.

    :ivar end: numbers from here on are spare.
    """

    port: tcp.Port
    _socket: Any
    end: int
    _accepting: Accepting
    _full: bool = False

    def accept(self) -> tuple[object, object]:
        """Implement `socket.socket.accept`."""
        if self._full:
            self._full = False
            if not self.has_room(_lowest_free()):
                self._accepting.short(self)
                raise BlockingIOError(errno.EAGAIN, "no descriptor to spare")
        try:
            accepted: tuple[Any, object] = self._socket.accept()
        except OSError as failure:
            if failure.errno not in _SHORTAGE:
                raise
            self._accepting.short(self)
            raise BlockingIOError(errno.EAGAIN, "no descriptor") from None
        self._full = accepted[0].fileno() >= self.end - 1
        return accepted

    def has_room(self, free: int | None) -> bool:
        """`True` if one more may come, which would have the number `free`."""
        return free is not None and free < self.end

    def __getattr__(self, name: str) -> object:
        return getattr(self._socket, name)


def _lowest_free() -> int | None:
    """The number that the next descriptor would have."""
    try:
        found = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    os.close(found)
    return found
