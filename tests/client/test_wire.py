"""Frames and event streams as a client reads and writes them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.client import wire
from takotwist.client.errors import ProtocolBroken
from takotwist.client.machine.outgoing import Publish
from takotwist.client.wire import (
    Acked,
    Block,
    EventStream,
    Failed,
    Opened,
    RetrySaid,
    Synced,
    WasReset,
    read_control,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
FIELDS = st.sampled_from(
    ("op", "ref", "cursor", "id", "params", "subject", "code", "error", "retryAfterMs", "lifecycle")
)
OPS = ("open", "ack", "error", "reset", "synced", "later")


class ControlTests(SynchronousTestCase):
    """Control frames of the server."""

    def test_read(self) -> None:
        """Each kind, with what it has."""
        for value, read in (
            (
                {"op": "open", "cursor": "7", "lifecycle": {"keepaliveIntervalMs": 250}},
                Opened("7", 250.0),
            ),
            ({"op": "open"}, Opened(None, None)),
            ({"op": "ack", "ref": 1, "id": "9"}, Acked(1, "9", None, None)),
            (
                {"op": "ack", "ref": 1, "cursor": 8, "params": {"a": 1}, "subject": "ann"},
                Acked(1, None, "8", {"a": 1}, "ann"),
            ),
            ({"op": "reset", "reason": "x", "cursor": "1"}, WasReset(None, "x", "1")),
            ({"op": "synced", "ref": 2}, Synced(2, None)),
        ):
            self.assertEqual(read_control(value), read)

    def test_error(self) -> None:
        """A refusal keeps its code, its sentence and when to come again."""
        read = read_control(
            {"op": "error", "ref": 3, "code": "overloaded", "error": "Later.", "retryAfterMs": 50}
        )
        assert isinstance(read, Failed)
        self.assertEqual((read.ref, read.outcome.code), (3, "overloaded"))
        self.assertEqual(read.outcome.wait_ms, 50)

    def test_unknown(self) -> None:
        """A kind of a later version is ignored."""
        for op in ("later", "", None, 7, ["open"]):
            self.assertIsNone(read_control({"op": op}))

    @given(st.sampled_from(OPS), st.dictionaries(FIELDS, JSON))
    def test_any_shape(self, op: str, value: dict[str, Any]) -> None:
        """Fields of any shape raise nothing, and what is no cursor or time is none."""
        read = read_control({**value, "op": op})
        self.assertEqual(read is None, op == "later")
        cursor = getattr(read, "cursor", None)
        self.assertTrue(cursor is None or (isinstance(cursor, str) and cursor))
        if isinstance(read, Opened) and read.keepalive_ms is not None:
            self.assertGreater(read.keepalive_ms, 0)


class WrittenTests(SynchronousTestCase):
    """Frames of the client."""

    def read(self, text: str) -> Any:
        """A frame's value."""
        return msgspec.json.decode(text)

    def test_publish(self) -> None:
        """A plain one has only what the app sees; an explicit one wants an answer."""
        one = Publish(1, 0, "say", msgspec.Raw(b'{"a":null}'), "k", ref=5)
        self.assertEqual(self.read(wire.plain_publish(one)), {"type": "say", "data": {"a": None}})
        self.assertEqual(
            self.read(wire.publish(one)),
            {"type": "say", "data": {"a": None}, "ref": 5, "idempotencyKey": "k"},
        )
        self.assertEqual(
            self.read(wire.topic_publish(one, "chat", {"room": "a"}))["params"], {"room": "a"}
        )

    def test_nothing_is_left_out(self) -> None:
        """What is not there is not said, rather than said to be null."""
        self.assertEqual(self.read(wire.auth("t", None)), {"type": "tako.auth", "token": "t"})
        self.assertEqual(
            self.read(wire.topic_request("subscribe", 1, "chat", {}, cursor=None)),
            {"op": "subscribe", "ref": 1, "channel": "chat", "params": {}},
        )


def blocks(chunks: Iterable[bytes], most: int = 1000) -> list[Block | RetrySaid | str]:
    """What a stream makes of `chunks`."""
    stream = EventStream(most)
    found: list[Block | RetrySaid | str] = []
    try:
        for chunk in chunks:
            found += stream.feed(chunk)
    except ProtocolBroken:
        found.append("broken")
    return found


class EventStreamTests(SynchronousTestCase):
    """Bytes in, blocks out."""

    def test_fields(self) -> None:
        """One space after the colon goes; data lines are joined; comments are nothing."""
        data = b": hello\nid: 7\nevent: e\ndata:  a\ndata:b\ndata\nunknown: x\n\n"
        self.assertEqual(blocks([data]), [Block("e", " a\nb\n", "7")])

    def test_line_ends(self) -> None:
        """LF, CR and CRLF all end a line; a byte order mark is only one at the start."""
        for end in (b"\n", b"\r", b"\r\n"):
            data = b"\xef\xbb\xbf" + end.join((b"id: 1", b"data: a", b"", b"")) + b"x: y" + end
            self.assertEqual(blocks([data])[0], Block("", "a", "1"))

    def test_unfinished(self) -> None:
        """A block without its blank line does not count, and neither does its id."""
        self.assertEqual(blocks([b"id: 7\ndata: a\n"]), [])

    def test_id_alone(self) -> None:
        """An id without data moves the cursor; a null character makes it unusable."""
        self.assertEqual(blocks([b"id: 8\n\n"]), [Block("", None, "8")])
        self.assertEqual(blocks([b"id: 8\0\ndata: a\n\n"]), [Block("", "a", None)])

    def test_retry(self) -> None:
        """It counts from its line on, and only as a number."""
        self.assertEqual(blocks([b"retry: 250\nretry: x\nretry: -1\n"]), [RetrySaid(250)])

    def test_bounded(self) -> None:
        """A block that is too long breaks the stream, however it comes."""
        self.assertEqual(blocks([b"data: " + b"x" * 2000 + b"\n\n"]), ["broken"])
        self.assertEqual(blocks([b"x" * 600, b"x" * 600]), ["broken"])
        self.assertEqual(blocks([b"data: x\n\n"] * 500), [Block("", "x", None)] * 500)

    @given(
        st.lists(
            st.sampled_from(
                (b"id: 1", b"data: a", b"event: e", b"retry: 5", b":", b"\n", b"\r", b"\xc3\xa4")
            ),
            max_size=12,
        ),
        st.data(),
    )
    def test_any_split(self, parts: list[bytes], data: st.DataObject) -> None:
        """No split of the bytes changes what is read."""
        whole = b"".join(parts)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=4)))
        pieces = [whole[a:b] for a, b in pairwise([0, *cuts, len(whole)])]
        self.assertEqual(blocks(pieces), blocks([whole]))
