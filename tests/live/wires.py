"""Two machines with wires between them that a test delivers, cuts and replaces by hand."""

from __future__ import annotations

from collections import deque
from typing import Any

from takotwist.live.machine.frames import (
    Answered,
    Bounds,
    Broken,
    Deliver,
    Ended,
    Failed,
    Forgotten,
    Frame,
    Opened,
    Output,
    Sent,
    Transmit,
)
from takotwist.live.machine.machine import Machine, Phase


class Wire:
    """Frames under way in both directions, each an instruction for its receiver."""

    def __init__(self) -> None:
        self.up: deque[Any] = deque()
        self.down: deque[Any] = deque()


class End:
    """One machine and what came of it."""

    def __init__(self, bounds: Bounds) -> None:
        self.machine = Machine(bounds, 0.0)
        self.delivered: list[Frame] = []
        self.unsettled: list[Frame] = []
        self.results: dict[object, list[Output]] = {}
        self.opened = 0
        self.ended: list[Ended] = []
        self.forgotten = False
        self.broken: list[str] = []


class Pair:
    """A client and a server end.

    :ivar now: seconds.
    """

    def __init__(self, bounds: Bounds | None = None) -> None:
        self.bounds = bounds or Bounds()
        self.now = 0.0
        self.client, self.server = End(self.bounds), End(self.bounds)
        self.wires: list[Wire] = []
        self.client_wire: Wire | None = None
        self.server_wire: Wire | None = None
        self.attaching: Wire | None = None

    def act(self, end: End, method: str, *arguments: Any) -> None:
        """Call one input of a machine and carry out its outputs."""
        getattr(end.machine, method)(*arguments)
        self._carry_out(end)

    def _carry_out(self, end: End) -> None:
        for output in end.machine.take():
            if isinstance(output, Transmit):
                wire = self.client_wire if end is self.client else self.server_wire
                if wire is not None:
                    (wire.up if end is self.client else wire.down).append(output.frame)
            elif isinstance(output, Deliver):
                end.delivered.append(output.frame)
                end.unsettled.append(output.frame)
            elif isinstance(output, Sent | Answered | Failed):
                end.results.setdefault(output.handle, []).append(output)
            elif isinstance(output, Opened):
                end.opened += 1
            elif isinstance(output, Ended):
                end.ended.append(output)
            elif isinstance(output, Forgotten):
                end.forgotten = True
            elif isinstance(output, Broken):
                end.broken.append(output.reason)

    def connect(self) -> None:
        """The client opens a wire and asks to attach on it; an older one stays until `cut`."""
        wire = self.attaching = Wire()
        self.wires.append(wire)
        self.act(self.client, "detach", self.now)
        self.client_wire = None
        machine = self.client.machine
        if machine.phase is Phase.OVER:
            wire.up.append(("attach", ("end", machine.outcome)))
        elif machine.phase is not Phase.FORGOTTEN:
            wire.up.append(("attach", ("at", machine.position())))

    def cut(self) -> None:
        """All wires are gone, with what was on them."""
        self.wires.clear()
        self.client_wire = self.server_wire = self.attaching = None
        self.act(self.client, "detach", self.now)
        self.act(self.server, "detach", self.now)

    def step(self, index: int, up: bool) -> bool:
        """Deliver one frame of one wire.  Whether there was one."""
        if not self.wires:
            return False
        wire = self.wires[index % len(self.wires)]
        queue = wire.up if up else wire.down
        if not queue:
            return False
        frame = queue.popleft()
        if up:
            self._to_server(wire, frame)
        else:
            self._to_client(wire, frame)
        return True

    def _to_server(self, wire: Wire, frame: Any) -> None:
        server = self.server
        if isinstance(frame, Frame):
            if wire is self.server_wire:
                self.act(server, "receive", frame, self.now)
            return
        self.server_wire = wire
        kind, said = frame[1]
        machine = server.machine
        if kind == "end":
            server.machine.detach(self.now)
            wire.down.append(("ended", said))
            self.act(server, "receive", Frame("end", error=said), self.now)
        elif machine.phase is Phase.FORGOTTEN:
            wire.down.append(("ended", None))
        elif machine.phase is Phase.OVER:
            wire.down.append(("ended", machine.outcome))
        else:
            wire.down.append(("attached", machine.position()))
            self.act(server, "attach", said, self.now)

    def _to_client(self, wire: Wire, frame: Any) -> None:
        if isinstance(frame, Frame):
            self.act(self.client, "receive", frame, self.now)
            return
        if wire is not self.attaching:
            return
        self.client_wire = wire
        if frame[0] == "attached":
            self.act(self.client, "attach", frame[1], self.now)
        else:
            wire.up.append(Frame("ended"))
            self.act(self.client, "receive", Frame("end", error=frame[1]), self.now)

    def settle_all(self) -> None:
        """Deliver everything, consume everything, until nothing moves."""
        moved = True
        while moved:
            moved = False
            for index in range(len(self.wires)):
                while self.step(index, True) or self.step(index, False):
                    moved = True
            for end in (self.client, self.server):
                while end.unsettled:
                    self.consume(end)
                    moved = True

    def consume(self, end: End) -> None:
        """The oldest message that was delivered has been listened to."""
        if end.unsettled:
            frame = end.unsettled.pop(0)
            if frame.ack:
                self.act(end, "answer", frame.seq, frame.data, None, self.now)
            else:
                self.act(end, "consumed", frame.seq, self.now)

    def ping(self) -> None:
        """Both report."""
        self.act(self.server, "report")
        self.act(self.client, "report")

    def advance(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds
        for end in (self.client, self.server):
            self.act(end, "tick", self.now)
