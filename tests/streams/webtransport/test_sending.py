"""Back-pressure that is true: T6 of the WebTransport checklist."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred

from takotwist.streams.webtransport import BufferFull, SessionClosed, StreamStopped
from tests.streams.webtransport.test_stream import StreamCase


class PressureTests(StreamCase):
    """`SendSide`."""

    def setUp(self) -> None:
        super().setUp()
        self.stream = self.incoming(b"question", end=True)

    def stall(self) -> None:
        """From now on the client hears, and acknowledges, nothing."""
        self.client.net.drop = lambda _: True

    def test_t6_slow_peer(self) -> None:
        """T6: a sender waits for a peer that is slow, and what waits in memory is bounded."""
        self.stall()
        sent = Deferred.fromCoroutine(self.stream.send(b"x" * 1_000_000))
        most = 0
        for _ in range(10):
            self.client.net.pump(0.1)
            most = max(most, self.stream.buffered)
        self.assertNoResult(sent)
        self.assertLessEqual(most, 64 * 1024 + 16 * 1024)
        self.client.net.drop = lambda _: False
        for _ in range(100):
            self.client.net.pump(0.1)
            most = max(most, self.stream.buffered)
        self.successResultOf(sent)
        self.assertLessEqual(most, 64 * 1024 + 16 * 1024)
        self.client.net.pump(1)
        self.assertEqual(self.client.raw[self.stream_id], b"x" * 1_000_000)

    def test_turns(self) -> None:
        """Two senders at once are served one after the other, and not mixed."""
        one = Deferred.fromCoroutine(self.stream.send(b"1" * 100_000))
        two = Deferred.fromCoroutine(self.stream.send(b"2" * 100_000))
        self.client.net.pump(5)
        self.successResultOf(one)
        self.successResultOf(two)
        self.assertEqual(self.client.raw[self.stream_id], b"1" * 100_000 + b"2" * 100_000)

    def test_cancelled(self) -> None:
        """A sender that is cancelled leaves the turn to the next."""
        self.stall()
        one = Deferred.fromCoroutine(self.stream.send(b"1" * 200_000))
        two = Deferred.fromCoroutine(self.stream.send(b"2"))
        one.cancel()
        self.failureResultOf(one, CancelledError)
        self.client.net.drop = lambda _: False
        self.client.net.pump(8)
        self.successResultOf(two)
        self.assertTrue(self.client.raw[self.stream_id].endswith(b"12"))

    def test_peer_stops_while_it_waits(self) -> None:
        """A sender that waits is told when its peer wants no more."""
        self.stall()
        sent = Deferred.fromCoroutine(self.stream.send(b"x" * 1_000_000))
        self.client.quic.stop_stream(self.stream_id, 0)
        self.client.net.pump(0.05)
        self.failureResultOf(sent, StreamStopped)

    def test_session_closes_while_it_waits(self) -> None:
        """And when its session is over."""
        self.stall()
        sent = Deferred.fromCoroutine(self.stream.send(b"x" * 1_000_000))
        self.session.close()
        self.failureResultOf(sent, SessionClosed)

    def test_low_level_writer(self) -> None:
        """A writer that is called is paused above the mark, and resumed once, below the other."""
        told: list[str] = []
        self.stream.notify(lambda: told.append("pause"), lambda: told.append("resume"))
        for _ in range(8):
            self.stream.write(b"x" * 16384)
        self.assertEqual(told, ["pause"])
        self.assertTrue(self.stream.paused)
        self.client.net.pump(3)
        self.assertEqual(told, ["pause", "resume"])
        self.assertFalse(self.stream.paused)
        self.assertEqual(self.stream.buffered, 0)

    def test_writer_that_heeds_nothing(self) -> None:
        """One that goes on in spite of the pause meets a bound."""
        self.stall()

        def write_on() -> None:
            for _ in range(100):
                self.stream.write(b"x" * 16384)

        self.assertRaises(BufferFull, write_on)
        self.assertLessEqual(self.stream.buffered, 1024 * 1024)
