"""What is decided about a stream by what it holds, without a log and without a server."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.durable_stream import (
    DATA,
    END,
    Producer,
    Spec,
    StreamBounds,
    StreamState,
)
from takotwist.core.stream_change import (
    Change,
    Create,
    Decision,
    Delete,
    NoteRead,
    Result,
    Write,
    split,
)

NOW = 1_763_700_000_000_000
SECOND = 1_000_000

BOUNDS = StreamBounds(max_bytes=10_000, lifetime_us=3600 * SECOND, max_producers=2)
TEXT = Spec("text/plain", NOW)
JSON = Spec("application/json; charset=utf-8", NOW)


class Stream:
    """A stream whose changes are all stored, one microsecond after the other."""

    def __init__(self, spec: Spec = TEXT) -> None:
        self.state = StreamState()
        self.now = NOW
        assert self.change(Create(spec)).result is Result.CREATED

    def change(self, change: Change) -> Decision:
        """Decide, and store."""
        decision = change.decide(self.state, self.now, BOUNDS)
        for draft in decision.drafts:
            self.now += 1
            self.state.apply(self.now, draft.type, draft.data)
        return decision

    def write(self, body: bytes = b"x", type: str = "text/plain", **more: object) -> Result:
        """Append."""
        return self.change(Write(body, type, **more)).result  # type: ignore[arg-type]

    def by(self, name: str, epoch: int, number: int, **more: object) -> Decision:
        """Append as a producer."""
        producer = Producer(name, epoch, number)
        return self.change(Write(b"x", "text/plain", producer=producer, **more))  # type: ignore[arg-type]


class DecisionTests(SynchronousTestCase):
    """Decisions."""

    def test_created_once(self) -> None:
        """The same stream may be created again, and another one may not; an end counts."""
        stream = Stream(Spec("text/plain", NOW, ttl_s=60))
        for spec, end, result in (
            (Spec("Text/Plain", NOW + 5, ttl_s=60), False, Result.THERE),
            (Spec("text/plain", NOW, ttl_s=61), False, Result.DIFFERENT),
            (Spec("text/html", NOW, ttl_s=60), False, Result.DIFFERENT),
            (Spec("text/plain", NOW, ttl_s=60), True, Result.DIFFERENT),
        ):
            decision = stream.change(Create(spec, b"more", end))
            self.assertEqual((decision.result, decision.drafts), (result, ()))

    def test_ends_once(self) -> None:
        """An end is final; to end without a body is told the same again."""
        stream = Stream()
        tail = stream.now
        self.assertEqual(stream.write(b"", end=True), Result.ENDED)
        self.assertEqual(stream.state.tail, tail)
        self.assertEqual(stream.write(b"", end=True), Result.ENDED)
        self.assertEqual(stream.write(b"x", end=True), Result.ALREADY_ENDED)
        self.assertEqual(stream.write(), Result.ALREADY_ENDED)
        self.assertEqual(stream.write(b"x", "text/html"), Result.ALREADY_ENDED)

    def test_last_chunk_and_end(self) -> None:
        """Are stored together."""
        stream = Stream()
        decision = stream.change(Write(b"last", "text/plain", end=True))
        self.assertEqual([one.type for one in decision.drafts], [DATA, END])
        self.assertTrue(stream.state.ended)

    def test_producer(self) -> None:
        """Each number once and in order; a later epoch locks out the earlier one."""
        stream = Stream()
        for epoch, seq, result, known in (
            (0, 0, Result.APPENDED, (0, 0)),
            (0, 0, Result.REPEATED, (0, 0)),
            (0, 2, Result.GAP, (0, 1)),
            (0, 1, Result.APPENDED, (0, 1)),
            (0, 0, Result.REPEATED, (0, 1)),
            (1, 1, Result.BAD_EPOCH, None),
            (1, 0, Result.APPENDED, (1, 0)),
            (0, 2, Result.STALE_EPOCH, (1, 0)),
        ):
            decision = stream.by("a", epoch, seq)
            self.assertEqual((decision.result, decision.producer), (result, known), (epoch, seq))
        self.assertEqual(stream.by("b", 0, 0).result, Result.APPENDED)
        self.assertEqual(stream.by("c", 0, 0).result, Result.TOO_MANY_PRODUCERS)

    def test_producer_that_begins_later(self) -> None:
        """Whose first number is not 0 has lost something."""
        decision = Stream().by("a", 3, 1)
        self.assertEqual((decision.result, decision.producer), (Result.GAP, (3, 0)))

    def test_end_by_a_producer(self) -> None:
        """Its retry is told the same; anybody else is refused."""
        stream = Stream()
        self.assertEqual(stream.by("a", 0, 0, end=True).result, Result.APPENDED)
        self.assertEqual(stream.by("a", 0, 0, end=True).result, Result.REPEATED)
        self.assertEqual(stream.by("a", 0, 1, end=True).result, Result.ALREADY_ENDED)
        self.assertEqual(stream.by("b", 0, 0, end=True).result, Result.ALREADY_ENDED)

    def test_stream_seq(self) -> None:
        """Rises by its bytes."""
        stream = Stream()
        for seq, result in (
            ("09", Result.APPENDED),
            ("09", Result.OLD_SEQ),
            ("10", Result.APPENDED),
            ("2", Result.APPENDED),
            ("11", Result.OLD_SEQ),
            ("a", Result.APPENDED),
            ("B", Result.OLD_SEQ),
        ):
            self.assertEqual(stream.write(seq=seq), result, seq)

    def test_refused_bodies(self) -> None:
        """None, one of another type, one that is no JSON."""
        stream = Stream(JSON)
        for body, kind, result in (
            (b"", "application/json", Result.BAD_BODY),
            (b"[]", "application/json", Result.BAD_BODY),
            (b"{", "application/json", Result.BAD_BODY),
            (b"[1,]", "application/json", Result.BAD_BODY),
            (b"[" * 100_000, "application/json", Result.BAD_BODY),
            (b"1", "text/plain", Result.OTHER_TYPE),
            (b"1", "Application/JSON;charset=x", Result.APPENDED),
        ):
            self.assertEqual(stream.write(body, kind), result, body[:9])

    def test_json_is_split_once(self) -> None:
        """One level of an array, whose elements stay as they were written."""
        self.assertEqual(
            split(JSON, b' [1, [2, 3],\n {"a": 1.0} ]'), (b"1", b"[2, 3]", b'{"a": 1.0}')
        )
        self.assertEqual(split(JSON, b' {"a":[1]} '), (b'{"a":[1]}',))
        self.assertEqual(split(JSON, b"[[1,2]]"), (b"[1,2]",))
        self.assertEqual(split(TEXT, b"[1, 2]"), (b"[1, 2]",))

    def test_full(self) -> None:
        """A stream that is full takes no more, and can still be read, and deleted."""
        stream = Stream()
        self.assertEqual(stream.write(b"x" * 9_000), Result.APPENDED)
        self.assertEqual(stream.write(b"x" * 1_000), Result.FULL)
        self.assertEqual(stream.change(Delete()).result, Result.DELETED)

    def test_reads_are_noted_seldom(self) -> None:
        """Only where a time to live depends on it."""
        stream = Stream(Spec("text/plain", NOW, ttl_s=100))
        stream.now = NOW + 9 * SECOND
        self.assertFalse(NoteRead.due(stream.state, stream.now, BOUNDS))
        stream.now = NOW + 10 * SECOND
        self.assertTrue(NoteRead.due(stream.state, stream.now, BOUNDS))
        self.assertFalse(NoteRead.due(Stream().state, stream.now, BOUNDS))

    def test_deleted(self) -> None:
        """Nothing of it is known to the next one of its path."""
        stream = Stream()
        stream.by("a", 5, 0, seq="z")
        self.assertEqual(stream.change(Delete()).result, Result.DELETED)
        self.assertEqual(stream.change(Delete()).result, Result.NOT_THERE)
        stream.change(Create(TEXT))
        self.assertEqual(stream.by("a", 0, 0, seq="a").result, Result.APPENDED)
