from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.http3.unfinished_heads import UnfinishedHeads
from takotwist.streams.unfinished import Cut, Unfinished
from tests.settings import limited


class Quic:
    """A connection of which only the bytes are counted."""

    def __init__(self) -> None:
        self.received = 0
        self.undelivered = 0

    def drop_undelivered(self, stream_id: int) -> int:
        """See `BoundedQuic`."""
        return self.undelivered


class Framing:
    """Framing that has a head begun on the streams that are named."""

    def __init__(self) -> None:
        self.heads: dict[int, int] = {}

    def unfinished_head(self, stream_id: int) -> int | None:
        """See `Http3Framing`."""
        return self.heads.get(stream_id)


class UnfinishedHeadsTests(SynchronousTestCase):
    """Heads and gaps count as unfinished input, and nothing else does."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.cuts: list[Cut] = []
        self.quic: Any = Quic()
        self.framing: Any = Framing()
        self.unfinished = Unfinished(self.clock, limited(input_seconds=5.0, input_rate=1000.0))
        self.heads = UnfinishedHeads(self.quic, self.unfinished, self.cuts.append)

    def come(self, stream_id: int, count: int, *, behind: int = 0) -> None:
        """A datagram: `count` bytes of a stream in order, `behind` more behind a gap."""
        self.quic.received += count + behind
        self.heads.delivered(stream_id, count, self.framing)
        self.heads.count()

    def wait(self) -> list[Cut]:
        """What is cut when nothing comes for some windows."""
        for _ in range(3):
            self.clock.advance(5.0)
        return self.cuts

    def test_nothing_unfinished(self) -> None:
        """Bytes that came in order and were taken wait for nothing."""
        self.come(0, 500)
        self.assertEqual(self.wait(), [])

    def test_head(self) -> None:
        """A head that does not come on is cut."""
        self.framing.heads[0] = 10
        self.come(0, 10)
        self.assertEqual(self.wait(), [Cut.TOO_SLOW])

    def test_head_whole(self) -> None:
        """A head that is whole in time is not."""
        self.framing.heads[0] = 10
        self.come(0, 10)
        del self.framing.heads[0]
        self.come(0, 5)
        self.assertEqual(self.wait(), [])

    def test_gap(self) -> None:
        """Data behind a gap waits for it, on a stream of any kind."""
        self.come(2, 0, behind=100)
        self.assertEqual(self.wait(), [Cut.TOO_SLOW])

    def test_gap_closed(self) -> None:
        """Once the gap is filled what lay behind it counts no more."""
        self.come(2, 0, behind=100)
        self.heads.delivered(2, 100, self.framing)
        self.heads.count()
        self.assertEqual(self.wait(), [])

    def test_one_way_streams_have_no_head(self) -> None:
        """Only the client's two-way streams are requests."""
        self.framing.heads[2] = 10
        self.come(2, 10)
        self.assertEqual(self.wait(), [])

    def test_reset(self) -> None:
        """A stream that the client gave up is waited for no more, its gap neither."""
        self.framing.heads[0] = 10
        self.come(0, 10, behind=40)
        self.quic.undelivered = 40
        self.heads.reset(0)
        self.heads.count()
        self.assertEqual(self.wait(), [])

    def test_end(self) -> None:
        """A connection that is over is not cut."""
        self.framing.heads[0] = 10
        self.come(0, 10)
        self.heads.end()
        self.heads.end()
        self.assertEqual(self.wait(), [])
