"""Who gets a connection: by what each has, over real pairs of sockets."""

from __future__ import annotations

import errno
import gc
import os
import resource
import socket
from typing import Any, cast

import attrs
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.server.listen import Listening
from takotwist.server.supervisor.handed import HandedSocket
from takotwist.server.supervisor.handing import (
    LYING,
    RETRY_SECONDS,
    Handing,
    SharedCounts,
    Taker,
    receive,
)
from tests.ready import ready


@attrs.define(eq=False)
class FakePort:
    """A port whose clients come when the test says so."""

    waiting: list[Any] = attrs.field(factory=list)
    reading: bool = True
    connected: bool = True
    disconnecting: bool = False
    doRead: Any = None

    @property
    def socket(self) -> FakePort:
        """Itself."""
        return self

    def accept(self) -> tuple[Any, Any]:
        """See `socket.socket.accept`."""
        if not self.waiting:
            raise BlockingIOError
        one = self.waiting.pop(0)
        if isinstance(one, Exception):
            raise one
        return one, None

    def stopReading(self) -> None:
        """See `twisted.internet.tcp.Port`."""
        self.reading = False

    def startReading(self) -> None:
        """The same."""
        self.reading = True


class Base(SynchronousTestCase):
    """Counts and pairs of sockets."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.counts = SharedCounts(4)
        self.addCleanup(self.counts.close)
        self.handing = Handing(self.clock)
        self.port = FakePort()
        self.handing.serve(0, cast(Listening, attrs.make_class("One", ["port"])(self.port)))

    def taker(self, slot: int = 0, listeners: int = 1) -> Taker:
        """A worker."""
        taker = Taker.of(slot, self.counts, listeners)
        self.addCleanup(taker.left)
        return taker

    def come(self, count: int = 1) -> list[socket.socket]:
        """Clients connect; their ends."""
        clients = []
        for _ in range(count):
            client, server = socket.socketpair()
            self.addCleanup(client.close)
            self.addCleanup(server.close)
            clients.append(client)
            self.port.waiting.append(server)
        if self.port.reading:
            self.port.doRead()
        return clients

    def take(self, taker: Taker, listener: int = 0) -> int:
        """The worker takes all that it was given; how many."""
        count = 0
        while True:
            try:
                descriptor = receive(taker.theirs[listener])
            except BlockingIOError:
                return count
            if descriptor is None:
                return count
            os.close(descriptor)
            self.counts.taken[taker.slot] += 1
            count += 1


class HandingTests(Base):
    """The supervisor's side."""

    def test_even(self) -> None:
        """Each of three gets as many as the others."""
        takers = [self.taker(slot) for slot in range(3)]
        for one in takers:
            self.handing.add(one)
        self.come(12)
        self.assertEqual([self.take(one) for one in takers], [4, 4, 4])

    def test_closed(self) -> None:
        """Whose connections have been closed gets the next ones."""
        first, second = self.taker(0), self.taker(1)
        self.handing.add(first)
        self.handing.add(second)
        self.come(12)
        self.take(first), self.take(second)
        self.counts.closed[0] += 4
        self.come(6)
        self.assertEqual([self.take(first), self.take(second)], [5, 1])

    def test_turns(self) -> None:
        """Connections that come and go one by one go to each in turn."""
        takers = [self.taker(slot) for slot in range(3)]
        for one in takers:
            self.handing.add(one)
        had = []
        for _ in range(6):
            self.come(1)
            taken = [self.take(one) for one in takers]
            for one, count in zip(takers, taken, strict=True):
                self.counts.closed[one.slot] += count
            had.append(taken.index(1))
        self.assertEqual(had, [0, 1, 2, 0, 1, 2])

    def test_lying(self) -> None:
        """Who leaves lying what it was given gets no more while another takes it."""
        first, second = self.taker(0), self.taker(1)
        self.handing.add(first)
        self.handing.add(second)
        for _ in range(60):
            self.come()
            self.take(second)
        self.assertEqual(self.take(first), LYING + 1)

    def test_full(self) -> None:
        """Where nobody has room, accepting pauses, and whoever was accepted waits for room."""
        taker = self.taker()
        self.handing.add(taker)
        self.come(1)
        while self.port.reading:
            self.come(1)
        self.come(3)
        given = self.take(taker)
        self.assertGreater(given, 8)
        self.clock.advance(RETRY_SECONDS)
        self.assertTrue(self.port.reading)
        self.port.doRead()
        self.assertEqual(self.take(taker), 4)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nobody(self) -> None:
        """With no worker, one waits here and the others in the kernel, without a timer."""
        (client, *_) = self.come(3)
        self.assertFalse(self.port.reading)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        taker = self.taker()
        self.handing.add(taker)
        self.assertEqual(self.take(taker), 1)
        self.assertTrue(self.port.reading)
        # It is the very connection.
        client.settimeout(5)
        self.assertEqual(client.recv(1), b"")

    def test_lost(self) -> None:
        """What a dead worker had not taken goes to the others, by its listener."""
        first, second = self.taker(0, 2), self.taker(1, 2)
        self.handing.add(first)
        client, server = socket.socketpair()
        self.addCleanup(client.close)
        self.assertTrue(first.give(1, server))
        server.close()
        self.come(2)
        self.handing.lost(first)
        self.handing.add(second)
        self.assertEqual([self.take(second, 0), self.take(second, 1)], [2, 1])
        self.assertEqual(self.handing.takers, [second])

    def test_removed(self) -> None:
        """It still finds what it was given, and then the end."""
        taker = self.taker()
        self.handing.add(taker)
        self.come(2)
        self.handing.remove(taker)
        for _ in range(2):
            descriptor = receive(taker.theirs[0])
            assert descriptor is not None
            os.close(descriptor)
        self.assertIs(receive(taker.theirs[0]), None)
        self.come(1)
        self.assertIs(receive(taker.theirs[0]), None)

    def test_failing_accept(self) -> None:
        """A failure of the system's is not met again at once."""
        self.handing.add(self.taker())
        self.port.waiting.append(OSError(24, "Too many open files"))
        self.port.doRead()
        self.assertFalse(self.port.reading)
        self.clock.advance(RETRY_SECONDS)
        self.assertTrue(self.port.reading)

    def test_stop(self) -> None:
        """Whoever waits is dropped."""
        (client,) = self.come(1)
        self.handing.stop()
        client.settimeout(5)
        self.assertEqual(client.recv(1), b"")

    def test_port_that_is_gone(self) -> None:
        """A port that was closed meanwhile is not read."""
        self.come(1)
        self.port.connected = False
        self.handing.add(self.taker())
        self.assertFalse(self.port.reading)


class HandedSocketTests(Base):
    """The worker's side."""

    def setUp(self) -> None:
        super().setUp()
        self.theirs = self.taker(2)
        self.handing.add(self.theirs)
        self.ends: list[bool] = []
        self.handed = HandedSocket(
            self.theirs.theirs[0],
            socket.AF_UNIX,
            ("127.0.0.1", 80),
            self.counts,
            2,
            lambda: self.ends.append(True),
        )
        self.handed.port = self.mine = FakePort()

    def test_accepted(self) -> None:
        """A connection is one of the client's, and is counted when it comes and when it goes."""
        (client,) = self.come(1)
        connection, _ = self.handed.accept()
        client.sendall(b"hello")
        self.assertEqual(connection.recv(9), b"hello")
        self.assertFalse(connection.getblocking())
        self.assertEqual((self.counts.taken[2], self.counts.closed[2]), (1, 0))
        connection.close()
        connection.close()
        self.assertEqual((self.counts.taken[2], self.counts.closed[2]), (1, 1))
        self.assertRaises(BlockingIOError, self.handed.accept)
        self.assertEqual(self.handed.getsockname(), ("127.0.0.1", 80))

    def test_end(self) -> None:
        """At the end all was taken; then nothing is read, and it is said once."""
        self.come(1)
        self.handing.remove(self.theirs)
        connection, _ = self.handed.accept()
        connection.close()
        self.assertTrue(self.mine.reading)
        for _ in range(2):
            self.assertRaises(BlockingIOError, self.handed.accept)
        self.assertFalse(self.mine.reading)
        self.assertEqual(self.ends, [True])

    def test_gone_since(self) -> None:
        """A client that has reset its connection by now is passed over."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            client = socket.create_connection(listening.getsockname())
            accepted, _ = listening.accept()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()
            # Until the reset is there.
            self.assertTrue(ready([accepted.fileno()], seconds=60)[0])
            self.theirs.give(0, accepted)
            accepted.close()
        self.handed.family = socket.AF_INET
        self.assertRaises(BlockingIOError, self.handed.accept)
        self.assertEqual((self.counts.taken[2], self.counts.closed[2]), (1, 1))

    def test_no_descriptor_left(self) -> None:
        """A connection that was lost on its way is counted as one that has come and gone."""
        self.come(2)
        # Nobody's garbage gives a descriptor back meanwhile.
        gc.collect()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with open(os.devnull) as highest:
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest.fileno(), hard))
            try:
                lost = self.assertRaises(OSError, self.handed.accept)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        self.assertEqual(lost.errno, errno.ECONNABORTED)
        self.handed.accept()[0].close()
        self.assertEqual((self.counts.taken[2], self.counts.closed[2]), (2, 2))


class SharedCountsTests(SynchronousTestCase):
    """Memory of several processes."""

    def test_shared(self) -> None:
        """What one writes the other reads."""
        mine = SharedCounts(3)
        self.addCleanup(mine.close)
        theirs = SharedCounts(3, os.dup(mine.descriptor))
        self.addCleanup(theirs.close)
        theirs.taken[2] = 7
        theirs.closed[0] = 5
        self.assertEqual((list(mine.taken), list(mine.closed)), ([0, 0, 7], [5, 0, 0]))
