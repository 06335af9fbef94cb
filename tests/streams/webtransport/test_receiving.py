"""The low-level reader: called, paused and resumed.

What waits for a handler.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.webtransport import StreamReset
from takotwist.streams.webtransport.errors import to_http3
from takotwist.streams.webtransport.receiving import Arrivals
from tests.streams.webtransport.test_stream import StreamCase


class Receiver:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.data = b""
        self.ends: list[Exception | None] = []

    def data_received(self, data: bytes) -> None:
        self.data += data

    def ended(self, error: Exception | None) -> None:
        self.ends.append(error)


class ByteReceiverTests(StreamCase):
    """`ReceiveSide.receive_by`."""

    def test_called(self) -> None:
        """It gets what waited, what comes, and the end once."""
        stream = self.incoming(b"one")
        receiver = Receiver()
        stream.receive_by(receiver)
        self.assertEqual(receiver.data, b"one")
        self.client.quic.send_stream_data(self.stream_id, b"two", end_stream=True)
        self.client.net.pump()
        self.assertEqual((receiver.data, receiver.ends), (b"onetwo", [None]))

    def test_pause(self) -> None:
        """Paused, it is not called; the client is held up; resumed, it gets everything."""
        stream = self.incoming()
        receiver = Receiver()
        stream.receive_by(receiver)
        stream.pause()
        self.client.quic.send_stream_data(self.stream_id, b"x" * 2_000_000, end_stream=True)
        self.client.net.pump(2)
        self.assertEqual(receiver.data, b"")
        [connection] = self.client.net.server.protocol.connections
        self.assertLessEqual(connection._quic.unread, 256 * 1024)
        stream.resume()
        self.client.net.pump(8)
        self.assertEqual((len(receiver.data), receiver.ends), (2_000_000, [None]))

    def test_reset(self) -> None:
        """It is told of a reset, once."""
        stream = self.incoming(b"one")
        receiver = Receiver()
        stream.receive_by(receiver)
        self.client.quic.reset_stream(self.stream_id, to_http3(4))
        self.client.net.pump()
        self.session.close()
        [error] = receiver.ends
        assert isinstance(error, StreamReset)
        self.assertEqual(error.code, 4)


class ArrivalsTests(SynchronousTestCase):
    """`Arrivals`."""

    def test_order(self) -> None:
        """What came first is given first, whether the reader waits or not."""
        arrivals: Arrivals[int] = Arrivals(3)
        arrivals.put(1)
        arrivals.put(2)
        for expected in (1, 2):
            self.assertEqual(
                self.successResultOf(Deferred.fromCoroutine(arrivals.next())), expected
            )
        waiting = Deferred.fromCoroutine(arrivals.next())
        self.assertNoResult(waiting)
        arrivals.put(3)
        self.assertEqual(self.successResultOf(waiting), 3)

    def test_end(self) -> None:
        """The end takes away what waits, and ends every later read."""
        arrivals: Arrivals[int] = Arrivals(3)
        arrivals.put(1)
        self.assertEqual(arrivals.end(EOFError()), [1])
        self.failureResultOf(Deferred.fromCoroutine(arrivals.next()), EOFError)

        async def count() -> int:
            return len([each async for each in arrivals])

        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(count())), 0)

    def test_end_while_waiting(self) -> None:
        """A reader that waits is told of the end."""
        arrivals: Arrivals[int] = Arrivals(3)
        waiting = Deferred.fromCoroutine(arrivals.next())
        arrivals.end(EOFError())
        self.failureResultOf(waiting, EOFError)

    def test_one_reader(self) -> None:
        """A second reader is an error of the program, and the first is not disturbed."""
        arrivals: Arrivals[int] = Arrivals(3)
        first = Deferred.fromCoroutine(arrivals.next())
        self.failureResultOf(Deferred.fromCoroutine(arrivals.next()), RuntimeError)
        arrivals.put(1)
        self.assertEqual(self.successResultOf(first), 1)

    def test_cancelled_reader(self) -> None:
        """A read that was cancelled takes nothing away from the next."""
        arrivals: Arrivals[int] = Arrivals(3)
        first = Deferred.fromCoroutine(arrivals.next())
        first.cancel()
        self.failureResultOf(first, CancelledError)
        arrivals.put(1)
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(arrivals.next())), 1)
