"""A body under way: pace, change, stall, loss; over HTTP/1.1 in memory."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.files.sinks import CHUNK
from takotwist.streams.files.transmission import TURN
from tests.streams.files.exchange import Connection, Serving, open_below, parse

SIZE = 10 * CHUNK
CONTENT = os.urandom(SIZE)


class Transmitting(SynchronousTestCase):
    """One connection that reads when told."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.path.write_bytes(CONTENT)
        self.resource = Serving(self.path)
        self.connection = Connection(self.resource)

    def assert_let_go(self) -> None:
        """No descriptor and no timer is left."""
        self.assertEqual(open_below(self.path), [])
        self.assertEqual(self.connection.clock.getDelayedCalls(), self.timeout_calls())

    def timeout_calls(self) -> list[object]:
        """The connection's own idle timeout, which runs between requests."""
        call = self.connection.protocol._channel._TimeoutMixin__timeoutCall
        return [call] if call is not None and call.active() else []


class Pace(Transmitting):
    """Back-pressure."""

    def test_holds_little(self) -> None:
        """Whatever the size of a file, about one chunk of it waits for a slow reader."""
        self.connection.send("/")
        received = b""
        while not self.resource.results:
            waiting = len(self.connection.transport.value())
            self.assertLess(waiting, 3 * CHUNK)
            received += self.connection.transport.read()
        received += self.connection.transport.read()
        self.assertEqual(parse(received).body, CONTENT)
        self.assertEqual(self.resource.results, [True])
        self.assert_let_go()

    def test_pipeline_waits(self) -> None:
        """A hundred requests in one packet do not fill the memory with answers."""
        self.path.write_bytes(CONTENT[:CHUNK])
        self.connection.protocol.dataReceived(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
        self.assertLess(len(self.connection.transport.value()), 3 * CHUNK)
        received = self.connection.received()
        self.assertEqual(received.count(b"HTTP/1.1 200 OK"), 100)
        self.assertEqual(len(self.resource.results), 100)

    def test_turns_are_shared(self) -> None:
        """A reader that takes everything gets a bounded part in one turn of the reactor."""
        self.path.write_bytes(b"x" * (TURN + 5))
        self.connection.transport.full = True  # never says that it is full
        self.connection.send("/")
        self.assertLess(len(self.connection.transport.value()), TURN + 1000)
        self.assertEqual(self.resource.results, [])
        self.connection.clock.advance(0)
        self.assertEqual(self.resource.results, [True])
        self.assertEqual(len(parse(self.connection.transport.value()).body), TURN + 5)


class Changes(Transmitting):
    """F13: files that change while they are sent."""

    def start(self) -> None:
        """Begin, and let the reader take a part."""
        self.connection.send("/")
        self.connection.transport.read()

    def assert_aborted(self) -> None:
        """The connection is cut, nothing was padded, and everything is let go."""
        self.connection.transport.read()
        self.assertTrue(self.connection.transport.aborting)
        self.connection.disconnect()
        self.assertEqual(self.resource.results, [False])
        self.assert_let_go()

    def test_truncated(self) -> None:
        """F13: a file that shrinks ends the connection."""
        self.start()
        os.truncate(self.path, CHUNK)
        self.assert_aborted()

    def test_overwritten(self) -> None:
        """F13: a file that is written to in place ends the connection."""
        self.start()
        with open(self.path, "r+b") as file:
            file.write(b"other")
        os.utime(self.path, ns=(0, 1))
        self.assert_aborted()

    def test_replaced(self) -> None:
        """F13: a file that is replaced by a rename is sent whole as it was."""
        self.connection.send("/")
        other = Path(self.mktemp())
        other.write_bytes(b"other")
        other.rename(self.path)
        self.assertEqual(parse(self.connection.received()).body, CONTENT)

    def test_removed(self) -> None:
        """F13: a file that is removed is sent whole."""
        self.connection.send("/")
        self.path.unlink()
        self.assertEqual(parse(self.connection.received()).body, CONTENT)


class Loss(Transmitting):
    """Readers that go away or stand still."""

    def test_disconnect(self) -> None:
        """A reader that goes away leaves no open file and no timer."""
        self.connection.send("/")
        self.connection.transport.read()
        self.connection.disconnect()
        self.assertEqual(self.resource.results, [False])
        self.assert_let_go()

    def test_stall(self) -> None:
        """A reader that takes nothing for the timeout is dropped."""
        self.connection.send("/")
        self.connection.clock.advance(59)
        self.assertFalse(self.connection.transport.aborting)
        self.connection.clock.advance(1)
        self.assertTrue(self.connection.transport.aborting)
        self.connection.disconnect()
        self.assertEqual(self.resource.results, [False])
        self.assert_let_go()

    def test_slow_is_not_stalled(self) -> None:
        """A reader that takes a little now and then is served to the end."""
        self.connection.send("/")
        received = b""
        while not self.resource.results:
            received += self.connection.transport.read()
            self.connection.clock.advance(50)
        self.assertEqual(parse(received + self.connection.transport.read()).body, CONTENT)

    def test_unreadable(self) -> None:
        """A disk that fails in the middle ends the connection."""
        self.connection.send("/")
        self.patch(os, "pread", _fail)
        self.connection.transport.read()
        self.assertTrue(self.connection.transport.aborting)
        self.connection.disconnect()
        self.assertEqual(self.resource.results, [False])


def _fail(*_: object) -> bytes:
    raise OSError(5, "Input/output error")
