"""Changes of a durable stream: what is decided about each by what the stream holds.

A decision is drafts to be stored, and what is answered then.  Rule: nothing is decided here by
anything but the state, the time and the bounds, so a decision that was not stored in time is
made anew on what is there then.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol

import attrs
import msgspec

from takotwist.core.channel import Lifecycle
from takotwist.core.durable_stream import (
    CREATE,
    DATA,
    DELETE,
    DELETED,
    END,
    MARK_BYTES,
    READ,
    End,
    Marks,
    Producer,
    Spec,
    StreamBounds,
    StreamState,
    media_type,
)
from takotwist.core.topic import MESSAGE_BYTES, Draft

#: Seconds between two notes that somebody reads, at least.
_NOTE_S = 1.0


class Result(Enum):
    """Outcome of a request to change a stream."""

    CREATED = "created"
    THERE = "there"
    APPENDED = "appended"
    REPEATED = "repeated"
    ENDED = "ended"
    DELETED = "deleted"
    NOTED = "noted"
    CLAIMED = "taken over"
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
    """Messages to be stored, and the answer for then.

    :ivar drafts: none where nothing is to be stored.
    :ivar lifecycle: of the stream from there on.
    :ivar ended: whether the stream has ended, after it.
    :ivar producer: epoch and highest number that are known now, or the expected number.
    :ivar why: for people.
    :ivar end: how it has ended, where that is said.
    """

    result: Result
    drafts: tuple[Draft, ...] = ()
    lifecycle: Lifecycle | None = None
    ended: bool = False
    producer: tuple[int, int] | None = None
    why: str = ""
    end: End | None = None


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
    :ivar how: it ends, where it ends by this.
    """

    body: bytes = b""
    content_type: str | None = None
    end: bool = False
    producer: Producer | None = None
    seq: str | None = None
    how: End | None = None

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
            if spec.about is not None and spec.about.text and not _is_text(chunks):
                return Decision(Result.BAD_BODY, why="A stream of text takes an array of strings.")
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
        drafts = _drafts(chunks, self.end, self.producer, self.seq, self.how)
        if state.size + _size(drafts) > bounds.max_bytes:
            return Decision(Result.FULL)
        most = bounds.max_data
        if most is not None and chunks and state.data + sum(map(len, chunks)) > most:
            return Decision(Result.FULL)
        result = Result.APPENDED if chunks else Result.ENDED
        lifecycle = bounds.lifecycle(spec, ended=self.end)
        return Decision(result, drafts, lifecycle, self.end, known, end=self.how)

    def _ended(self, state: StreamState) -> Decision:
        producer = self.producer
        if self.end and producer is not None and producer == state.ended_by:
            known = (producer.epoch, producer.seq)
            return Decision(Result.REPEATED, ended=True, producer=known, end=state.end)
        if self.end and not self.body and producer is None:
            return Decision(Result.ENDED, ended=True, end=state.end)
        return Decision(Result.ALREADY_ENDED, ended=True, end=state.end)

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
        """Tell whether it is to be noted now."""
        if state.spec is None or state.spec.ttl_s is None:
            return False
        every_us = max(_NOTE_S, state.spec.ttl_s / 10) * 1_000_000
        # A note is small, and a stream that has no room even for one has had very many.
        room = state.size < bounds.max_bytes + MARK_BYTES
        return room and now_us - state.used_us >= every_us


class Change(Protocol):
    """A change of a stream."""

    def decide(self, state: StreamState, now_us: int, bounds: StreamBounds) -> Decision:
        """See `Decision`."""


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
    how: End | None = None,
) -> tuple[Draft, ...]:
    drafts = [Draft(DATA, chunk) for chunk in chunks]
    said = b"" if how is None else msgspec.json.encode(how)
    if end:
        drafts.append(Draft(END, said))
    if producer is not None or seq is not None:
        marks = " " + msgspec.json.encode(Marks(producer, seq)).decode()
        drafts[0] = Draft(drafts[0].type + marks, drafts[0].data)
        if end:
            # Whoever ended it may ask again, and is told the same.
            drafts[-1] = Draft(END + marks, said)
    return tuple(drafts)


def _is_text(chunks: tuple[bytes, ...]) -> bool:
    """Tell whether all chunks are JSON strings."""
    return all(chunk[:1] == b'"' for chunk in chunks)


def _size(drafts: tuple[Draft, ...]) -> int:
    return sum([len(one.data) + len(one.type) + MESSAGE_BYTES for one in drafts])


def _rises(before: str, after: str) -> bool:
    return after.encode("utf-8", "surrogatepass") > before.encode("utf-8", "surrogatepass")
