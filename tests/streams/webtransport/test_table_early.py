"""What waits for a session: the parts that no wire shows."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.webtransport.errors import BUFFERED_STREAM_REJECTED, SESSION_GONE
from takotwist.streams.webtransport.table import REMEMBERED, EarlyArrivals


class StubLink:
    """Remembers resets and stops."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.resets: list[tuple[int, int]] = []
        self.stops: list[tuple[int, int]] = []
        self.held = 0

    def attach(self, stream_id: int, receiver: object) -> None:
        """Nothing to remember."""

    def forget(self, stream_id: int) -> None:
        """Nothing to forget."""

    def is_request(self, stream_id: int) -> bool:
        return False

    def hold(self, stream_id: int, count: int) -> None:
        self.held += count

    def release(self, stream_id: int, count: int) -> None:
        self.held -= count

    def reset(self, stream_id: int, code: int) -> None:
        self.resets.append((stream_id, code))

    def stop(self, stream_id: int, code: int) -> None:
        self.stops.append((stream_id, code))


class EarlyTests(SynchronousTestCase):
    """`EarlyArrivals`."""

    def setUp(self) -> None:
        self.link = StubLink()
        self.early = EarlyArrivals(
            self.link,  # type: ignore[arg-type]
            max_streams=2,
            max_datagrams=2,
            seconds=3.0,
        )

    def test_claim_takes_its_own(self) -> None:
        """A session gets its own, in order, and leaves the others'."""
        self.early.stream_arrived(0, 4, b"a", True)
        self.early.stream_arrived(8, 12, b"b", False)
        self.early.datagram_received(0, b"c")
        self.early.datagram_received(8, b"d")
        got: list[object] = []
        self.early.claim(0, lambda *stream: got.append(stream), got.append)
        self.assertEqual(got, [(4, b"a", True), b"c"])
        got.clear()
        self.early.claim(8, lambda *stream: got.append(stream), got.append)
        self.assertEqual(got, [(12, b"b", False), b"d"])
        self.assertEqual(self.link.held, 0)

    def test_refused_session(self) -> None:
        """A session that was refused gets nothing held, and what waited is reset."""
        self.early.stream_arrived(0, 4, b"a", False)
        self.early.forget(0)
        self.early.stream_arrived(0, 8, b"b", False)
        self.assertEqual(self.link.resets, [(4, SESSION_GONE), (8, SESSION_GONE)])
        self.early.datagram_received(0, b"c")
        got: list[object] = []
        self.early.claim(0, lambda *stream: got.append(stream), got.append)
        self.assertEqual(got, [])

    def test_memory_of_the_past_is_bounded(self) -> None:
        """So many sessions of the past are remembered, and no more."""
        for number in range(1000):
            self.early.forget(number * 4)
        self.assertEqual(len(self.early._gone), REMEMBERED)

    def test_time(self) -> None:
        """After its time everything is dropped, with one timer for all."""
        self.early.stream_arrived(0, 4, b"a", False)
        self.early.stream_arrived(0, 6, b"b", False)
        self.assertEqual(len(self.link.clock.getDelayedCalls()), 1)
        self.link.clock.advance(3)
        self.assertEqual(self.link.resets, [(4, BUFFERED_STREAM_REJECTED)])
        self.assertEqual(
            self.link.stops, [(4, BUFFERED_STREAM_REJECTED), (6, BUFFERED_STREAM_REJECTED)]
        )
        self.assertEqual(self.link.held, 0)
        self.assertEqual(self.link.clock.getDelayedCalls(), [])
