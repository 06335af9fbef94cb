"""A worker's connection to the writer: frames in and out, whatever they mean."""

from __future__ import annotations

from typing import Any, Protocol

import attrs
import msgspec
from twisted.internet import protocol
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from takotwist.adapters.shared.frame_reader import FrameReader, OtherVersion, preamble
from takotwist.adapters.shared.frames import TOLD, Told


class Worker(Protocol):
    """The owner of a connection.

    :ivar version: of the frames that it speaks.
    """

    @property
    def version(self) -> int: ...

    def seconds(self) -> float:
        """The time, by the clock of the calls."""

    def opened(self, connection: WriterConnection) -> None:
        """The writer was reached."""

    def told(self, connection: WriterConnection, frame: Told) -> None:
        """The writer says something.

        :raises ValueError: it cannot be.
        """

    def other_version(self, version: int) -> None:
        """The writer speaks another version; the connection ends."""

    def closed(self, connection: WriterConnection) -> None:
        """The way to the writer is gone."""


@attrs.define(slots=True, eq=False)
class Call:
    """A call that was not answered yet.

    :ivar late: fails it; cancelled by its answer.
    """

    frame: bytes
    answer: Deferred[Any]
    late: IDelayedCall


class WriterConnection(protocol.Protocol):
    """The connection to the writer.

    :ivar welcomed: it has answered the greeting; from then on calls may be made.
    :ivar heard_at: when something came last.
    """

    _logger = Logger()

    def __init__(self, worker: Worker) -> None:
        self.welcomed = False
        self.heard_at = worker.seconds()
        self._worker = worker
        self._transport: Any = None
        self._reader = FrameReader(worker.version)

    def connectionMade(self) -> None:
        """See `Protocol`."""
        self._transport = self.transport
        self._transport.write(preamble(self._worker.version))
        self._worker.opened(self)

    def dataReceived(self, data: bytes) -> None:
        """See `Protocol`."""
        self.heard_at = self._worker.seconds()
        try:
            for body in self._reader.feed(data):
                self._worker.told(self, TOLD.decode(body))
        except OtherVersion as other:
            self._worker.other_version(other.version)
            self._transport.abortConnection()
        except (ValueError, msgspec.MsgspecError):
            self._logger.failure("the log's writer sent what cannot be")
            self._transport.abortConnection()

    def connectionLost(self, reason: Failure = Failure(ConnectionError())) -> None:  # noqa: B008
        """See `Protocol`."""
        self._worker.closed(self)

    def send(self, frame: bytes) -> None:
        """Send a frame with its length."""
        self._transport.write(frame)

    def leave(self) -> None:
        """Close it."""
        self._transport.loseConnection()

    def abort(self) -> None:
        """Drop it, with what the writer has not read."""
        self._transport.abortConnection()
