"""A durable stream: bytes that are appended, kept with their offsets, and end.

A stream is a topic of the log.  What it is and what it holds are messages: one that creates
it, one for each chunk, one that ends it, one that deletes it.  So a stream's state is what its
messages add up to, and whoever has read them all may decide about the next one.  Rule: a
decision is stored only where nobody else has stored anything since (`Append.after`).

An offset is the id of the last message before it, in 16 digits, so that offsets sort as text.
"""

from __future__ import annotations

import attrs
import msgspec

from takotwist.core.channel import MINUTE_MS, Lifecycle
from takotwist.core.topic import MESSAGE_BYTES, Topic

#: Topics of streams.  Not a channel's name: those begin with a letter or a digit.
CHANNEL = "~stream"

#: Kinds of messages, the first word of their types.
CREATE, DATA, END, DELETE, READ = "create", "data", "end", "delete", "read"

#: And of a stream that is a message's: its opening message was stored, and a writer took it over.
OPENED, CLAIM = "opened", "claim"

#: The only producer of such a stream; who takes it over has the next epoch.
WRITER = "writer"

#: How much longer the log keeps a stream than it lives: clocks of nodes differ.
MARGIN_MS = MINUTE_MS

#: Room beside a stream's own bytes for the marks that keep it alive.
MARK_BYTES = 2**20

JSON_TYPE = "application/json"

NULL = msgspec.Raw(b"null")


def topic_of(path: str) -> Topic:
    """The topic of the stream at `path`."""
    return Topic.of(CHANNEL, {"path": path})


def offset_of(id: int) -> str:
    """The offset after the message `id`."""
    return f"{id:016d}"


def media_type(content_type: str) -> str:
    """A content type without its parameters, as two are compared."""
    return content_type.partition(";")[0].strip().lower()


class About(msgspec.Struct, frozen=True, omit_defaults=True):
    """The message of a topic that a stream is written for.

    :ivar params: of the topic.
    :ivar id: of the stream, unique in its topic.
    :ivar type: of the message.
    :ivar key: of the request that opened it.
    :ivar text: its chunks are strings, which are one text together.
    :ivar meta: JSON that goes with the message.
    """

    channel: str
    params: dict[str, object]
    id: str
    type: str
    key: str
    text: bool = True
    meta: msgspec.Raw = NULL


class Spec(msgspec.Struct, frozen=True, omit_defaults=True):
    """Properties with which a stream is created.

    :ivar at_us: when it was created, by unix time.
    :ivar ttl_s: seconds without a read or a write after which it is gone.
    :ivar expires_us: when it is gone, and `expires_at` as its creator wrote that.
    :ivar about: what it is written for, where that is a message.
    """

    content_type: str
    at_us: int
    ttl_s: int | None = None
    expires_us: int | None = None
    expires_at: str | None = None
    about: About | None = None

    @property
    def is_json(self) -> bool:
        """`True` where each chunk is a JSON value."""
        return media_type(self.content_type) == JSON_TYPE

    @property
    def is_text(self) -> bool:
        """`True` where an event stream carries a chunk as it is."""
        return self.is_json or media_type(self.content_type).startswith("text/")

    def same(self, other: Spec) -> bool:
        """Tell whether a request for `other` may be answered with this stream."""
        return (
            media_type(self.content_type) == media_type(other.content_type)
            and self.ttl_s == other.ttl_s
            and self.expires_us == other.expires_us
        )


class Producer(msgspec.Struct, frozen=True, array_like=True):
    """Identity of a producer: a retry of it stores nothing twice, and a successor locks the first
    one out."""

    id: str
    epoch: int
    seq: int


class End(msgspec.Struct, frozen=True, omit_defaults=True):
    """End of a stream that belongs to a message.

    :ivar how: ``ended``, ``failed`` or ``cancelled``.
    :ivar reason: a word, of ``failed``.
    :ivar error: what its writer says of it to people.
    """

    how: str
    reason: str = ""
    error: str = ""


class Claim(msgspec.Struct, frozen=True):
    """A writer takes a stream over.

    :ivar key: of its request.
    """

    key: str
    epoch: int


class Marks(msgspec.Struct, frozen=True, array_like=True):
    """Part of a message's type behind its kind."""

    producer: Producer | None = None
    seq: str | None = None


_SPEC = msgspec.json.Decoder(Spec)
_MARKS = msgspec.json.Decoder(Marks)
_END = msgspec.json.Decoder(End)
_CLAIM = msgspec.json.Decoder(Claim)


def read_end(data: bytes) -> End | None:
    """Read the end of a stream from the data of the message that ended it."""
    return _END.decode(data) if data else None


@attrs.frozen(slots=True)
class StreamBounds:
    """Bounds of one stream.

    :ivar max_bytes: of all that it holds.
    :ivar lifetime_us: after its creation it is gone, whatever is read or written.
    :ivar max_producers: that it remembers.
    :ivar max_data: of its chunks alone; `None`: as `max_bytes` has it.
    :ivar kept_us: after its end it is kept for so long; `None`: as long as any.
    """

    max_bytes: int
    lifetime_us: int
    max_producers: int
    max_data: int | None = None
    kept_us: int | None = None

    def lifecycle(self, spec: Spec, *, ended: bool = False) -> Lifecycle:
        """The lifecycle of a stream in the log: all of it is kept, for as long as it may live.

        A stream never loses its old end, so these bounds are above its own.
        """
        life_ms = min(self.lifetime_us // 1000, 365 * 24 * 60 * MINUTE_MS)
        idle_ms = life_ms
        if spec.ttl_s is not None:
            idle_ms = min(idle_ms, spec.ttl_s * 1000)
        if spec.expires_us is not None:
            idle_ms = min(idle_ms, max(0, spec.expires_us - spec.at_us) // 1000)
        if ended and self.kept_us is not None:
            idle_ms = min(idle_ms, self.kept_us // 1000)
        return Lifecycle(
            replay_window_ms=life_ms + MARGIN_MS,
            inactivity_ttl_ms=idle_ms + MARGIN_MS,
            replay_max_messages=10_000_000,
            replay_max_bytes=self.max_bytes + 2 * MARK_BYTES,
        )


#: Of a stream that was deleted: its messages go, and the mark after a while.
DELETED = Lifecycle(
    replay_window_ms=MARGIN_MS,
    inactivity_ttl_ms=MARGIN_MS,
    replay_max_messages=1,
    replay_max_bytes=1024,
)


@attrs.define(slots=True)
class StreamState:
    """State of a stream, folded from its messages.

    :ivar position: all messages of the topic with an id up to it are in this.
    :ivar created: id of the message that created it, 0 where there is no stream.
    :ivar tail: id of the last chunk, or `created`.
    :ivar size: as the log counts it, and `data` of chunks alone.
    :ivar end: how it ended, where that is said; and when, 0 before.
    :ivar opened: id of its opening message, 0 where it has none yet.
    :ivar claim: key of the request that opened it, or took it over.
    :ivar producers: id -> epoch and last number.
    :ivar seq: the last `Stream-Seq`, which is of the whole stream.
    :ivar ended_by: whoever ended it, where they had a name.
    :ivar used_us: when it was last written or, as far as that is stored, read.
    """

    position: int = 0
    created: int = 0
    spec: Spec | None = None
    tail: int = 0
    size: int = 0
    data: int = 0
    ended: bool = False
    end: End | None = None
    ended_us: int = 0
    opened: int = 0
    claim: str = ""
    ended_by: Producer | None = None
    producers: dict[str, tuple[int, int]] = attrs.field(factory=dict)
    seq: str | None = None
    used_us: int = 0

    def copy(self) -> StreamState:
        """Another one, to try something on."""
        return attrs.evolve(self, producers=dict(self.producers))

    def apply(self, id: int, type: str, data: bytes) -> None:
        """Take the next message."""
        self.position = id
        kind, _, marks = type.partition(" ")
        if kind == CREATE:
            spec = _SPEC.decode(data)
            self._begin(id, spec)
        elif not self.created:
            return
        elif kind == DELETE:
            self._begin(0, None)
            return
        elif kind == READ:
            self.used_us = max(self.used_us, int(data))
        elif kind == OPENED:
            self.opened = int(data)
        elif kind == CLAIM:
            claim = _CLAIM.decode(data)
            self.claim, self.producers = claim.key, {WRITER: (claim.epoch, -1)}
            self.used_us = max(self.used_us, id)
        else:
            if kind == DATA:
                self.tail = id
                self.data += len(data)
            said = _MARKS.decode(marks) if marks else Marks()
            if kind == END:
                self.ended, self.ended_by, self.ended_us = True, said.producer, id
                self.end = read_end(data)
            if said.producer is not None:
                self.producers[said.producer.id] = (said.producer.epoch, said.producer.seq)
            if said.seq is not None:
                self.seq = said.seq
            # An id is the time of its storing.
            self.used_us = max(self.used_us, id)
        self.size += len(data) + len(type) + MESSAGE_BYTES

    def _begin(self, id: int, spec: Spec | None) -> None:
        self.created = self.tail = id
        self.spec = spec
        self.size, self.data, self.opened, self.claim = 0, 0, 0, ""
        self.ended, self.ended_by, self.end, self.ended_us = False, None, None, 0
        self.producers, self.seq = {}, None
        if spec is not None and spec.about is not None:
            self.claim, self.producers = spec.about.key, {WRITER: (0, -1)}
        self.used_us = 0 if spec is None else spec.at_us

    def lives(self, now_us: int, bounds: StreamBounds) -> bool:
        """Tell whether the stream exists at this time."""
        spec = self.spec
        if spec is None or now_us >= spec.at_us + bounds.lifetime_us:
            return False
        if spec.expires_us is not None and now_us >= spec.expires_us:
            return False
        if self.ended and bounds.kept_us is not None and now_us >= self.ended_us + bounds.kept_us:
            return False
        return spec.ttl_s is None or now_us < self.used_us + spec.ttl_s * 1_000_000
