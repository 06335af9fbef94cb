"""Ways for the bytes of a file to leave, all of one shape.

`transmission` decides what goes next and a sink knows how it goes: through
`request.write`, straight from file to socket, or into an HTTP/2 stream.  A
sink that cannot take more stops the transmission and sees that it goes on.
"""

from __future__ import annotations

from typing import Protocol

from takotwist.streams.files.opened import OpenedFile


class Flow(Protocol):
    """What a sink may tell the transmission.

    A pause is ended by the request's own consumer, a hold by the sink.  They
    are kept apart because HTTP/2 needs both at once: going on after a hold
    while the peer's window is still full would queue without end.
    """

    def pauseProducing(self) -> None:
        """Nothing more can go until the consumer resumes its producer."""

    def hold(self) -> None:
        """Nothing more can go until `release`."""

    def release(self) -> None:
        """As far as the sink is concerned it can go on."""


class Sink(Protocol):
    """Where the bytes go.

    The flow is told with each call and never kept: a sink and a transmission that hold each
    other would be left to the garbage collector, once for every small file.
    """

    def begin(self, flow: Flow) -> None:
        """The head of the answer has been written; bytes follow."""

    def end(self) -> None:
        """Everything has been taken."""

    def write(self, flow: Flow, data: bytes) -> None:
        """Take all of `data`, which is small."""

    def send(self, flow: Flow, file: OpenedFile, offset: int, count: int) -> int:
        """Take up to `count` bytes of `file` from `offset`.

        :return: how many were taken.  0 means that `flow` is paused or held now.
        :raises FileChanged: the file is not what it was.
        :raises OSError: the file cannot be read, or the other side is gone.
        """

    def yield_turn(self, flow: Flow) -> None:
        """Enough for this turn of the reactor: stop `flow`, and see that it goes on in the next."""
