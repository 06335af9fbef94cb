"""What one connection has been given in this turn of the reactor, bounded.

Frames of one turn are joined and written once.  Rule: `push` never blocks and
never buffers past the bound; a connection that cannot take more says so, and
its subscriptions go on from the log later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from takotwist.core.fanout import Subscription


@attrs.define(slots=True, eq=False)
class Turn:
    """The connections that were given something in this turn of the reactor.

    Whoever publishes or continues a reader calls `end` when done.  The
    alternative, a timer of zero seconds for each connection, costs more than
    the write itself.
    """

    #: When it is, in seconds: set by whoever begins a turn of deliveries.
    now: float = 0.0
    _touched: list[Outbox] = attrs.field(factory=list, init=False)

    def touch(self, outbox: Outbox) -> None:
        """Remember that `outbox` has something to write."""
        self._touched.append(outbox)

    def end(self) -> None:
        """Write out every connection that was touched."""
        while self._touched:
            touched, self._touched = self._touched, []
            for outbox in touched:
                outbox.flush()


@attrs.define(slots=True, eq=False)
class Outbox:
    """Bytes on their way to one connection.

    :ivar form: the wire form in which this connection takes messages.
    :ivar limit: most bytes to hold before the transport has taken them.
    :ivar paused: the transport's own buffer is full.
    """

    form: object
    limit: int
    _turn: Turn
    _write: Callable[[bytes], None]
    paused: bool = False
    #: When bytes were last written, in seconds.
    written_at: float = attrs.field(default=0.0, init=False)
    #: Subscriptions of this connection that go on once it takes more again.
    waiting: dict[Subscription, None] = attrs.field(factory=dict, init=False)
    _pending: list[bytes] = attrs.field(factory=list, init=False)
    _size: int = attrs.field(default=0, init=False)

    def push(self, blob: bytes) -> bool:
        """Take frames for the connection.

        :return: whether they were taken.  `False` means that the connection is
            full, and that nothing of `blob` will be written.
        """
        size = self._size + len(blob)
        if self.paused:
            return False
        if not self._pending:
            # Whatever its size, something must fit into an empty outbox, or a
            # message larger than the limit could never be delivered at all.
            self._turn.touch(self)
        elif size > self.limit:
            return False
        self._pending.append(blob)
        self._size = size
        return True

    def flush(self) -> None:
        """Write what is pending, joined."""
        pending = self._pending
        if not pending:
            return
        self._pending = []
        self._size = 0
        self.written_at = self._turn.now
        self._write(pending[0] if len(pending) == 1 else b"".join(pending))

    def discard(self) -> None:
        """The connection is gone: forget what is pending and take nothing more."""
        self._pending = []
        self._size = 0
        self.paused = True
        self.waiting.clear()
