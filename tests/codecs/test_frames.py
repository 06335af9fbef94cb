"""What clients send over a connection, read into values."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.codecs.frames import (
    Authenticate,
    Bad,
    OnTopic,
    Ping,
    Send,
    error_frame,
    read_client_frame,
)
from takotwist.core.topic import FOREIGN, Draft
from takotwist.errors import BodyInvalid, CursorInvalid, MessageTooLarge


def read(value: Any, max_bytes: int = 1000) -> Any:
    """Read a frame of this JSON value."""
    return read_client_frame(json.dumps(value).encode(), max_bytes)


class TestFrames(SynchronousTestCase):
    """Every frame of the protocol."""

    def test_send(self) -> None:
        """A message, with and without what asks for an answer."""
        self.assertEqual(read({"type": "m", "data": 1}), Send(Draft("m", b"1")))
        self.assertEqual(
            read({"type": "m", "data": None, "ref": "r", "idempotencyKey": "k"}),
            Send(Draft("m", b"null"), "r", "k"),
        )

    def test_auth(self) -> None:
        """Credentials and cursor; the cursor as text or number."""
        for cursor in ("123", 123):
            frame = read({"type": "tako.auth", "token": "Bearer abc", "lastMessageId": cursor})
            self.assertEqual(frame, Authenticate("Bearer abc", 123))
            self.assertNotIn("abc", repr(frame))
        self.assertEqual(read({"type": "tako.auth", "token": "x"}), Authenticate("x"))

    def test_bad_auth(self) -> None:
        """A tako.auth frame that cannot be read is known to be one."""
        for value in ({}, {"token": ""}, {"token": 1}, {"token": "x", "lastMessageId": 1.5}):
            frame = read({"type": "tako.auth"} | value)
            self.assertIsInstance(frame, Bad)
            self.assertTrue(frame.auth, value)

    def test_cursors_that_are_none(self) -> None:
        """An empty one is left out; what no log gave out is refused, or kept for the reset."""
        auth = {"type": "tako.auth", "token": "x"}
        subscribe = {"op": "subscribe", "ref": 1, "channel": "c"}
        self.assertIsNone(read(auth | {"lastMessageId": ""}).cursor)
        self.assertIsNone(read(subscribe | {"cursor": ""}).cursor)
        for foreign in ("y", "-1", 2**53, "0198f3a2-7c1e"):
            self.assertEqual(read(auth | {"lastMessageId": foreign}).cursor, FOREIGN)
            bad = read(subscribe | {"cursor": foreign})
            self.assertIsInstance(bad.refusal, CursorInvalid)
            anew = read(subscribe | {"cursor": foreign, "stale": "reset"})
            self.assertEqual((anew.cursor, anew.reset_when_stale), (FOREIGN, True))

    def test_on_topic(self) -> None:
        """Frames that name their topic."""
        self.assertEqual(
            read({"op": "subscribe", "ref": 1, "channel": "c", "params": {"a": 1}, "cursor": "5",
                  "auth": "Bearer x", "stale": "reset"}),
            OnTopic("subscribe", 1, "c", {"a": 1}, 5, "Bearer x", True),
        )  # fmt: skip
        self.assertEqual(
            read({"op": "publish", "channel": "c", "type": "m", "data": 1}),
            OnTopic("publish", None, "c", {}, draft=Draft("m", b"1")),
        )
        self.assertEqual(read({"op": "unsubscribe", "channel": "c"}).op, "unsubscribe")
        self.assertEqual(read({"op": "auth", "channel": "c", "auth": "x"}).auth, "x")

    def test_ping(self) -> None:
        """Is anybody there?"""
        self.assertEqual(read({"op": "ping", "ref": 3}), Ping(3))

    def test_bad(self) -> None:
        """What is wrong is named, and the ref is given back where it could be read."""
        for value, kind, named in (
            ({"type": "m", "ref": 1}, BodyInvalid, "data"),
            ({"data": 1, "ref": 1}, BodyInvalid, "type"),
            ({"type": "tako.x", "data": 1, "ref": 1}, BodyInvalid, "tako."),
            ({"op": "dance", "ref": 1}, BodyInvalid, "dance"),
            ({"op": "subscribe", "ref": 1}, BodyInvalid, "channel"),
            ({"op": "subscribe", "ref": 1, "channel": 5}, BodyInvalid, "channel"),
            ({"op": "subscribe", "ref": 1, "channel": "c", "params": 5}, BodyInvalid, "params"),
            ({"op": "subscribe", "ref": 1, "channel": "c", "cursor": "x"}, CursorInvalid, "cursor"),
            ({"op": "subscribe", "ref": 1, "channel": "c", "stale": "x"}, BodyInvalid, "stale"),
            ({"op": "auth", "ref": 1, "channel": "c"}, BodyInvalid, "auth"),
            ({"op": "publish", "ref": 1, "channel": "c"}, BodyInvalid, "type"),
            ({"type": "m", "data": "x" * 2000, "ref": 1}, MessageTooLarge, "data"),
            ({"type": "m", "data": 1, "ref": 1, "idempotencyKey": "k" * 256}, BodyInvalid, "idem"),
        ):
            frame = read(value)
            self.assertIsInstance(frame, Bad, value)
            self.assertIsInstance(frame.refusal, kind)
            self.assertEqual(frame.ref, 1)
            self.assertIn(named, frame.refusal.sentence)

    def test_ref_of_what_is_no_json(self) -> None:
        """Whoever sent a frame that no reader may take hears of it, by its own ref."""
        cut = b'"Great \\ud83d"'
        for text, ref in (
            (b'{"op":"publish","ref":5,"channel":"c","type":"m","data":%b}' % cut, 5),
            (b'{"op":"publish","channel":"c","type":"m","data":%b,"ref":"r"}' % cut, "r"),
            (b'{"op":"publish","ref":1,"channel":"c","type":%b,"data":1}' % cut, 1),
            (b'{"op":"subscribe","ref":2,"channel":"c","params":{"roomId":%b}}' % cut, 2),
            (b'{"op":"subscribe","ref":2,"channel":"c","params":{%b:1}}' % cut, 2),
            (b'{"op":"subscribe","ref":2,"channel":%b}' % cut, 2),
            (b'{"op":"auth","ref":3,"channel":"c","auth":%b}' % cut, 3),
            (b'{"ref":4,"type":"m","data":NaN}', 4),
            (b'{"type":"m","data":1e999,"ref":4}', 4),
            (b'{"type":"m","data":"\xff","ref":4}', 4),
            (b'{"op":"publish","ref":6,"type":"m","data":' + b"[" * 100_000 + b"]" * 100_000, 6),
            (b'{"op":"publish", "x":"a\\"b", "y":-1.5e3, "ref": "r" ,"data":{"cut":', "r"),
            (b'{"op":"publish","ref":7,"ref":' + b"9" * 5000 + b',"data":%b}' % cut, 7),
        ):
            frame = read_client_frame(text, 1000)
            self.assertIsInstance(frame, Bad, text[:80])
            self.assertIsInstance(frame.refusal, BodyInvalid)
            self.assertEqual(frame.ref, ref, text[:80])
            error_frame(frame.refusal, frame.ref)

    def test_no_ref(self) -> None:
        """What is no ref is none, wherever it stands, and the answer can always be said."""
        for said in (b"1.5", b"true", b"null", b"{}", b'"\\ud83d"', b"[7]"):
            frame = read_client_frame(b'{"ref":%b,"type":"m","data":"\\ud83d"}' % said, 100)
            self.assertIsInstance(frame, Bad)
            self.assertIsNone(frame.ref, said)
            error_frame(frame.refusal, frame.ref)
        inner = b'{"data":{"ref":5},"x":[{"ref":6}],"type":"\\ud83d"'
        for text in (inner + b"}", inner, b'{"type":"\\"ref\\":5,\\ud83d"', b'\xff{"ref":5}'):
            self.assertIsNone(read_client_frame(text, 100).ref, text)

    def test_bad_auth_of_no_json(self) -> None:
        """A tako.auth frame is known as one, though its token is no JSON."""
        frame = read_client_frame(b'{"type":"tako.auth","token":"\\ud83d"}', 100)
        self.assertTrue(frame.auth)

    def test_no_object(self) -> None:
        """What is no JSON object is refused without a ref."""
        for text in (b"", b"[]", b"5", b"nonsense", b"\xff", b'{"ref":' + b"[" * 10_000):
            frame = read_client_frame(text, 100)
            self.assertIsInstance(frame, Bad)

    @given(st.binary(max_size=80))
    def test_anything(self, text: bytes) -> None:
        """Whatever a peer sends, it is a frame."""
        read_client_frame(text, 100)

    @given(
        st.dictionaries(
            st.sampled_from(["op", "type", "data", "ref", "token", "cursor", "channel", "params"]),
            st.one_of(st.none(), st.integers(), st.text(max_size=5), st.just({}), st.just([1])),
        )
    )
    def test_any_object(self, value: dict[str, Any]) -> None:
        """Whatever the fields hold, it is a frame."""
        read(value)
