"""Messages and drafts as JSON."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.codecs.tako_json import (
    MAX_DEPTH,
    encode_message,
    encode_message_with_params,
    encode_messages,
    encode_value,
    payload,
    read_draft,
    read_drafts,
)
from takotwist.core.topic import Draft, Message, Topic
from takotwist.errors import BodyInvalid, MessageTooLarge

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


class TestDrafts(SynchronousTestCase):
    """What publishers send."""

    def test_one(self) -> None:
        """Type and data; the data is kept as it was spelled."""
        draft = read_draft(b'{"type":"m","data":{"a": 1.10, "b":[ ]}}', 1000)
        self.assertEqual(draft, Draft("m", b'{"a": 1.10, "b":[ ]}'))

    def test_line_ends(self) -> None:
        """A payload with line ends between its tokens is brought onto one line."""
        draft = read_draft(b'{"type":"m","data":{\n "a":\r\n 1}}', 1000)
        self.assertEqual(draft.data, b'{"a":1}')

    def test_line_ends_in_a_text_stay(self) -> None:
        """Escaped line ends are text and stay."""
        self.assertEqual(read_draft(rb'{"type":"m","data":"a\nb"}', 99).data, rb'"a\nb"')

    def test_many(self) -> None:
        """An array is told from one, and the index of a bad one is named."""
        drafts, many = read_drafts(b' [{"type":"a","data":1},{"type":"b","data":2}]', 99, 10)
        self.assertEqual((len(drafts), many), (2, True))
        self.assertEqual(read_drafts(b'{"type":"a","data":1}', 99, 10)[1], False)
        body = b'[{"type":"a","data":1},{"type":"tako.x","data":2}]'
        refusal = self.assertRaises(BodyInvalid, read_drafts, body, 99, 10)
        self.assertIn("[1].type", refusal.sentence)

    def test_refused(self) -> None:
        """What is no draft is refused with the field's name."""
        for body, named in (
            (b"", "body"),
            (b"nonsense", "body"),
            (b"[]", "empty"),
            (b'{"data":1}', "type"),
            (b'{"type":"m"}', "data"),
            (b'{"type":1,"data":1}', "type"),
            (b'{"type":"","data":1}', "type"),
            (b'{"type":"' + b"x" * 129 + b'","data":1}', "type"),
            (b'{"type":"tako.x","data":1}', "tako."),
            (b'{"type":"m","data":NaN}', "body"),
            (b'{"type":"m","data":1e999}', "data"),
            (b'{"type":"m","data":"\xff"}', "data"),
            (b'{"type":"m","data":' + b"[" * 201 + b"]" * 201 + b"}", "deep"),
            (b'{"type":"m","data":' + b"[" * 100_000 + b"]" * 100_000 + b"}", ""),
        ):
            refusal = self.assertRaises(BodyInvalid, read_drafts, body, 10**6, 10)
            self.assertIn(named, refusal.sentence, body[:50])

    def test_too_large(self) -> None:
        """The size of the data counts, and the number of an array's messages."""
        body = b'{"type":"m","data":"12345678"}'
        self.assertRaises(MessageTooLarge, read_draft, body, 9)
        read_draft(body, 10)
        self.assertRaises(MessageTooLarge, read_drafts, b"[" + body + b"," + body + b"]", 99, 1)

    def test_depth(self) -> None:
        """As deep as allowed is allowed; brackets in a text count for nothing."""
        deep = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
        self.assertEqual(payload(deep), deep)
        self.assertEqual(payload(b'"' + b"[" * 500 + b'"'), b'"' + b"[" * 500 + b'"')

    @given(JSON)
    def test_round_trip(self, value: Any) -> None:
        """Whatever JSON goes in comes out, on one line."""
        body = json.dumps({"type": "m", "data": value}, indent=1).encode()
        data = read_draft(body, 10**6).data
        self.assertEqual(json.loads(data), value)
        self.assertNotIn(b"\n", data)

    @given(st.binary(max_size=60))
    def test_anything(self, body: bytes) -> None:
        """Whatever bytes come, they are drafts or refused."""
        try:
            read_drafts(body, 1000, 10)
        except (BodyInvalid, MessageTooLarge):
            return


class TestMessages(SynchronousTestCase):
    """What clients get."""

    message = Message(Topic.of("chat", {"roomId": "a", "n": 1}), 17, 'x"y', b'{"t":"\xc3\xa4"}')

    def test_envelope(self) -> None:
        """Id as text, channel, type, data, in this order."""
        text = encode_message(self.message).decode()
        self.assertEqual(text, '{"id":"17","channel":"chat","type":"x\\"y","data":{"t":"ä"}}')

    def test_with_params(self) -> None:
        """On a connection with many topics the params are there too."""
        read = json.loads(encode_message_with_params(self.message))
        self.assertEqual(read["params"], {"roomId": "a", "n": 1})
        self.assertEqual(list(read), ["id", "channel", "params", "type", "data"])

    def test_array(self) -> None:
        """Several messages are an array, none an empty one."""
        self.assertEqual(len(json.loads(encode_messages((self.message,) * 3))), 3)
        self.assertEqual(encode_messages(()), b"[]")


class TestValues(SynchronousTestCase):
    """What an app's function returns."""

    def test_not_json(self) -> None:
        """NaN, infinities and what JSON has not are refused, however deep they are."""
        for value in (float("nan"), [float("inf")], {"a": {"b": float("nan")}}, object(), "\ud800"):
            self.assertRaises(BodyInvalid, encode_value, value)

    def test_compact(self) -> None:
        """One line, UTF-8."""
        self.assertEqual(
            encode_value({"a": [1, "ä"], "b": None}), '{"a":[1,"ä"],"b":null}'.encode()
        )
