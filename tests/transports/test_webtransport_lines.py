"""Lines of a WebTransport stream: framing, pace and pressure."""

from __future__ import annotations

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from takotwist.errors import MessageTooLarge, Refusal
from takotwist.streams.unfinished import Cut, Unfinished
from takotwist.transports.webtransport_lines import Lines, Pressure
from tests.settings import limited


class RecordingWire:
    """A wire that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def received(self, line: bytes) -> None:
        self.told.append(line)

    def end(self, refusal: Refusal | None) -> None:
        self.told.append(type(refusal))

    def cut_off(self, why: Cut) -> None:
        self.told.append(why)

    def stream_lost(self, reason: Failure) -> None:
        self.told.append("lost")

    def fell_behind(self) -> None:
        self.told.append("behind")

    def caught_up(self) -> None:
        self.told.append("caught up")


class LinesTests(SynchronousTestCase):
    """Lines of at most ten bytes, each of which must go on within five seconds."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.unfinished = Unfinished(self.clock, limited(input_seconds=5.0))
        self.wire = RecordingWire()
        self.lines = Lines(self.wire, 10, self.unfinished)
        self.lines.makeConnection(StringTransport())

    def test_cut(self) -> None:
        """However they are cut into reads, lines come whole and in order."""
        for read in (b"a", b"b\nc\n\nd", b"\n"):
            self.lines.dataReceived(read)
        self.assertEqual(self.wire.told, [b"ab", b"c", b"", b"d"])
        self.assertEqual((self.unfinished.waited_for, self.unfinished.held), (0, 0))

    def test_too_long(self) -> None:
        """A line over the bound ends the wire, whether its end has come or not."""
        self.lines.dataReceived(b"x" * 11 + b"\n")
        self.assertEqual(self.wire.told, [MessageTooLarge])
        other = RecordingWire()
        lines = Lines(other, 10, self.unfinished)
        lines.makeConnection(StringTransport())
        lines.dataReceived(b"x" * 12)
        self.assertEqual(other.told, [MessageTooLarge])

    def test_too_slow(self) -> None:
        """A line that has begun and does not go on is cut off; between lines there is no hurry."""
        self.lines.dataReceived(b"whole\n")
        self.clock.advance(60)
        self.lines.dataReceived(b"half")
        self.clock.advance(6)
        self.assertEqual(self.wire.told, [b"whole", Cut.TOO_SLOW])
        self.assertEqual(self.unfinished.held, 0)

    def test_not_read(self) -> None:
        """While the server does not read, the line that has begun has no pace to keep."""
        self.lines.dataReceived(b"half")
        self.lines.pauseProducing()
        self.clock.advance(60)
        self.assertEqual(self.wire.told, [])
        self.lines.resumeProducing()
        self.clock.advance(6)
        self.assertEqual(self.wire.told, [Cut.TOO_SLOW])

    def test_lost(self) -> None:
        """What had begun when the stream ended is forgotten."""
        self.lines.dataReceived(b"half")
        self.lines.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.wire.told, ["lost"])
        self.assertEqual((self.unfinished.waited_for, self.unfinished.held), (0, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_pressure(self) -> None:
        """The wire is told of its client's pace, and not of the end: that comes by the stream."""
        pressure = Pressure(self.wire)
        pressure.pauseProducing()
        pressure.resumeProducing()
        pressure.stopProducing()
        self.assertEqual(self.wire.told, ["behind", "caught up"])
