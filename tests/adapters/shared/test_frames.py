"""Frames between a worker's log and the writer: both ways, and what each answer means."""

from __future__ import annotations

import hashlib
from typing import Any, get_args

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.shared import frames
from takotwist.adapters.shared.frame_reader import LENGTH, VERSION
from takotwist.adapters.shared.frames import (
    ASKED,
    FULL,
    TOLD,
    Answers,
    Asked,
    NodesRead,
    PageRead,
    ReportFrame,
    StatsRead,
    Told,
    append_of,
    appended_of,
    data_of,
    encode,
    entry_of,
    messages_of,
    named,
    nodes_of,
    page_of,
    reported_of,
    stats_of,
    stored_of,
    text,
    topic_report,
    topic_report_of,
)
from takotwist.core.channel import Lifecycle
from takotwist.core.log import Append, Appended, LogStats, Page, Reported
from takotwist.core.node import Node
from takotwist.core.topic import Draft, Message, Topic

LOBBY = Topic.of("chat", {"roomId": "lobby"})
#: All of which concerns a log, each other than by default.
LIFECYCLE = Lifecycle(
    replay_window_ms=1000, inactivity_ttl_ms=2000, replay_max_messages=3, replay_max_bytes=4096
)
HALF = "a\ud800"


def made(kind: Any) -> Any:
    """A frame with something in each place."""
    values: dict[Any, Any] = {int: 70_000, bool: True, bytes: b"x", str: "w"}
    return kind(
        *[values.get(field.type, []) for field in msgspec.structs.fields(kind)],
    )


def frame_of(said: bytes) -> bytes:
    """The frame without its length."""
    [size] = LENGTH.unpack_from(said)
    assert len(said) == LENGTH.size + size
    return said[LENGTH.size :]


class FrameTests(SynchronousTestCase):
    """Each kind, on the wire."""

    def test_kinds(self) -> None:
        """Each is known by those whom it is for, and is another than all others."""
        for union, decoder in ((Asked, ASKED), (Told, TOLD)):
            kinds = get_args(union)
            self.assertEqual(len(kinds), 9)
            for kind in kinds:
                frame = made(kind)
                decoded: Any = decoder.decode(frame_of(encode(frame)))
                self.assertEqual(decoded, frame)
                self.assertIs(type(decoded), kind)

    def test_no_frame(self) -> None:
        """What is no frame of its side is an error, and not something near."""
        for body in (b"\xc1", b"\x90", b"\x92\x63\x01", b"\x92\x02\xa1x", b"\x81\x01\x02"):
            for decoder in (ASKED, TOLD):
                self.assertRaises(msgspec.DecodeError, decoder.decode, body)

    def test_version(self) -> None:
        """Whoever changes a frame raises the version, and writes its digest down here."""
        shapes = [
            f"{kind.__name__} {kind.__struct_config__.tag} {name} {hint}"
            for kind in vars(frames).values()
            if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
            if kind.__module__ == frames.__name__
            for name, hint in kind.__annotations__.items()
        ]
        self.assertGreater(len(shapes), 40)
        digest = hashlib.sha256("\n".join(shapes).encode()).hexdigest()[:16]
        self.assertEqual((VERSION, digest), (2, "f9008be64c20907a"))

    def test_text(self) -> None:
        """Half a character, as JSON may have one, comes back the same."""
        for value in ("", "ä", HALF):
            self.assertEqual(text(data_of(value)), value)


class AppendTests(SynchronousTestCase):
    """An append, there."""

    def test_all(self) -> None:
        """Everything of it arrives, but of the topic the key alone."""
        drafts = (Draft("msg", b"1"), Draft(HALF, b"2"))
        deleted = (drafts[0], Draft(HALF, b"2", delete=True))
        for append in (
            Append(LOBBY, drafts, LIFECYCLE),
            Append(LOBBY, (), LIFECYCLE),
            Append(LOBBY, drafts, LIFECYCLE, HALF, numbered=True),
            Append(LOBBY, deleted, LIFECYCLE, keys=("a", HALF), kept=True, max_kept=7),
            Append(LOBBY, drafts, LIFECYCLE, after=0),
            Append(LOBBY, drafts, LIFECYCLE, after=9),
        ):
            sent = msgspec.msgpack.encode(entry_of(append))
            came = append_of(msgspec.msgpack.decode(sent, type=frames.Entry))
            self.assertEqual(came, append)
            self.assertEqual((came.topic.channel, came.topic.params), ("", {}))

    def test_deleting_needs_keys(self) -> None:
        """Without keys there is nothing that a draft could end."""
        append = Append(LOBBY, (Draft("msg", b"1", delete=True),), LIFECYCLE)
        self.assertEqual(entry_of(append).deleting, [])


class AnswersTests(SynchronousTestCase):
    """An answer to a batch, back."""

    def setUp(self) -> None:
        drafts = (Draft("msg", b"1"), Draft("other", b"2"))
        self.entry = Append(LOBBY, drafts, LIFECYCLE)

    def answered(self, *answers: Any) -> list[Appended]:
        return appended_of(Answers(1, list(answers)), [self.entry] * len(answers))

    def test_stored(self) -> None:
        """Of new messages the first id is enough."""
        [stored] = self.answered((7, None, None))
        messages = (Message(LOBBY, 7, "msg", b"1"), Message(LOBBY, 8, "other", b"2"))
        self.assertEqual(stored, Appended(messages))

    def test_numbered(self) -> None:
        """And the first place, in the topic's epoch."""
        [stored] = self.answered((7, (3, 5), None))
        self.assertEqual([one.place for one in stored.messages], [(3, 5), (3, 6)])

    def test_repeated(self) -> None:
        """Those of an earlier append come whole: they need not be what was sent now."""
        earlier = Message(LOBBY, 4, "msg", b"0", (3, 1))
        [stored] = self.answered((0, None, stored_of([earlier])))
        self.assertEqual(stored, Appended((earlier,), repeated=True))

    def test_not_stored(self) -> None:
        """A condition that did not hold, and a topic without room, are told apart."""
        refused, full = self.answered((0, None, None), (FULL, None, None))
        self.assertEqual((refused, full), (Appended(()), Appended((), full=True)))

    def test_each(self) -> None:
        """Each entry has its own, in order; where the numbers differ nothing is believed."""
        first, second = self.answered((7, None, None), (20, None, None))
        self.assertEqual([first.messages[0].id, second.messages[0].id], [7, 20])
        with self.assertRaises(ValueError):
            appended_of(Answers(1, [(7, None, None)]), [self.entry] * 2)


class ReportTests(SynchronousTestCase):
    """What was stored, to all who follow the topic."""

    def test_encoded_once(self) -> None:
        """A topic's report is encoded once, and stands in the frame of each worker."""
        messages = (Message(LOBBY, 7, HALF, b"1", (3, 5)), Message(LOBBY, 8, "msg", b"2"))
        reported = Reported(LOBBY.key, LIFECYCLE, messages, ["k", None])
        frame = ReportFrame(6, 8, [topic_report(reported)], [b"skipped"])
        came: Any = TOLD.decode(frame_of(encode(frame)))
        self.assertEqual((came.before, came.head, came.skipped), (6, 8, [b"skipped"]))
        [raw] = came.topics
        report = topic_report_of(raw)
        self.assertEqual(text(report.key), LOBBY.key)
        self.assertEqual(reported_of(report, LOBBY), reported)

    def test_messages(self) -> None:
        """Of the topic that they are read for."""
        [message] = messages_of(LOBBY, [(7, b"msg", b"1", None)])
        self.assertEqual(message, Message(LOBBY, 7, "msg", b"1"))
        self.assertEqual(named(data_of(LOBBY.key)), LOBBY)


class ReadTests(SynchronousTestCase):
    """What is read."""

    def test_page(self) -> None:
        message = Message(LOBBY, 7, "msg", b"1", (3, 5))
        frame = PageRead(1, stored_of([message]), more=True, head=9, removed=2)
        self.assertEqual(page_of(frame, LOBBY), Page((message,), True, 9, 2))

    def test_stats(self) -> None:
        self.assertEqual(stats_of(StatsRead(1, 2, 3, 4)), LogStats(2, 3, 4))

    def test_nodes(self) -> None:
        nodes = [("w1", 1.5, b"x"), ("w2", 2.5, b"")]
        self.assertEqual(nodes_of(NodesRead(1, nodes)), [Node(*one) for one in nodes])
