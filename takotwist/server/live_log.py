"""The replay log as durable broadcasts see it: a topic for each key.

The same log, group commit, tails and attach as channels have.  Rule: the topics
have a name that no channel can have, so nobody reaches them over the channels'
routes, and a key leaves the server on no wire.

A publication of a durable broadcast, as it stands in the replay log.

Rule: what is stored is JSON, for whoever looks into the log; the bytes that members
are given are read out of it once for all of them.
"""

from __future__ import annotations

import struct
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Sequence

import attrs
import msgspec
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import Logger

from takotwist.codecs.wire_forms import WireForm
from takotwist.core.channel import Lifecycle
from takotwist.core.deadlines import Deadline
from takotwist.core.fanout import Subscription
from takotwist.core.log import Page
from takotwist.core.send_queue import FlushBatch, SendQueue
from takotwist.core.topic import EVERYTHING, Draft, Message, Topic
from takotwist.errors import Refusal, StoreUnavailable
from takotwist.flow.attach import RETRY_SECONDS, Attacher
from takotwist.flow.publish import PublisherService
from takotwist.live.broadcast.bus import Publication
from takotwist.live.broadcast.durable import Begun, Record, Replay
from takotwist.live.machine.frames import Info


class _Stored(msgspec.Struct, array_like=True):
    seq: int
    epoch: int
    data: msgspec.Raw
    values: msgspec.Raw = msgspec.Raw()


_STORED = msgspec.json.Decoder(_Stored)
_PLACE = struct.Struct("!IIBQQQ")


def draft_of(record: Record) -> Draft:
    """What is put into the log."""
    data = record.data
    if record.binary:
        data = msgspec.json.encode(b64encode(data).decode("ascii"))
    # Left out where there are none, as all were written once.
    values = [msgspec.Raw(record.values)] if record.values else []
    stored = [record.seq, record.epoch, msgspec.Raw(data), *values]
    return Draft("binary" if record.binary else "text", msgspec.json.encode(stored))


def place_of(message: Message) -> tuple[int, int]:
    """Epoch and seq of what was stored."""
    stored = _STORED.decode(message.data)
    return stored.epoch, stored.seq


def _framed(message: Message) -> bytes:
    stored = _STORED.decode(message.data)
    data, binary = bytes(stored.data), message.type == "binary"
    if binary:
        data = b64decode(msgspec.json.decode(data))
    values = bytes(stored.values)
    place = _PLACE.pack(len(data), len(values), binary, message.id, stored.seq, stored.epoch)
    return place + data + values


#: Publications ready to be given to members.
FORM = WireForm("live", _framed)


def publications(blob: bytes) -> Iterator[Publication]:
    """What was joined of `FORM`."""
    at = 0
    while at < len(blob):
        size, more, binary, cursor, seq, epoch = _PLACE.unpack_from(blob, at)
        at += _PLACE.size
        info = Info(seq, cursor // 1000, epoch, cursor)
        data, values = blob[at : at + size], blob[at + size : at + size + more]
        yield Publication(info, data, bool(binary), values)
        at += size + more


#: Not a channel's name: those begin with a letter or a digit.
CHANNEL = "~broadcast"

#: Bytes of publications that are joined for one member.
JOINED_BYTES = 32 * 1024

#: How far back the newest publication of a key is looked for first, and how much further
#: each time: ids are microseconds, and a page should hold few others.
FIRST_STEP_US = 1_000_000
STEP_FACTOR = 16
PAGE_MESSAGES = 512
PAGE_BYTES = 2**20


@attrs.define(slots=True, eq=False, repr=False)
class LiveLog:
    """See `takotwist.live.broadcast.durable.PublicationLog`.

    :ivar lifecycle_now: what is configured for topics that do not say.
    :ivar max_message_bytes: of one publication.
    :ivar soon: calls a function when this turn of the reactor is over.
    """

    _attacher: Attacher
    _publishing: PublisherService
    _lifecycle_now: Callable[[], Lifecycle]
    max_message_bytes: int
    _soon: Callable[[Callable[[], None]], object]

    @property
    def head(self) -> int:
        """See `PublicationLog`."""
        return self._attacher.log.head

    def append(
        self, key: str, replay: Replay, records: Sequence[Record]
    ) -> Deferred[Sequence[int]]:
        """See `PublicationLog`."""
        drafts = [draft_of(record) for record in records]
        stored = self._publishing.publish(_topic(key), drafts, self._lifecycle(replay))
        return stored.addCallback(lambda appended: [message.id for message in appended.messages])

    def newest(self, key: str) -> Deferred[tuple[int, int] | None]:
        """See `PublicationLog`."""
        return ensureDeferred(self._newest(_topic(key)))

    def follow(
        self,
        key: str,
        replay: Replay,
        cursor: int | None,
        reset: bool,
        begun: Begun,
        take: Callable[[Sequence[Publication]], None],
        ended: Callable[[Refusal], None],
    ) -> LiveLogSubscription:
        """See `PublicationLog`."""
        window_us = self._lifecycle(replay).replay_window_ms * 1000
        return LiveLogSubscription(
            self._attacher,
            self._publishing.flush_batch,
            self._soon,
            _topic(key),
            window_us,
            cursor,
            reset,
            begun,
            take,
            ended,
        )

    def _lifecycle(self, replay: Replay) -> Lifecycle:
        return replay.over(self._lifecycle_now())

    async def _newest(self, topic: Topic) -> tuple[int, int] | None:
        step = FIRST_STEP_US
        page = await self._read(topic, max(self.head - step, EVERYTHING))
        while not page.messages and step < self.head - page.removed:
            step *= STEP_FACTOR
            page = await self._read(topic, max(self.head - step, EVERYTHING))
        newest = page.messages[-1:]
        while page.more:
            page = await self._read(topic, page.messages[-1].id)
            newest = page.messages[-1:] or newest
        if not newest:
            return None
        return place_of(newest[0])

    def _read(self, topic: Topic, after: int) -> Deferred[Page]:
        return self._attacher.log.read(topic, after, PAGE_MESSAGES, PAGE_BYTES)


@attrs.define(slots=True, eq=False, repr=False)
class LiveLogSubscription:
    """A member's place in the log, as a subscriber of the key's topic."""

    _attacher: Attacher
    _flush_batch: FlushBatch
    _soon: Callable[[Callable[[], None]], object]
    _topic: Topic
    _window_us: int
    _cursor: int | None
    _reset: bool
    _begun: Begun
    _take: Callable[[Sequence[Publication]], None]
    _ended: Callable[[Refusal], None]
    _left: bool = attrs.field(default=False, init=False)
    _attached: bool = attrs.field(default=False, init=False)
    _retry: Deadline | None = attrs.field(default=None, init=False)
    _subscription: Subscription = attrs.field(init=False)
    _log: Logger = attrs.field(factory=Logger, init=False)

    def __attrs_post_init__(self) -> None:
        send_queue = SendQueue(JOINED_BYTES, self._flush_batch)
        send_queue.connect(FORM, self._write)
        self._subscription = self._new_subscription(send_queue)

    def start(self) -> None:
        """See `LogSubscription`."""
        head = self._attacher.log.head
        # Not before the turn is over: who joins with text and bytes joins with both, and the
        # two come in order.
        self._soon(lambda: self._begin(head))

    def pause(self) -> None:
        """See `LogSubscription`."""
        self._subscription.send_queue.paused = True

    def resume(self) -> None:
        """See `LogSubscription`."""
        send_queue = self._subscription.send_queue
        if send_queue.paused and not self._left:
            self._attacher.resumed(send_queue)

    def leave(self) -> None:
        """See `LogSubscription`."""
        if self._left:
            return
        self._left = True
        if self._retry is not None:
            self._retry.cancel()
        if self._attached:
            self._attacher.detach(self._subscription)
        self._subscription.send_queue.discard()

    def _begin(self, head: int) -> None:
        if self._left:
            return
        attacher = self._attacher
        if self._cursor is None and attacher.log.head != head:
            self._cursor = head
        self._attached = True
        attacher.attach(self._subscription)
        ensureDeferred(self._start(attacher)).addErrback(
            lambda failure: self._log.failure("following a broadcast failed", failure)
        )

    async def _start(self, attacher: Attacher) -> None:
        try:
            await attacher.start(self._subscription, self._cursor, self._reset)
        except StoreUnavailable:
            self._attached = False
            if not self._left:
                self._subscription = self._new_subscription(self._subscription.send_queue)
                self._retry = self._attacher.deadlines.at(
                    attacher.seconds() + RETRY_SECONDS, self.start
                )
        except Refusal as refusal:
            self._end(refusal)

    def _new_subscription(self, send_queue: SendQueue) -> Subscription:
        return Subscription(self._topic, self._window_us, send_queue, self._open, self._end)

    def _open(self, cursor: int, reset: Refusal | None) -> None:
        if not self._left:
            self._begun(cursor, reset is not None)

    def _end(self, refusal: Refusal) -> None:
        if not self._left:
            self.leave()
            self._ended(refusal)

    def _write(self, blob: bytes) -> None:
        if self._left:
            return
        try:
            self._take(list(publications(blob)))
        except Exception:
            self._log.failure("a member of a broadcast failed")


def _topic(key: str) -> Topic:
    return Topic.of(CHANNEL, {"key": key})
