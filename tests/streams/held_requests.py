"""A server whose answers come when a test says so, for whatever its client does meanwhile."""

from __future__ import annotations

from typing import Any

from twisted.web.server import NOT_DONE_YET

from takotwist.streams.http.limits import Body
from tests.streams.exchange import run_due


def body_rule(method: bytes, path: bytes) -> Any:
    """A body at ``/body`` is streamed, any other has so many bytes at most."""
    return Body.STREAMED if path == b"/body" else 20


class HeldRequests:
    """One connection to it; each method is a step of either side.

    :cvar turns: runs of the clock in one turn.
    :ivar exchange: made by the subclass, with `answer`.
    """

    turns = 3
    exchange: Any

    def __init__(self) -> None:
        self.kept: list[Any] = []

    def answer(self, request: Any) -> Any:
        """Keep a request until `finish`."""
        if request.path == b"/body":
            request.stream_body(self)
        self.kept.append(request)
        return NOT_DONE_YET

    def body_chunk(self, data: bytes) -> None:
        """See `BodyReceiver`."""

    def body_end(self) -> None:
        """See `BodyReceiver`."""

    def body_lost(self) -> None:
        """See `BodyReceiver`."""

    def send(self, data: bytes) -> None:
        """Bytes of the client."""
        self.exchange.transport.deliver(data)

    def write(self, which: int, size: int) -> None:
        """Some of an answer."""
        if self.kept:
            request = self.kept[which % len(self.kept)]
            if not request.finished:
                request.write(b"y" * size)

    def finish(self, which: int) -> None:
        """The end of an answer."""
        if self.kept:
            request = self.kept.pop(which % len(self.kept))
            if not request.finished and not request.gone:
                request.finish()

    def turn(self, seconds: float) -> None:
        """Time passes."""
        self.exchange.clock.rightNow += seconds
        for _ in range(self.turns):
            run_due(self.exchange.clock)

    def block(self) -> None:
        """The client reads no more."""
        self.exchange.transport.block()

    def unblock(self) -> None:
        """The client reads again."""
        self.exchange.transport.unblock()

    def leave(self) -> None:
        """The client closes."""
        self.exchange.transport.hang_up()
