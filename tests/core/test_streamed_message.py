"""What is decided about a streamed message by what its stream holds."""

from __future__ import annotations

import json

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.durable_stream import WRITER, About, End, Producer, StreamState
from takotwist.core.stream_change import Change, Decision, Result, Write
from takotwist.core.streamed_message import (
    Cancel,
    Expire,
    MessageBounds,
    NoteOpened,
    Open,
    Renew,
    final,
    key_of,
    opening,
    spec_of,
    stream_of,
)
from takotwist.core.topic import Topic

SECOND = 1_000_000
NOW = 1_763_700_000 * SECOND

BOUNDS = MessageBounds(
    bytes=100, open_us=60 * SECOND, lease_us=10 * SECOND, kept_us=30 * SECOND, max_open=2
)
ABOUT = About("chat", {"roomId": "a"}, "b7c1", "answer", "k1")
VALUES = About("chat", {"roomId": "a"}, "b7c1", "answer", "k1", text=False)


class Message:
    """A message whose changes are all stored, one microsecond after the other."""

    def __init__(self, about: About = ABOUT) -> None:
        self.state = StreamState()
        self.now = NOW
        self.about = about
        assert self.open("k1").result is Result.CREATED

    def change(self, change: Change) -> Decision:
        """Decide, and store."""
        decision = change.decide(self.state, self.now, BOUNDS.of_stream)
        for draft in decision.drafts:
            self.now += 1
            self.state.apply(self.now, draft.type, draft.data)
        return decision

    def open(self, key: str, about: About | None = None, **more: bool) -> Decision:
        """Open it, or again."""
        about = msgspec.structs.replace(about or self.about, key=key)
        return self.change(Open(spec_of(about, self.now), key, **more))

    def write(self, *values: object, epoch: int = 0, seq: int = 0, end: str = "") -> Decision:
        """Append, or end."""
        body = json.dumps(values).encode() if values else b""
        producer = Producer(WRITER, epoch, seq)
        how = End(end) if end else None
        return self.change(Write(body, "application/json", bool(end), producer, how=how))

    def expire(self, since: int = 0) -> Decision:
        """Look whether its time is over."""
        return self.change(Expire(BOUNDS, since))


class DecisionTests(SynchronousTestCase):
    """Decisions."""

    def test_opened_once(self) -> None:
        """The same request is told the same; another one is refused."""
        message = Message()
        again = message.open("k1")
        self.assertEqual((again.result, again.drafts, again.producer), (Result.THERE, (), (0, -1)))
        self.assertIs(message.open("k2").result, Result.DIFFERENT)

    def test_taken_over(self) -> None:
        """A second writer has the next epoch, once for its key, and locks the first one out."""
        message = Message()
        message.write("a")
        for _ in range(2):
            taken = message.open("k2", resume=True)
            self.assertEqual(taken.producer, (1, -1))
        self.assertIs(message.write("b", seq=1).result, Result.STALE_EPOCH)
        self.assertIs(message.change(Renew(0)).result, Result.STALE_EPOCH)
        self.assertIs(message.write("b", epoch=1).result, Result.APPENDED)
        self.assertEqual(message.open("k3", resume=True).producer, (2, -1))

    def test_not_taken_over(self) -> None:
        """What is another message, or has ended."""
        message = Message()
        self.assertIs(message.open("k2", VALUES, resume=True).result, Result.DIFFERENT)
        message.write(end="ended")
        self.assertIs(message.open("k2", resume=True).result, Result.ALREADY_ENDED)

    def test_numbers(self) -> None:
        """A request is stored once, and none is skipped."""
        message = Message()
        self.assertIs(message.write("a", seq=0).result, Result.APPENDED)
        self.assertIs(message.write("a", seq=0).result, Result.REPEATED)
        self.assertIs(message.write("c", seq=2).result, Result.GAP)
        self.assertIs(message.write("b", seq=1, end="ended").result, Result.APPENDED)
        again = message.write("b", seq=1, end="ended")
        self.assertEqual((again.result, again.end), (Result.REPEATED, End("ended")))

    def test_other_producers(self) -> None:
        """There is one."""
        write = Write(b'["a"]', "application/json", producer=Producer("other", 0, 0))
        self.assertIs(Message().change(write).result, Result.TOO_MANY_PRODUCERS)

    def test_text_is_strings(self) -> None:
        """Of a text; values are anything."""
        self.assertIs(Message().write("a", 1).result, Result.BAD_BODY)
        self.assertIs(Message(VALUES).write("a", 1, None, {}).result, Result.APPENDED)
        write = Write(b'["\\ud800"]', "application/json", producer=Producer(WRITER, 0, 0))
        self.assertIs(Message().change(write).result, Result.BAD_BODY)

    def test_full(self) -> None:
        """By the bytes that were written, and it can be ended then."""
        message = Message()
        self.assertIs(message.write("x" * 98).result, Result.APPENDED)
        self.assertIs(message.write("x", seq=1).result, Result.FULL)
        self.assertIs(message.write(seq=1, end="failed").result, Result.ENDED)

    def test_ends_once(self) -> None:
        """Whoever comes second is told how it ended."""
        message = Message()
        self.assertEqual(message.change(Cancel()).end, End("cancelled"))
        late = message.write("a", end="ended")
        self.assertEqual((late.result, late.end), (Result.ALREADY_ENDED, End("cancelled")))
        again = message.change(Cancel())
        self.assertEqual((again.result, again.drafts, again.end), (Result.ENDED, (), late.end))
        self.assertEqual(message.change(Renew(0)).end, End("cancelled"))

    def test_writer_gone(self) -> None:
        """After its lease since it was last heard, and since it could be heard at all."""
        message = Message()
        message.now += 9 * SECOND
        self.assertFalse(message.expire().ended)
        message.change(Renew(0))
        message.now += 9 * SECOND
        self.assertFalse(message.expire().ended)
        message.write("a")
        message.now += 10 * SECOND
        self.assertFalse(message.expire(since=message.now - SECOND).ended)
        self.assertEqual(message.expire().end, End("failed", "writer-gone"))
        self.assertEqual(message.expire().drafts, ())

    def test_too_long(self) -> None:
        """However often its writer is heard."""
        message = Message()
        for _ in range(10):
            message.now += 6 * SECOND
            message.change(Renew(0))
        self.assertEqual(message.expire().end, End("failed", "too-long"))

    def test_kept(self) -> None:
        """For a while after its end, and then one of its id is another one."""
        message = Message()
        message.write("a", end="ended")
        message.now += 29 * SECOND
        self.assertIs(message.change(Cancel()).result, Result.ENDED)
        message.now += 2 * SECOND
        for change in (Cancel(), Renew(0), NoteOpened(1), Expire(BOUNDS, 0)):
            self.assertIs(message.change(change).result, Result.NOT_THERE, change)
        self.assertIs(message.open("k9").result, Result.CREATED)
        self.assertEqual((message.state.data, message.state.end), (0, None))

    def test_kept_by_the_log(self) -> None:
        """The log keeps all of it while it is open, and not for longer than it is kept."""
        bounds = BOUNDS.of_stream
        open_now = bounds.lifecycle(spec_of(ABOUT, NOW))
        ended = bounds.lifecycle(spec_of(ABOUT, NOW), ended=True)
        self.assertGreater(open_now.inactivity_ttl_ms, 60_000)
        self.assertGreater(open_now.replay_window_ms, 60_000 + 30_000)
        self.assertEqual(ended.replay_window_ms, open_now.replay_window_ms)
        self.assertEqual(ended.inactivity_ttl_ms, 30_000 + 60_000)

    def test_notes(self) -> None:
        """The id of its opening message is known from its stream."""
        message = Message()
        message.change(NoteOpened(77))
        self.assertEqual((message.state.opened, message.state.claim), (77, "k1"))


class DataTests(SynchronousTestCase):
    """The two messages of the topic."""

    def test_text(self) -> None:
        """The final one has all of it."""
        self.assertEqual(
            json.loads(opening(ABOUT)), {"stream": {"id": "b7c1", "state": "open"}, "text": ""}
        )
        end = End("failed", "failed", "No more.")
        self.assertEqual(
            json.loads(final(ABOUT, end, 77, [b'"He\\n"', b'"llo"'])),
            {
                "stream": {
                    "id": "b7c1",
                    "state": "failed",
                    "opened": "77",
                    "reason": "failed",
                    "error": "No more.",
                },
                "text": "He\nllo",
            },
        )

    def test_values(self) -> None:
        """As they were written, byte for byte, and what was said at the opening."""
        about = msgspec.structs.replace(VALUES, meta=msgspec.Raw(b'{"a":1}'))
        data = final(about, End("ended"), 0, [b"1.50", b'{"b": 2}'])
        self.assertIn(b'"items":[1.50,{"b": 2}]', data)
        self.assertIn(b'"meta":{"a":1}', data)
        self.assertNotIn(b"opened", data)

    def test_names(self) -> None:
        """No two messages share a stream or a key."""
        room, other = Topic.of("chat", {"roomId": "a"}), Topic.of("chat", {"roomId": "b"})
        streams = {stream_of(room, "1"), stream_of(room, "2"), stream_of(other, "1")}
        self.assertEqual(len(streams), 3)
        self.assertNotEqual(key_of(ABOUT, NOW), key_of(ABOUT, NOW + 1))
