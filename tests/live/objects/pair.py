"""A live object and the machine of its page, frame by frame, without a session or a server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from takotwist.core.deadlines import Deadlines
from takotwist.live.broadcast.broadcast import Broadcasts
from takotwist.live.broadcast.bus import Bus
from takotwist.live.functions.call_context import CallContext, RunningCall, run_in
from takotwist.live.machine.frames import Bounds, Frame, Position
from takotwist.live.machine.send import Backlog
from takotwist.live.objects.live_object import LiveObject
from takotwist.live.services import LiveServices


class Session:
    """See `ObjectSession`; keeps what it is told."""

    def __init__(self) -> None:
        self.sent: list[Frame] = []
        self.forgot = 0
        self.reasons: list[str] = []
        self.overflows = 0

    def transmit(self, one: Any, frame: Frame) -> None:
        """See `ObjectSession`."""
        self.sent.append(frame)

    def forgotten(self, one: Any) -> None:
        """See `ObjectSession`."""
        self.forgot += 1

    def broken(self, reason: str) -> None:
        """See `ObjectSession`."""
        self.reasons.append(reason)

    def overflowed(self) -> None:
        """See `ObjectSession`."""
        self.overflows += 1


class Pair:
    """The server's side of one object, with its clock, and frames of a page.

    :param make: makes the object, within a call.
    """

    def __init__(
        self, make: Callable[[], LiveObject], broadcasts: Broadcasts | None = None
    ) -> None:
        self.now = 0.0
        self.deadlines = Deadlines()
        self.bus = Bus() if broadcasts is None else broadcasts.bus
        self.services = LiveServices(
            Bounds(),
            lambda: self.now,
            self.deadlines,
            broadcasts or Broadcasts(self.bus),
            Backlog(2**20),
        )
        call = CallContext("onTest", "call-1", None, "192.0.2.1", {}, lambda name: None)
        self.one: Any = run_in(RunningCall(self.services, call), make)
        self.session = Session()
        self.one.settle_in(self.services, self.session, "o1")
        self._seq = 0

    def attach(self, seq: int = 0, room: int = 2**20) -> None:
        """The page has a wire, has taken up to `seq`, and takes `room` bytes more."""
        self.one.attach(Position(seq, room, 1000))

    def say(self, do: Any, data: object = None, **more: Any) -> Frame:
        """The page's next frame."""
        self._seq += 1
        binary = isinstance(data, bytes)
        raw = data if isinstance(data, bytes) else msgspec.json.encode(data)
        frame = Frame(do, self._seq, data=raw, binary=binary, **more)
        self.one.receive(frame)
        return frame

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        for action in self.deadlines.tick(self.now):
            action()

    def sent(self, do: str) -> list[Any]:
        """The data of frames of a kind that were sent."""
        return [
            one.data if one.binary else msgspec.json.decode(one.data or b"null")
            for one in self.session.sent
            if one.do == do
        ]
