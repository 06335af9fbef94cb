"""Events of a WebTransport stream for its wire: lines, the end, back-pressure.

Rule: nothing is decided here.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from takotwist.errors import MessageTooLarge, Refusal
from takotwist.streams.unfinished import Cut, Incoming, Unfinished


class LineReceiverWire(Protocol):
    """Receiver of complete lines."""

    def received(self, line: bytes) -> None:
        """A line has come."""

    def end(self, refusal: Refusal | None) -> None:
        """The client broke a bound."""

    def cut_off(self, why: Cut) -> None:
        """A line is not waited for any longer."""

    def stream_lost(self, reason: Failure) -> None:
        """The stream is over."""

    def fell_behind(self) -> None:
        """The client takes less than is written."""

    def caught_up(self) -> None:
        """The client has taken what was written."""


@implementer(IPushProducer)
class Pressure:
    """Tells a wire of its client's pace."""

    def __init__(self, wire: LineReceiverWire) -> None:
        self._wire = wire

    def pauseProducing(self) -> None:
        """The client does not keep up."""
        self._wire.fell_behind()

    def resumeProducing(self) -> None:
        """It has caught up."""
        self._wire.caught_up()

    def stopProducing(self) -> None:
        """It is gone; the wire is told as a protocol."""


class Lines(LineReceiver):
    """Cuts what comes into lines.

    :param longest: bytes of a line; a longer one ends the wire.
    :param unfinished: counts the line that has begun.
    """

    delimiter = b"\n"
    _buffer: bytes

    def __init__(self, wire: LineReceiverWire, longest: int, unfinished: Unfinished) -> None:
        self._wire = wire
        self.MAX_LENGTH = longest
        self._unfinished = unfinished
        self._incoming: Incoming | None = None

    def dataReceived(self, data: bytes) -> None:
        LineReceiver.dataReceived(self, data)
        if self._buffer and not self.paused:
            if self._incoming is None:
                self._incoming = self._unfinished.begin(self._cut_off)
            self._incoming.holds(len(self._buffer))

    def pauseProducing(self) -> None:
        # That it is not read is our wish: it has no pace to keep meanwhile.
        LineReceiver.pauseProducing(self)
        if self._incoming is not None:
            self._incoming.wait()

    def resumeProducing(self) -> None:
        if self._incoming is not None:
            self._incoming.go_on()
        LineReceiver.resumeProducing(self)

    def lineReceived(self, line: bytes) -> None:
        self._whole()
        self._wire.received(line)

    def lineLengthExceeded(self, line: bytes) -> None:
        self._whole()
        self._wire.end(MessageTooLarge())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._whole()
        self._wire.stream_lost(reason)

    def _cut_off(self, why: Cut) -> None:
        self._incoming = None
        LineReceiver.clearLineBuffer(self)
        self._wire.cut_off(why)

    def _whole(self) -> None:
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            incoming.end()
