"""The bounded send queue of one connection, and the flush batch that writes it out.

Frames of one turn of the reactor are joined and written once.  Rule: `push` and
`deliver` never block and never buffer past the bound; a connection that cannot take
more says so, and its subscriptions go on from the log later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

import attrs

#: A socket's own ``send``: takes bytes at once, says how many, raises `OSError`.
Send: TypeAlias = Callable[[bytes], int]


class Flushable(Protocol):
    """A member of a flush batch: it has gathered bytes, and writes them in `flush`."""

    def flush(self) -> None: ...


@attrs.define(slots=True, eq=False)
class FlushBatch:
    """The send queues that hold something in this turn of the reactor, flushed together.

    Whoever delivers calls `end` when done.  The alternative, a timer of zero
    seconds for each connection, costs more than the write itself.

    :ivar now: the time in seconds, set by whoever begins a batch of deliveries.
    :ivar delivering: a batch has begun and will `end`; what is pushed until then leaves
        with it.
    :ivar holding: the direct sends of the send queues in the batch that have one.
    """

    now: float = 0.0
    delivering: bool = False
    holding: list[Send] = attrs.field(factory=list, init=False)
    _members: list[Flushable] = attrs.field(factory=list, init=False)

    def add(self, one: Flushable) -> None:
        """Flush `one` at the end of the batch."""
        self._members.append(one)

    def end(self) -> None:
        """Flush all members.

        When one of them fails its error comes out, and a further call goes on
        with the others.
        """
        while self._members:
            members, self._members = self._members, []
            members.reverse()
            try:
                while members:
                    members.pop().flush()
            finally:
                self._members += reversed(members)
        self.holding.clear()
        self.delivering = False


class DirectSender(Protocol):
    """Whoever sends by a connection's socket in the place of its queue: a `Group`.

    :ivar written_at: when it last did, in seconds.
    """

    written_at: float

    def withdraw(self, send_queue: SendQueue, /) -> None:
        """Do so no longer."""


def _refuse(_: bytes) -> bool:
    """The `deliver` of a connection that is gone: takes nothing."""
    return False


def _nowhere(_: bytes) -> None:
    """The `write` of a connection that is not open: drops the bytes."""


@attrs.define(slots=True, eq=False)
class SendQueue:
    """The send queue of one connection: bytes on their way to it, bounded.

    :ivar limit: most bytes to hold before the transport has taken them.
    :ivar form: the wire form in which this connection takes messages.
    :ivar write: writes to the transport.
    :ivar deliver: called by the fan-out: `push`, or where nothing is to be joined
        `push_at_once`.
    :ivar send: its socket's own, for use while nothing waits; `None` where there is none.
    :ivar group: the group that sends by it now.
    :ivar paused: the transport's buffer is full.
    :ivar waiting: subscriptions of this connection that wait until it takes more, and how each
        goes on then.
    """

    limit: int
    _flush_batch: FlushBatch
    form: object = attrs.field(default=None, init=False)
    write: Callable[[bytes], None] = attrs.field(default=_nowhere, init=False)
    deliver: Callable[[bytes], bool] = attrs.field(init=False)
    send: Send | None = attrs.field(default=None, init=False)
    group: DirectSender | None = attrs.field(default=None, init=False)
    paused: bool = attrs.field(default=False, init=False)
    waiting: dict[object, Callable[[], None]] = attrs.field(factory=dict, init=False)
    # One blob as it is, more of them as a list: most turns bring one, and none a list.
    _pending: bytes | list[bytes] | None = attrs.field(default=None, init=False)
    _size: int = attrs.field(default=0, init=False)
    _written_at: float = attrs.field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        self.deliver = self.push

    @property
    def written_at(self) -> float:
        """The time at which bytes were last written, in seconds."""
        own = self._written_at
        return own if self.group is None else max(own, self.group.written_at)

    @written_at.setter
    def written_at(self, now: float) -> None:
        self._written_at = now

    def connect(
        self,
        form: object,
        write: Callable[[bytes], None],
        *,
        at_once: bool = False,
        send: Send | None = None,
    ) -> None:
        """The connection is open: from now on it takes `form` by `write`.

        :param at_once: it follows one topic, so what the fan-out brings is all that
            a turn has for it, joined already.  `write` must then not raise.
        :param send: of a connection that is written to at once: see `Group`.
        """
        self.form = form
        self.write = write
        self.send = send
        self.deliver = self.push_at_once if at_once else self.push

    def push(self, blob: bytes) -> bool:
        """Take frames for the connection.

        :return: whether they were taken.  `False` means that the connection is
            full, and that nothing of `blob` will be written.
        """
        size = self._size + len(blob)
        if self.paused:
            return False
        pending = self._pending
        if pending is None:
            # Whatever its size, something must fit into an empty send queue, or a
            # message larger than the limit could never be delivered at all.
            self._flush_batch.add(self)
            if self.send is not None:
                self._flush_batch.holding.append(self.send)
            self._pending = blob
        elif size > self.limit:
            return False
        elif isinstance(pending, list):
            pending.append(blob)
        else:
            self._pending = [pending, blob]
        self._size = size
        return True

    def push_at_once(self, blob: bytes) -> bool:
        """As `push`, but written now: the batch's list costs as much as the write."""
        if self.paused:
            return False
        if self._pending is not None:
            return self.push(blob)
        self._written_at = self._flush_batch.now
        self.write(blob)
        return True

    def flush(self) -> None:
        """Write what is pending, joined."""
        pending = self._pending
        if pending is None:
            return
        self._pending = None
        self._size = 0
        self._written_at = self._flush_batch.now
        self.write(b"".join(pending) if isinstance(pending, list) else pending)

    def discard(self) -> None:
        """The connection is gone: forget what is pending and take nothing more."""
        if self.group is not None:
            self.group.withdraw(self)
        self.send = None
        self._pending = None
        self._size = 0
        self.paused = True
        self.write = _nowhere
        # It holds itself by its own method, and would stay until Python looks for cycles.
        self.deliver = _refuse
        self.waiting.clear()
