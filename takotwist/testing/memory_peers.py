"""Connections between worlds in memory, as between the nodes of a server.

Frames are delivered as they are sent, unless the receiver holds them back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol

import attrs
import msgspec

from takotwist.live.peers import AnyGreeting, Greeting, Kind, NodeGone, PeerListener, PeerStream


class Door(Protocol):
    """Takes the connections of a node."""

    def accept(self, greeting: Greeting, stream: PeerStream) -> PeerListener: ...


@attrs.define(eq=False)
class MemoryNetwork:
    """The nodes that can be reached.

    :ivar doors: by the name of the node; take one out, and it is gone.
    :ivar streams: all that were opened, each by its two ends.
    """

    doors: dict[str, Door] = attrs.field(factory=dict)
    streams: list[tuple[MemoryStream, MemoryStream]] = attrs.field(factory=list)

    def kill(self, name: str) -> None:
        """A node dies, and its connections with it."""
        del self.doors[name]
        for pair in self.streams:
            if name in (pair[0].node, pair[1].node):
                pair[0].abort()
                pair[1].abort()


@attrs.frozen
class MemoryPeers:
    """See `Peers`."""

    network: MemoryNetwork
    name: str
    secret: str = ""

    async def connect(self, greeting: Greeting, listener: PeerListener) -> PeerStream:
        """See `Peers`."""
        door = self.network.doors.get(greeting.node)
        if door is None:
            raise NodeGone
        here, there = MemoryStream(self.name), MemoryStream(greeting.node)
        here.other, there.other = there, here
        self.network.streams.append((here, there))
        here.listener = listener
        # As on the way of a real one.
        sent = msgspec.msgpack.decode(msgspec.msgpack.encode(greeting), type=AnyGreeting)
        there.listener = door.accept(sent, there)
        there.pump()
        return here

    async def others(self) -> Sequence[str]:
        """See `Peers`."""
        return [name for name in self.network.doors if name != self.name]


class MemoryStream:
    """One end of a connection; see `PeerStream`.

    :ivar is_open: it was not closed.
    :ivar waiting: what its reader holds back.
    """

    other: MemoryStream

    def __init__(self, node: str) -> None:
        self.node = node
        self.listener: PeerListener | None = None
        self.is_open = True
        self.held = False
        self.full = False
        self.waiting: deque[tuple[Kind, bytes] | None] = deque()

    def send(self, kind: Kind, payload: bytes = b"") -> None:
        """See `PeerStream`."""
        if self.is_open and self.other.is_open:
            self.other.waiting.append((kind, payload))
            self.other.pump()
            self._press()

    def hold(self, held: bool) -> None:
        """See `PeerStream`."""
        self.held = held
        self.pump()
        self.other._press()

    def close(self) -> None:
        """See `PeerStream`."""
        if self.is_open:
            self.is_open = False
            self.other.waiting.append(None)
            self.other.pump()

    abort = close

    def pump(self) -> None:
        """Deliver what may be delivered."""
        while self.waiting and not self.held and self.listener is not None:
            frame = self.waiting.popleft()
            if not self.is_open:
                continue
            if frame is None:
                self.is_open = False
                self.listener.lost()
            else:
                self.listener.received(*frame)

    def _press(self) -> None:
        full = len(self.other.waiting) >= 8
        if full != self.full and self.listener is not None and self.is_open:
            self.full = full
            self.listener.pressure(full)
