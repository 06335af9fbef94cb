"""The frames between a worker's log and the log's writer, over a Unix socket.

A frame is its length in four bytes and a MessagePack array.  Each side sends one kind of
union, so a frame that is none of it is an error of the program, and the connection is dropped.
A change of what is here is another version of the frames (`frame_reader`).
Text goes as UTF-8 bytes: a type may hold a lone surrogate, as JSON may.

Rule: what the writer says comes in one order, so that a worker knows its head after each frame.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from takotwist.adapters.shared.frame_reader import LENGTH
from takotwist.core.log import Append, Appended, LogStats, Page, Reported, numbered
from takotwist.core.node import Node
from takotwist.core.retention import Bounds, bounds_of, lifecycle_of
from takotwist.core.topic import Draft, Message, Topic

#: In the place of a first id: see `Appended.full`.
FULL = -1

#: Of a message: id, type, data, and its place in a numbered topic.
Stored = tuple[int, bytes, bytes, tuple[int, int] | None]


class Entry(msgspec.Struct, array_like=True, frozen=True):
    """An `Append`.

    :ivar deleting: the places of drafts that end their keys.
    """

    key: bytes
    drafts: list[tuple[bytes, bytes]]
    bounds: Bounds
    idempotency_key: bytes | None
    numbered: bool
    keys: list[bytes] = []
    kept: bool = False
    after: int | None = None
    max_kept: int = 0
    deleting: list[int] = []


class Hello(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """The first frame of a worker: who it is, and what it has been told of.

    :ivar node: names this run of the worker.
    :ivar head: of its log.
    :ivar follows: keys of topics.
    """

    node: str
    head: int
    follows: list[bytes]


class Follow(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """Report a topic.  Answered by `Done`."""

    call: int
    key: bytes


class Unfollow(msgspec.Struct, array_like=True, frozen=True, tag=3):
    """Report it no longer."""

    key: bytes


class AppendBatch(msgspec.Struct, array_like=True, frozen=True, tag=4):
    """Store a batch.  Answered by `Answers`."""

    call: int
    number: int
    entries: list[Entry]


class Read(msgspec.Struct, array_like=True, frozen=True, tag=5):
    """Read a page.  Answered by `PageRead`."""

    call: int
    key: bytes
    after: int
    limit: int
    max_bytes: int


class Newest(msgspec.Struct, array_like=True, frozen=True, tag=6):
    """The head.  Answered by `Number`."""

    call: int


class Stats(msgspec.Struct, array_like=True, frozen=True, tag=7):
    """The size of the log.  Answered by `StatsRead`."""

    call: int


class Renew(msgspec.Struct, array_like=True, frozen=True, tag=8):
    """State of this worker, for the others.  Answered by `Done`, so that a writer that hangs is
    noticed by a worker that asks for nothing."""

    call: int
    info: bytes


class Nodes(msgspec.Struct, array_like=True, frozen=True, tag=9):
    """The workers that are there.  Answered by `NodesRead`."""

    call: int


class Welcome(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """The answer to `Hello`.

    :ivar head: of the log; reports go on from it.
    :ivar changed: those followed topics of which something was stored or removed since the
        worker's own head.
    """

    head: int
    changed: list[bytes]


class TopicReport(msgspec.Struct, array_like=True, frozen=True):
    """A `Reported`."""

    key: bytes
    bounds: Bounds
    messages: list[Stored]
    keys: list[bytes | None] = []


class ReportFrame(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """Messages stored in the ids after `before`, up to `head`.

    :ivar skipped: followed topics of which messages may be missing here.
    """

    before: int
    head: int
    topics: list[msgspec.Raw]
    skipped: list[bytes] = []


class Done(msgspec.Struct, array_like=True, frozen=True, tag=3):
    """It is done."""

    call: int


class Failed(msgspec.Struct, array_like=True, frozen=True, tag=4):
    """The log cannot be used now."""

    call: int


class Answers(msgspec.Struct, array_like=True, frozen=True, tag=5):
    """The answers to a batch, in its order.

    :ivar answers: of each entry the id of its first message, 0 where none is stored and `FULL`
        where there was no room for it, its place, and the messages where they are those of an
        earlier append.
    """

    call: int
    answers: list[tuple[int, tuple[int, int] | None, list[Stored] | None]]


class PageRead(msgspec.Struct, array_like=True, frozen=True, tag=6):
    """A page."""

    call: int
    messages: list[Stored]
    more: bool
    head: int
    removed: int


class Number(msgspec.Struct, array_like=True, frozen=True, tag=7):
    """A number."""

    call: int
    number: int


class StatsRead(msgspec.Struct, array_like=True, frozen=True, tag=8):
    """The size of the log."""

    call: int
    topics: int
    messages: int
    bytes: int


class NodesRead(msgspec.Struct, array_like=True, frozen=True, tag=9):
    """The workers that are there: name, since when by unix time, and what each says of itself."""

    call: int
    nodes: list[tuple[str, float, bytes]]


Asked = Hello | Follow | Unfollow | AppendBatch | Read | Newest | Stats | Renew | Nodes
#: Of one call.
Answer = Done | Failed | Answers | PageRead | Number | StatsRead | NodesRead
Told = Welcome | ReportFrame | Answer

ASKED = msgspec.msgpack.Decoder(Asked)
TOLD = msgspec.msgpack.Decoder(Told)
_TOPIC = msgspec.msgpack.Decoder(TopicReport)
_ENCODER = msgspec.msgpack.Encoder()


def encode(frame: Asked | Told) -> bytes:
    """A frame with its length."""
    body = _ENCODER.encode(frame)
    return LENGTH.pack(len(body)) + body


def text(data: bytes) -> str:
    """Text of a frame."""
    return data.decode("utf-8", "surrogatepass")


def data_of(value: str) -> bytes:
    """Text for a frame."""
    return value.encode("utf-8", "surrogatepass")


def entry_of(append: Append) -> Entry:
    """An append, for a frame."""
    key = append.idempotency_key
    return Entry(
        data_of(append.topic.key),
        [(data_of(draft.type), draft.data) for draft in append.drafts],
        bounds_of(append.lifecycle),
        None if key is None else data_of(key),
        append.numbered,
        list(map(data_of, append.keys)),
        append.kept,
        append.after,
        append.max_kept,
        [at for at, draft in enumerate(append.drafts) if draft.delete] if append.keys else [],
    )


def append_of(entry: Entry) -> Append:
    """An append from a frame; of its topic there is the key alone."""
    key = entry.idempotency_key
    drafts = [Draft(text(kind), data) for kind, data in entry.drafts]
    for at in entry.deleting:
        drafts[at] = msgspec.structs.replace(drafts[at], delete=True)
    return Append(
        named(entry.key),
        tuple(drafts),
        lifecycle_of(entry.bounds),
        None if key is None else text(key),
        entry.numbered,
        tuple(map(text, entry.keys)),
        entry.kept,
        entry.after,
        entry.max_kept,
    )


def named(key: bytes) -> Topic:
    """A topic of which only the key is known, as a log knows it."""
    return Topic("", {}, text(key))


def stored_of(messages: Sequence[Message]) -> list[Stored]:
    """Messages, for a frame."""
    return [(one.id, data_of(one.type), one.data, one.place) for one in messages]


def messages_of(topic: Topic, stored: Sequence[Stored]) -> tuple[Message, ...]:
    """Messages from a frame."""
    return tuple(
        [Message(topic, number, text(kind), data, place) for number, kind, data, place in stored]
    )


def topic_report(reported: Reported) -> msgspec.Raw:
    """The report of one topic, encoded once for all who are sent it."""
    frame = TopicReport(
        data_of(reported.key),
        bounds_of(reported.lifecycle),
        stored_of(reported.messages),
        [None if key is None else data_of(key) for key in reported.keys],
    )
    return msgspec.Raw(_ENCODER.encode(frame))


def topic_report_of(raw: msgspec.Raw) -> TopicReport:
    """The report of one topic, decoded."""
    return _TOPIC.decode(raw)


def reported_of(frame: TopicReport, topic: Topic) -> Reported:
    """The report of `topic`."""
    keys = [None if key is None else text(key) for key in frame.keys]
    messages = messages_of(topic, frame.messages)
    return Reported(topic.key, lifecycle_of(frame.bounds), messages, keys)


def appended_of(frame: Answers, entries: Sequence[Append]) -> list[Appended]:
    """The answers to a batch of `entries`."""
    return [_answer(entry, *answer) for entry, answer in zip(entries, frame.answers, strict=True)]


def _answer(
    entry: Append, first: int, place: tuple[int, int] | None, repeated: Sequence[Stored] | None
) -> Appended:
    if repeated is not None:
        return Appended(messages_of(entry.topic, repeated), repeated=True)
    if first == FULL:
        return Appended((), full=True)
    if not first:
        return Appended(())
    messages: tuple[Message, ...] = tuple(
        [
            Message(entry.topic, number, draft.type, draft.data)
            for number, draft in enumerate(entry.drafts, first)
        ]
    )
    if place is not None:
        epoch, seq = place
        messages = numbered(messages, (epoch, seq - 1))
    return Appended(messages)


def page_of(frame: PageRead, topic: Topic) -> Page:
    """A page of `topic`."""
    return Page(messages_of(topic, frame.messages), frame.more, frame.head, frame.removed)


def number_of(frame: Number) -> int:
    """A number."""
    return frame.number


def stats_of(frame: StatsRead) -> LogStats:
    """The size of the log."""
    return LogStats(frame.topics, frame.messages, frame.bytes)


def nodes_of(frame: NodesRead) -> list[Node]:
    """The workers."""
    return [Node(*row) for row in frame.nodes]
