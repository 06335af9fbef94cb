"""A durable stream: bytes that are appended, kept with their offsets, and end.

A stream is a topic of the log.  What it is and what it holds are messages: one that creates
it, one for each chunk, one that ends it, one that deletes it.  So a stream's state is what its
messages add up to, and whoever has read them all may decide about the next one.  Rule: a
decision is stored only where nobody else has stored anything since (`Append.after`).

An offset is the id of the last message before it, in 16 digits, so that offsets sort as text.
"""

from __future__ import annotations

from enum import Enum

import attrs
import msgspec

from takotwist.core.channel import MINUTE_MS, Lifecycle
from takotwist.core.topic import MESSAGE_BYTES, Draft, Topic

#: Topics of streams.  Not a channel's name: those begin with a letter or a digit.
CHANNEL = "~stream"

#: Kinds of messages, the first word of their types.
CREATE, DATA, END, DELETE, READ = "create", "data", "end", "delete", "read"

#: How much longer the log keeps a stream than it lives: clocks of nodes differ.
MARGIN_MS = MINUTE_MS

#: Room beside a stream's own bytes for the marks that keep it alive.
MARK_BYTES = 2**20

#: Seconds between two notes that somebody reads, at least.
_NOTE_S = 1.0

_JSON = "application/json"


def topic_of(path: str) -> Topic:
    """The topic of the stream at `path`."""
    return Topic.of(CHANNEL, {"path": path})


def offset_of(id: int) -> str:
    """The offset after the message `id`."""
    return f"{id:016d}"


def media_type(content_type: str) -> str:
    """A content type without its parameters, as two are compared."""
    return content_type.partition(";")[0].strip().lower()


class Spec(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a stream is created as.

    :ivar at_us: when it was created, by unix time.
    :ivar ttl_s: seconds without a read or a write after which it is gone.
    :ivar expires_us: when it is gone, and `expires_at` as its creator wrote that.
    """

    content_type: str
    at_us: int
    ttl_s: int | None = None
    expires_us: int | None = None
    expires_at: str | None = None

    @property
    def is_json(self) -> bool:
        """Whether its chunks are JSON values, each by itself."""
        return media_type(self.content_type) == _JSON

    @property
    def is_text(self) -> bool:
        """Whether an event stream carries it as it is."""
        return self.is_json or media_type(self.content_type).startswith("text/")

    def same(self, other: Spec) -> bool:
        """Whether a stream of `other` is one that may be asked for by this."""
        return (
            media_type(self.content_type) == media_type(other.content_type)
            and self.ttl_s == other.ttl_s
            and self.expires_us == other.expires_us
        )


class Producer(msgspec.Struct, frozen=True, array_like=True):
    """Who appends, so that a retry stores nothing twice and a successor locks out the first."""

    id: str
    epoch: int
    seq: int


class _Marks(msgspec.Struct, frozen=True, array_like=True):
    producer: Producer | None = None
    seq: str | None = None


_SPEC = msgspec.json.Decoder(Spec)
_MARKS = msgspec.json.Decoder(_Marks)


@attrs.frozen(slots=True)
class StreamBounds:
    """Bounds of one stream.

    :ivar max_bytes: of all that it holds.
    :ivar lifetime_us: after its creation it is gone, whatever is read or written.
    :ivar max_producers: that it remembers.
    """

    max_bytes: int
    lifetime_us: int
    max_producers: int

    def lifecycle(self, spec: Spec) -> Lifecycle:
        """How the log is to keep a stream: all of it, for as long as it may live.

        A stream never loses its old end, so these bounds are above its own.
        """
        life_ms = min(self.lifetime_us // 1000, 365 * 24 * 60 * MINUTE_MS)
        idle_ms = life_ms
        if spec.ttl_s is not None:
            idle_ms = min(idle_ms, spec.ttl_s * 1000)
        if spec.expires_us is not None:
            idle_ms = min(idle_ms, max(0, spec.expires_us - spec.at_us) // 1000)
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
    """What a stream's messages add up to.

    :ivar position: all messages of the topic with an id up to it are in this.
    :ivar created: id of the message that created it, 0 where there is no stream.
    :ivar tail: id of the last chunk, or `created`.
    :ivar size: as the log counts it.
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
    ended: bool = False
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
            self._begin(id, spec, len(data))
        elif not self.created:
            return
        elif kind == DELETE:
            self._begin(0, None, 0)
            return
        elif kind == READ:
            self.used_us = max(self.used_us, int(data))
        else:
            if kind == DATA:
                self.tail = id
            said = _MARKS.decode(marks) if marks else _Marks()
            if kind == END:
                self.ended, self.ended_by = True, said.producer
            if said.producer is not None:
                self.producers[said.producer.id] = (said.producer.epoch, said.producer.seq)
            if said.seq is not None:
                self.seq = said.seq
            # An id is the time of its storing.
            self.used_us = max(self.used_us, id)
        self.size += len(data) + len(type) + MESSAGE_BYTES

    def _begin(self, id: int, spec: Spec | None, size: int) -> None:
        self.created = self.tail = id
        self.spec = spec
        self.size, self.ended, self.ended_by = 0, False, None
        self.producers, self.seq = {}, None
        self.used_us = 0 if spec is None else spec.at_us

    def lives(self, now_us: int, bounds: StreamBounds) -> bool:
        """Whether there is a stream at this time."""
        spec = self.spec
        if spec is None or now_us >= spec.at_us + bounds.lifetime_us:
            return False
        if spec.expires_us is not None and now_us >= spec.expires_us:
            return False
        return spec.ttl_s is None or now_us < self.used_us + spec.ttl_s * 1_000_000


class Result(Enum):
    """How a request to change a stream ended."""

    CREATED = "created"
    THERE = "there"
    APPENDED = "appended"
    REPEATED = "repeated"
    ENDED = "ended"
    DELETED = "deleted"
    NOTED = "noted"
    # and refusals
    NOT_THERE = "not there"
    DIFFERENT = "another stream is there"
    ALREADY_ENDED = "the stream has ended"
    OTHER_TYPE = "another content type"
    BAD_BODY = "no such body"
    STALE_EPOCH = "a later epoch of the producer is known"
    BAD_EPOCH = "a new epoch begins at 0"
    GAP = "a number of the producer is missing"
    OLD_SEQ = "Stream-Seq does not rise"
    FULL = "the stream is full"
    TOO_MANY_PRODUCERS = "too many producers"


@attrs.frozen(slots=True)
class Decision:
    """What is to be stored, and what is answered then.

    :ivar drafts: none where nothing is to be stored.
    :ivar lifecycle: of the stream from there on.
    :ivar ended: whether the stream has ended, after it.
    :ivar producer: epoch and highest number that are known now, or the expected number.
    :ivar why: for people.
    """

    result: Result
    drafts: tuple[Draft, ...] = ()
    lifecycle: Lifecycle | None = None
    ended: bool = False
    producer: tuple[int, int] | None = None
    why: str = ""


@attrs.frozen(slots=True)
class Create:
    """Have a stream."""

    spec: Spec
    body: bytes = b""
    end: bool = False

    def decide(self, state: StreamState, now_us: int, bounds: StreamBounds) -> Decision:
        """See `Decision`."""
        if state.lives(now_us, bounds):
            assert state.spec is not None
            if not self.spec.same(state.spec) or self.end != state.ended:
                return Decision(Result.DIFFERENT, ended=state.ended)
            return Decision(Result.THERE, ended=state.ended)
        chunks = split(self.spec, self.body) if self.body else ()
        if chunks is None:
            return Decision(Result.BAD_BODY, why="The body is no JSON.")
        drafts = (Draft(CREATE, msgspec.json.encode(self.spec)), *_drafts(chunks, self.end))
        if _size(drafts) > bounds.max_bytes:
            return Decision(Result.FULL)
        return Decision(Result.CREATED, drafts, bounds.lifecycle(self.spec), self.end)


@attrs.frozen(slots=True)
class Write:
    """Append to a stream, end it, or both.

    :ivar content_type: of the body, where it was said.
    :ivar seq: ``Stream-Seq``.
    """

    body: bytes = b""
    content_type: str | None = None
    end: bool = False
    producer: Producer | None = None
    seq: str | None = None

    @property
    def size(self) -> int:
        """Bytes, for bounds."""
        return len(self.body)

    def decide(self, state: StreamState, now_us: int, bounds: StreamBounds) -> Decision:
        """See `Decision`."""
        if not state.lives(now_us, bounds):
            return Decision(Result.NOT_THERE)
        spec = state.spec
        assert spec is not None
        if state.ended:
            return self._ended(state)
        chunks: tuple[bytes, ...] | None = ()
        if self.body:
            if media_type(self.content_type or "") != media_type(spec.content_type):
                return Decision(Result.OTHER_TYPE)
            chunks = split(spec, self.body)
            if chunks is None:
                return Decision(Result.BAD_BODY, why="The body is no JSON.")
        assert chunks is not None
        if not chunks and (self.body or not self.end):
            return Decision(Result.BAD_BODY, why="The body has nothing to append.")
        known = None
        if self.producer is not None:
            verdict = self._judge(self.producer, state, bounds)
            if verdict is not None:
                return verdict
            known = (self.producer.epoch, self.producer.seq)
        if self.seq is not None and state.seq is not None and not _rises(state.seq, self.seq):
            return Decision(Result.OLD_SEQ)
        drafts = _drafts(chunks, self.end, self.producer, self.seq)
        if state.size + _size(drafts) > bounds.max_bytes:
            return Decision(Result.FULL)
        result = Result.APPENDED if chunks else Result.ENDED
        return Decision(result, drafts, bounds.lifecycle(spec), self.end, known)

    def _ended(self, state: StreamState) -> Decision:
        producer = self.producer
        if self.end and producer is not None and producer == state.ended_by:
            known = (producer.epoch, producer.seq)
            return Decision(Result.REPEATED, ended=True, producer=known)
        if self.end and not self.body and producer is None:
            return Decision(Result.ENDED, ended=True)
        return Decision(Result.ALREADY_ENDED, ended=True)

    def _judge(
        self, producer: Producer, state: StreamState, bounds: StreamBounds
    ) -> Decision | None:
        """Anything but "store it"."""
        known = state.producers.get(producer.id)
        if known is None:
            if len(state.producers) >= bounds.max_producers:
                return Decision(Result.TOO_MANY_PRODUCERS)
            known = (producer.epoch, -1)
        epoch, last = known
        if producer.epoch < epoch:
            return Decision(Result.STALE_EPOCH, producer=known)
        if producer.epoch > epoch:
            return Decision(Result.BAD_EPOCH) if producer.seq else None
        if producer.seq <= last:
            return Decision(Result.REPEATED, producer=known)
        if producer.seq > last + 1:
            return Decision(Result.GAP, producer=(epoch, last + 1))
        return None


@attrs.frozen(slots=True)
class Delete:
    """Have no stream."""

    def decide(self, state: StreamState, now_us: int, bounds: StreamBounds) -> Decision:
        """See `Decision`."""
        if not state.lives(now_us, bounds):
            return Decision(Result.NOT_THERE)
        return Decision(Result.DELETED, (Draft(DELETE, b""),), DELETED)


@attrs.frozen(slots=True)
class NoteRead:
    """Somebody reads: a stream that is gone when nobody does lives on."""

    def decide(self, state: StreamState, now_us: int, bounds: StreamBounds) -> Decision:
        """See `Decision`."""
        spec = state.spec
        if not state.lives(now_us, bounds) or spec is None or not self.due(state, now_us, bounds):
            return Decision(Result.NOTED, ended=state.ended)
        return Decision(
            Result.NOTED,
            (Draft(READ, b"%d" % now_us),),
            bounds.lifecycle(spec),
            state.ended,
        )

    @staticmethod
    def due(state: StreamState, now_us: int, bounds: StreamBounds) -> bool:
        """Whether it is to be noted now."""
        if state.spec is None or state.spec.ttl_s is None:
            return False
        every_us = max(_NOTE_S, state.spec.ttl_s / 10) * 1_000_000
        # A note is small, and a stream that has no room even for one has had very many.
        room = state.size < bounds.max_bytes + MARK_BYTES
        return room and now_us - state.used_us >= every_us


Change = Create | Write | Delete | NoteRead


def split(spec: Spec, body: bytes) -> tuple[bytes, ...] | None:
    """The chunks of a body: in a stream of JSON the elements of an array, or the one value.

    :return: `None` where it should be JSON and is not.
    """
    if not spec.is_json:
        return (body,)
    try:
        msgspec.json.decode(body)
        if body.lstrip()[:1] != b"[":
            return (body.strip(),)
        return tuple(
            bytes(one).strip() for one in msgspec.json.decode(body, type=list[msgspec.Raw])
        )
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def joined(spec: Spec, chunks: list[bytes]) -> bytes:
    """Chunks as they are read."""
    return b"[%b]" % b",".join(chunks) if spec.is_json else b"".join(chunks)


def _drafts(
    chunks: tuple[bytes, ...],
    end: bool,
    producer: Producer | None = None,
    seq: str | None = None,
) -> tuple[Draft, ...]:
    drafts = [Draft(DATA, chunk) for chunk in chunks]
    if end:
        drafts.append(Draft(END, b""))
    if producer is not None or seq is not None:
        marks = " " + msgspec.json.encode(_Marks(producer, seq)).decode()
        drafts[0] = Draft(drafts[0].type + marks, drafts[0].data)
        if end:
            # Whoever ended it may ask again, and is told the same.
            drafts[-1] = Draft(END + marks, b"")
    return tuple(drafts)


def _size(drafts: tuple[Draft, ...]) -> int:
    return sum([len(one.data) + len(one.type) + MESSAGE_BYTES for one in drafts])


def _rises(before: str, after: str) -> bool:
    return after.encode("utf-8", "surrogatepass") > before.encode("utf-8", "surrogatepass")
