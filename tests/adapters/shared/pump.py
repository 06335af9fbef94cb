"""A writer and workers in one process, with wires in memory that a test can cut."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectError, ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from takotwist.adapters.shared.host import LogHost
from takotwist.adapters.shared.worker_log import WorkerLog
from takotwist.adapters.sqlite.log import SqliteReplayLog


@attrs.define(eq=False)
class End:
    """One end of a wire: the transport of one protocol."""

    wire: Wire
    protocol: Any = None
    other: Any = None
    written: bytearray = attrs.Factory(bytearray)
    producer: Any = None

    def write(self, data: bytes) -> None:
        self.written += data
        self.wire.changed()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert streaming
        self.producer = producer

    def loseConnection(self) -> None:
        if self.wire.at_once:
            self.deliver()
        self.wire.cut()

    def abortConnection(self) -> None:
        self.wire.cut()

    def deliver(self) -> bool:
        data, self.written = bytes(self.written), bytearray()
        if data:
            self.other.protocol.dataReceived(data)
        return bool(data)


class Wire:
    """A connection; bytes pass at once, or when the test says `deliver`."""

    def __init__(self, worker: Any, writer: Any, at_once: bool) -> None:
        self.at_once = at_once
        self.is_cut = False
        self.ends = End(self, worker), End(self, writer)
        self.ends[0].other, self.ends[1].other = self.ends[1], self.ends[0]
        self._delivering = False

    def open(self) -> None:
        for end in self.ends:
            end.protocol.transport = end
        # As a server does: it is there first; and what it says at once comes later.
        self._delivering = True
        for end in reversed(self.ends):
            end.protocol.connectionMade()
        self._delivering = False
        self.changed()

    def changed(self) -> None:
        if self.at_once:
            self.deliver()

    def deliver(self) -> bool:
        """Pass on what was written, until nothing is.  Whether there was anything."""
        if self._delivering:
            return False
        self._delivering, passed = True, False
        try:
            while not self.is_cut and (self.ends[0].deliver() or self.ends[1].deliver()):
                passed = True
        finally:
            self._delivering = False
        return passed

    def cut(self) -> None:
        """The connection breaks; what was not delivered is lost."""
        if self.is_cut:
            return
        self.is_cut = True
        for end in self.ends:
            end.protocol.connectionLost(Failure(ConnectionDone()))


class Endpoint:
    """The way to a writer."""

    def __init__(self, host: LogHost | None, at_once: bool = True) -> None:
        self.host = host
        self.at_once = at_once
        self.wires: list[Wire] = []

    def connect(self, factory: Any) -> Deferred[Any]:
        if self.host is None:
            return fail(ConnectError())
        protocol = factory.buildProtocol(None)
        wire = Wire(protocol, self.host.buildProtocol(None), self.at_once)
        self.wires.append(wire)
        wire.open()
        return succeed(protocol)

    def cut(self) -> None:
        """Break what there is."""
        for wire in self.wires:
            wire.cut()

    def deliver(self) -> bool:
        passed = [wire.deliver() for wire in self.wires]
        return any(passed)


class Writer:
    """A writer on a file, and the workers' way to it."""

    def __init__(
        self,
        make_log: Callable[[], SqliteReplayLog],
        clock: Clock,
        at_once: bool = True,
        worker: type[WorkerLog] = WorkerLog,
    ) -> None:
        self._worker = worker
        self._make_log = make_log
        self.clock = clock
        self.endpoint = Endpoint(None, at_once)
        self._names = 0

    def start(self) -> None:
        self.log = self._make_log()
        self.endpoint.host = LogHost(self.log, self.clock.seconds)
        self.endpoint.host.start()

    def kill(self) -> None:
        """It is gone, and what it was asked is not answered."""
        self.endpoint.host = None
        self.endpoint.cut()

    def worker(
        self, endpoint: Endpoint | None = None, outdated: Callable[[], object] = lambda: None
    ) -> WorkerLog:
        self._names += 1
        name = f"w{self._names}"
        way: Any = endpoint or self.endpoint
        return self._worker(way, self.clock, name, lambda: 0.5, outdated)
