"""A topic that the server itself follows, as any subscriber does.

Rule: what may have been missed is said (`again`), so that who listens asks for the whole.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import attrs
from twisted.internet.defer import ensureDeferred
from twisted.logger import Logger

from takotwist.codecs.wire_forms import WireForm
from takotwist.core.channel import Lifecycle
from takotwist.core.fanout import Subscription
from takotwist.core.send_queue import FlushBatch, SendQueue
from takotwist.core.topic import Message, Topic
from takotwist.errors import InternalError, Refusal
from takotwist.flow.attach import RETRY_SECONDS, Attacher

_HEAD = struct.Struct("!QII")


def _framed(message: Message) -> bytes:
    kind = message.type.encode("utf-8", "surrogatepass")
    return _HEAD.pack(message.id, len(kind), len(message.data)) + kind + message.data


#: Type and data of messages, behind their ids and lengths.
FORM = WireForm("listening", _framed)

#: Bytes that are joined for one turn.
JOINED_BYTES = 64 * 1024


@attrs.define(slots=True, eq=False)
class Listening:
    """One topic.

    :ivar take: called with the type and the data of each message, in order.
    :ivar again: called when it begins, and when something may have been missed.
    :ivar cursor: where it begins each time; `None` for what comes from then on.
    :ivar live: called each time it began, when all that was there at the beginning was taken.
    :ivar at_once: what it says is about what is handed to others in the same turn; else it is
        taken when all of that has been handed, and may end subscriptions.
    :ivar id: of the message that `take` is called with.
    """

    attacher: Attacher
    flush_batch: FlushBatch
    topic: Topic
    lifecycle: Lifecycle
    take: Callable[[str, bytes], object]
    again: Callable[[], object]
    cursor: int | None = None
    live: Callable[[], None] | None = None
    at_once: bool = True
    id: int = attrs.field(default=0, init=False)
    _subscription: Subscription | None = attrs.field(default=None, init=False)
    _stopped: bool = attrs.field(default=False, init=False)
    _log: Logger = attrs.field(factory=Logger, init=False)

    def start(self) -> None:
        """Begin, and begin anew where the log fails."""
        if self._stopped:
            return
        queue = SendQueue(JOINED_BYTES, self.flush_batch)
        queue.connect(FORM, self._write, at_once=self.at_once)
        window_us = self.lifecycle.replay_window_ms * 1000
        mine = Subscription(
            self.topic, window_us, queue, self._opened, self._ended, on_live=self.live
        )
        self._subscription = mine
        self.attacher.attach(mine)
        ensureDeferred(self._begin(mine))

    def stop(self) -> None:
        """No more."""
        self._stopped = True
        if self._subscription is not None:
            self.attacher.detach(self._subscription)

    async def _begin(self, mine: Subscription) -> None:
        try:
            await self.attacher.start(mine, self.cursor, True)
        except Refusal as refusal:
            self._ended(refusal)
        except Exception:
            # Left as it is it would hear nothing for ever.
            self._log.failure("following a topic of the server failed")
            self.attacher.detach(mine)
            self._ended(InternalError())

    def _opened(self, cursor: int, reset: Refusal | None) -> None:
        self.again()

    def _ended(self, refusal: Refusal) -> None:
        self.attacher.deadlines.at(self.attacher.seconds() + RETRY_SECONDS, self.start)

    def _write(self, blob: bytes) -> None:
        at = 0
        while at < len(blob):
            self.id, length, size = _HEAD.unpack_from(blob, at)
            at += _HEAD.size
            kind, data = blob[at : at + length], blob[at + length : at + length + size]
            at += length + size
            try:
                self.take(kind.decode("utf-8", "surrogatepass"), data)
            except Exception:
                self._log.failure("a message of the server to itself failed")
