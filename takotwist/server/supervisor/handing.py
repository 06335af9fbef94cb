"""Accepted connections go to the worker that has the fewest.

One process accepts and passes each connection on (SCM_RIGHTS).  Rejected, each with 400
connections to 4 workers, measured: one socket that all of them read gave 83, 47, 4 and 266,
because whoever wakes first takes all there is; SO_REUSEPORT gave 90 to 119, by chance, knows
nothing of who has left, and lets connections wait in the queue of a worker that is
not there.  Here it is 100 each, on ports, Unix sockets and sockets of systemd alike, and a
worker that is gone or busy is passed over.  It costs the supervisor 50 to 100 us for each.

Rule: a connection that was accepted is handed to somebody, or waits until it can be.
"""

from __future__ import annotations

import errno
import mmap
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from operator import attrgetter
from typing import Any

import attrs
from twisted.internet import tcp
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from takotwist.server.listen import Listening

#: Connections of one listener that are accepted in one turn of the reactor.
BATCH = 64

#: Seconds until a connection is offered again that nobody had room for.
RETRY_SECONDS = 0.02

#: What the kernel keeps of connections that were handed on and not yet taken, for each listener
#: of each worker: about 130 of them.  Where all workers are so busy, accepting pauses.
IN_FLIGHT_BYTES = 48 * 1024


#: Who has not taken so many that it was given gets one only where all are like that: a function
#: of the app that never returns holds up no more than these.
LYING = 8


class SharedCounts:
    """Counts of connections that each worker has taken and closed, in memory that all share.

    Each number has one writer, so there is no lock, and a connection that comes or goes costs the
    worker no system call.

    :param slots: that there are.
    :param descriptor: of the memory, where another process has made it.
    :ivar taken: connections, by slot; `closed`: those of them that were closed.
    :ivar lives: whether there is a process in the slot that serves, or leaves; 1 or 0.
    """

    def __init__(self, slots: int, descriptor: int | None = None) -> None:
        size = 24 * slots
        if descriptor is None:
            descriptor = os.memfd_create("tako-workers", os.MFD_CLOEXEC)
            os.ftruncate(descriptor, size)
        self.descriptor = descriptor
        self._map = mmap.mmap(descriptor, size)
        self._counts = memoryview(self._map).cast("Q")
        self.taken, self.closed, self.lives = (
            self._counts[at * slots : (at + 1) * slots] for at in range(3)
        )

    def close(self) -> None:
        """Give the memory back, and close its descriptor."""
        for view in (self.taken, self.closed, self.lives, self._counts):
            view.release()
        self._map.close()
        os.close(self.descriptor)


@attrs.define(slots=True, eq=False)
class Taker:
    """One worker process, as somebody who takes connections.

    :ivar slot: where its counts are.
    :ivar theirs: the ends that the worker reads, a listener each.  Kept here too, so that what
        is on its way survives the worker.
    :ivar handed: connections that it was given.
    :ivar turn: of `Handing`, when it was given the last one.
    """

    slot: int
    _counts: SharedCounts
    theirs: list[socket.socket]
    _ours: list[socket.socket]
    handed: int = 0
    turn: int = 0

    @classmethod
    def of(cls, slot: int, counts: SharedCounts, listeners: int) -> Taker:
        """A new one, with a channel for each listener."""
        counts.taken[slot] = counts.closed[slot] = 0
        ours, theirs = [], []
        for _ in range(listeners):
            mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            mine.setblocking(False)
            mine.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, IN_FLIGHT_BYTES)
            its.setblocking(False)
            ours.append(mine)
            theirs.append(its)
        return cls(slot, counts, theirs, ours)

    @property
    def load(self) -> tuple[int, int, int]:
        """The lesser, the better: how much too much it leaves lying of what it was given, how
        many connections it has, and when it had its turn, for those who are equal."""
        counts, slot, handed = self._counts, self.slot, self.handed
        lying = handed - counts.taken[slot]
        return max(0, lying - LYING), handed - counts.closed[slot], self.turn

    def give(self, listener: int, connection: socket.socket) -> bool:
        """Hand it one; whether there was room."""
        try:
            socket.send_fds(self._ours[listener], [b"c"], [connection.fileno()])
        except OSError:
            # No room, too many on their way in the whole system, or it is gone.
            return False
        self.handed += 1
        return True

    def alive(self, lives: int) -> None:
        """Let all know whether its process is there."""
        self._counts.lives[self.slot] = lives

    def give_no_more(self) -> None:
        """Close its channels: it still finds what it was given, and then the end."""
        for one in self._ours:
            one.close()

    def left(self) -> list[tuple[int, socket.socket]]:
        """The worker is gone: connections that it has not taken, with their listeners."""
        self.give_no_more()
        found: list[tuple[int, socket.socket]] = []
        for listener, one in enumerate(self.theirs):
            with suppress(OSError):
                while (taken := receive(one)) is not None:
                    found.append((listener, socket.socket(fileno=taken)))
            one.close()
        self.theirs = []
        return found


_load = attrgetter("load")


def receive(channel: socket.socket) -> int | None:
    """The descriptor of a connection that was handed on; `None` at the end.

    :raises OSError: there is none now, or this process may have no more descriptors.
    """
    data, descriptors, flags, _ = socket.recv_fds(channel, 1, 1, socket.MSG_CMSG_CLOEXEC)
    if descriptors:
        return descriptors[0]
    if data or flags & socket.MSG_CTRUNC:
        raise OSError(errno.ECONNABORTED, "the descriptor of a connection was lost on its way")
    return None


@attrs.define(slots=True, eq=False)
class Handing:
    """The takers of connections, and the listeners whose connections they are."""

    _reactor: IReactorTime
    #: Told when somebody more, or fewer, takes connections.
    _changed: Callable[[], object] = lambda: None
    takers: list[Taker] = attrs.field(factory=list, init=False)
    _paused: dict[tcp.Port, None] = attrs.field(factory=dict, init=False)
    #: Accepted, and had by nobody yet: at most one a listener, and what a dead worker left.
    _waiting: list[tuple[int, socket.socket]] = attrs.field(factory=list, init=False)
    _turn: int = attrs.field(default=0, init=False)
    _later: IDelayedCall | None = attrs.field(default=None, init=False)
    _log: Logger = attrs.field(factory=Logger, init=False)

    def serve(self, listener: int, listening: Listening) -> None:
        """Have the connections of an open listener handed on, from its next `startReading` on."""
        port: Any = listening.port
        port.doRead = partial(self._accept, listener, port, port.socket.accept)

    def add(self, taker: Taker) -> None:
        """Somebody more takes connections."""
        self.takers.append(taker)
        taker.alive(1)
        self._changed()
        self._try_again()

    def remove(self, taker: Taker) -> None:
        """It takes no more; what it was given stays with it."""
        if taker in self.takers:
            self.takers.remove(taker)
            self._changed()
        taker.give_no_more()

    def lost(self, taker: Taker) -> None:
        """Its process is gone: the others get what it had not taken."""
        taker.alive(0)
        self.remove(taker)
        self._waiting += taker.left()
        self._try_again()

    def stop(self) -> None:
        """Hand on no more, and drop whoever waits."""
        if self._later is not None:
            self._later.cancel()
            self._later = None
        for _, connection in self._waiting:
            connection.close()
        self._waiting.clear()
        self._paused.clear()

    def _accept(
        self, listener: int, port: tcp.Port, accept: Callable[[], tuple[socket.socket, object]]
    ) -> None:
        """In the place of the port's own `doRead`, which would make a transport of each."""
        for _ in range(BATCH):
            try:
                connection, _ = accept()
            except BlockingIOError:
                return
            except OSError as failure:
                # Of one client that is gone, or no descriptor is left: not again at once.
                self._log.debug("accepting: {failure}", failure=failure.strerror)
                self._pause(port)
                return
            if not self._give(listener, connection):
                self._waiting.append((listener, connection))
                self._pause(port)
                return

    def _pause(self, port: tcp.Port) -> None:
        port.stopReading()
        self._paused[port] = None
        self._look_later()

    def _give(self, listener: int, connection: socket.socket) -> bool:
        for taker in sorted(self.takers, key=_load):
            if taker.give(listener, connection):
                connection.close()
                self._turn += 1
                taker.turn = self._turn
                return True
        return False

    def _look_later(self) -> None:
        if self._later is None and self.takers:
            self._later = self._reactor.callLater(RETRY_SECONDS, self._look)

    def _look(self) -> None:
        self._later = None
        self._try_again()

    def _try_again(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._waiting = [one for one in waiting if not self._give(*one)]
        if self._waiting:
            self._look_later()
            return
        paused, self._paused = self._paused, {}
        for port in paused:
            if port.connected and not port.disconnecting:
                port.startReading()
