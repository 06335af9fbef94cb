"""A listener takes nobody when hardly a descriptor is left."""

from __future__ import annotations

import errno
import socket
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import Logger, LogPublisher
from twisted.trial.unittest import SynchronousTestCase

from takotwist.server import accepting
from takotwist.server.accepting import LOOK_INTERVAL, SAY_INTERVAL, Accepting

#: With a limit of 100, a listener leaves 25, and the last one 12.
LIMIT = 100


class _Connection:
    def __init__(self, number: int) -> None:
        self._number = number

    def fileno(self) -> int:
        return self._number


class _Port:
    """As much of a Twisted port as is used; also its socket.

    :ivar free: number that the next connection gets; an exception to be raised in its place.
    """

    connected, disconnecting = True, False

    def __init__(self) -> None:
        self.socket: Any = self
        self.free: int | OSError = 10
        self.reading = True

    def accept(self) -> tuple[_Connection, str]:
        if isinstance(self.free, OSError):
            raise self.free
        return _Connection(self.free), "somebody"

    def stopReading(self) -> None:
        self.reading = False

    def startReading(self) -> None:
        self.reading = True


class AcceptingTests(SynchronousTestCase):
    """Pausing and going on."""

    said: list[Any]

    def setUp(self) -> None:
        self.clock, self.said = Clock(), []
        self.free = 10
        self.port = _Port()
        self.patch(accepting, "_lowest_free", lambda: self.free)
        self.accepting = Accepting(self.clock, LIMIT)
        self.accepting._log = Logger(
            namespace="test", observer=LogPublisher(lambda event: self.said.append(event))
        )
        self.accepting.guard(self.port)

    def fill(self) -> None:
        """The last descriptor that is not spare is given out, and one more client comes."""
        self.port.free, self.free = 74, 75
        self.port.socket.accept()
        self.assertTrue(self.port.reading)
        self.assertRaises(BlockingIOError, self.port.socket.accept)

    def test_room(self) -> None:
        """With descriptors left, everybody is taken."""
        for number in (10, 73, 30):
            self.port.free = number
            self.assertEqual(self.port.socket.accept()[0].fileno(), number)
        self.assertTrue(self.port.reading)

    def test_pauses_and_goes_on(self) -> None:
        """The one who would take a spare descriptor waits until another has come free."""
        self.fill()
        self.assertFalse(self.port.reading)
        self.clock.advance(LOOK_INTERVAL)
        self.assertFalse(self.port.reading)
        self.free = 20
        self.clock.advance(LOOK_INTERVAL)
        self.assertTrue(self.port.reading)
        self.port.free = 20
        self.port.socket.accept()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual([one["log_level"].name for one in self.said], ["error", "info"])

    def test_said_once(self) -> None:
        """A server that stays at its limit says so once a minute and not for each client."""
        for _ in range(10):
            self.fill()
            self.free = 20
            self.clock.advance(LOOK_INTERVAL)
        self.assertEqual(len(self.said), 2)
        self.clock.advance(SAY_INTERVAL)
        self.fill()
        self.assertEqual(len(self.said), 3)

    def test_left_meanwhile(self) -> None:
        """Where somebody left between two clients, nothing pauses."""
        self.port.free = 74
        self.port.socket.accept()
        self.free = 30
        self.port.socket.accept()
        self.assertTrue(self.port.reading)

    def test_out_of_descriptors(self) -> None:
        """Where the system itself has none, it is the same; any other failure is passed on."""
        for number in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
            self.port.free, self.port.reading = OSError(number, "no"), True
            self.assertRaises(BlockingIOError, self.port.socket.accept)
            self.assertFalse(self.port.reading)
        self.port.free = OSError(errno.ECONNABORTED, "gone")
        self.assertRaises(ConnectionAbortedError, self.port.socket.accept)

    def test_last(self) -> None:
        """The private listener still takes the operator when the public one does not."""
        private = _Port()
        self.accepting.guard(private, last=True)
        private.free = 80
        private.socket.accept()
        private.socket.accept()
        self.assertTrue(private.reading)
        private.free, self.free = 87, 88
        private.socket.accept()
        self.assertRaises(BlockingIOError, private.socket.accept)
        self.assertFalse(private.reading)

    def test_stops(self) -> None:
        """After the stop nothing is resumed and no timer is left; nor is a port that closes."""
        self.fill()
        self.port.disconnecting = True
        self.free = 10
        self.clock.advance(LOOK_INTERVAL)
        self.assertFalse(self.port.reading)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.port.disconnecting, self.port.reading = False, True
        self.fill()
        self.accepting.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_rest_of_the_socket(self) -> None:
        """All else of the listening socket is as it was."""
        with socket.socket() as real:
            self.port.socket = real
            self.accepting.guard(self.port)
            self.assertEqual(self.port.socket.getsockname(), real.getsockname())
