"""The replay log as broadcasts see it: a topic for each key.

The same log, group commit, tails and attach as channels have.  Rule: the topics
have a name that no channel can have, so nobody reaches them over the channels'
routes, and a key leaves the server on no wire.

A publication, as it stands in the replay log, is JSON, for whoever looks into it; the
bytes that members are given are read out of it once for all of them.  Its number is the
log's (`Message.place`); before the log counted, number and epoch stood in the data.
"""

from __future__ import annotations

import struct
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import attrs
import msgspec
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import Logger

from takotwist.codecs.wire_forms import WireForm
from takotwist.core.channel import MINUTE_MS, Lifecycle
from takotwist.core.deadlines import Deadline
from takotwist.core.fanout import Subscription
from takotwist.core.log import Appended
from takotwist.core.send_queue import FlushBatch, SendQueue
from takotwist.core.topic import Draft, Message, Topic
from takotwist.errors import Refusal, StoreUnavailable
from takotwist.flow.attach import RETRY_SECONDS, Attacher
from takotwist.flow.publish import PublisherService
from takotwist.live.broadcast.bus import Publication
from takotwist.live.broadcast.durable import Begun, Replay
from takotwist.live.machine.frames import Info
from takotwist.live.values import Encoded


class _Stored(msgspec.Struct, array_like=True):
    seq: int
    epoch: int
    data: msgspec.Raw
    values: msgspec.Raw = msgspec.Raw()


_STORED = msgspec.json.Decoder(_Stored)
_PLACE = struct.Struct("!IIBQQQ")


def draft_of(said: Encoded, binary: bool) -> Draft:
    """The log's draft of a publication."""
    data = said.data
    if binary:
        data = msgspec.json.encode(b64encode(data).decode("ascii"))
    # Left out where there are none, as all were written once.
    values = [msgspec.Raw(said.values)] if said.values else []
    stored = [0, 0, msgspec.Raw(data), *values]
    return Draft("binary" if binary else "text", msgspec.json.encode(stored))


def _framed(message: Message) -> bytes:
    stored = _STORED.decode(message.data)
    data, binary = bytes(stored.data), message.type == "binary"
    if binary:
        data = b64decode(msgspec.json.decode(data))
    values = bytes(stored.values)
    epoch, seq = message.place or (stored.epoch, stored.seq)
    place = _PLACE.pack(len(data), len(values), binary, message.id, seq, epoch)
    return place + data + values


#: Publications ready to be given to members.
FORM = WireForm("live", _framed)


def publications(blob: bytes) -> Iterator[Publication]:
    """Split a blob of `FORM` into publications."""
    at = 0
    while at < len(blob):
        size, more, binary, cursor, seq, epoch = _PLACE.unpack_from(blob, at)
        at += _PLACE.size
        info = Info(seq, cursor // 1000, epoch, cursor)
        data, values = blob[at : at + size], blob[at + size : at + size + more]
        yield Publication(info, data, bool(binary), values)
        at += size + more


#: Topics of durable keys.  Not a channel's name: those begin with a letter or a digit.
CHANNEL = "~broadcast"

#: Topics of the others, where the log is shared.  Not the same: the log goes by the bounds
#: that it was told last, and who does not know that a key is durable would shorten them.
PASSING_CHANNEL = "~broadcast-passing"

#: Their bounds.  A node that is cut from the store for less misses nothing; a count that
#: nobody uses begins anew, with another epoch.
PASSING = Lifecycle(replay_window_ms=10_000, inactivity_ttl_ms=10 * MINUTE_MS)

#: Bytes of publications that are joined for one member.
JOINED_BYTES = 32 * 1024


@lru_cache(maxsize=1024)
def _kept(replay: Replay, default: Lifecycle) -> Lifecycle:
    return replay.over(default)


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

    @property
    def shared(self) -> bool:
        """See `PublicationLog`."""
        return not self._attacher.log.everything

    def append(
        self, key: str, replay: Replay | None, said: Encoded, binary: bool
    ) -> Deferred[Info]:
        """See `PublicationLog`."""
        stored = self._publishing.publish(
            _topic(key, replay), (draft_of(said, binary),), self._lifecycle(replay), numbered=True
        )
        return stored.addCallback(_info, replay)

    def follow(
        self,
        key: str,
        replay: Replay | None,
        cursor: int | None,
        reset: bool,
        begun: Begun,
        take: Callable[[Sequence[Publication]], None],
        ended: Callable[[Refusal], None],
    ) -> LiveLogSubscription:
        """See `PublicationLog`."""
        lifecycle = self._lifecycle(replay)
        return LiveLogSubscription(
            self._attacher,
            self._publishing.flush_batch,
            self._soon,
            _topic(key, replay),
            lifecycle,
            cursor,
            reset,
            begun,
            take,
            ended,
        )

    def _lifecycle(self, replay: Replay | None) -> Lifecycle:
        return PASSING if replay is None else _kept(replay, self._lifecycle_now())


@attrs.define(slots=True, eq=False, repr=False)
class LiveLogSubscription:
    """A member's place in the log, as a subscriber of the key's topic."""

    _attacher: Attacher
    _flush_batch: FlushBatch
    _soon: Callable[[Callable[[], None]], object]
    _topic: Topic
    _lifecycle: Lifecycle
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

    def start(self, *, at_once: bool = False) -> None:
        """See `LogSubscription`."""
        head = self._attacher.log.head
        if at_once:
            self._begin(head)
            return
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
        lifecycle = self._lifecycle
        return Subscription(
            self._topic,
            lifecycle.replay_window_ms * 1000,
            send_queue,
            self._open,
            self._end,
            lifecycle.inactivity_ttl_ms > 0,
        )

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


def _topic(key: str, replay: Replay | None) -> Topic:
    return Topic.of(PASSING_CHANNEL if replay is None else CHANNEL, {"key": key})


def _info(appended: Appended, replay: Replay | None) -> Info:
    [message] = appended.messages
    assert message.place is not None
    epoch, seq = message.place
    return Info(seq, message.id // 1000, epoch, None if replay is None else message.id)
