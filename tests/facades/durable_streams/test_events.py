"""A stream as an event stream, read back as the standard says."""

from __future__ import annotations

import json
from base64 import b64decode

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.durable_stream import About, End, Spec
from takotwist.core.topic import Message, Topic
from takotwist.facades.durable_streams.events import FORM, control_event, data_event, messages

TOPIC = Topic.of("streams", {"path": "a"})
TEXT, JSON, BINARY = (
    Spec(kind, 0) for kind in ("text/plain; charset=utf-8", "application/json", "image/png")
)
OF_MESSAGE = Spec("application/json", 0, about=About("chat", {}, "b7c1", "answer", "k"))


def parsed(block: bytes) -> tuple[str, str, str | None]:
    """Kind, data and id of one event, as a browser reads it (the HTML standard, 9.2.6)."""
    lines = block.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n")
    assert lines[-2:] == ["", ""]
    kind, data, id = "message", [], None
    for line in lines[:-2]:
        # An empty line within would end the event.
        assert line
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            kind = value
        elif name == "data":
            data.append(value)
        elif name == "id":
            id = value
    return kind, "\n".join(data), id


def said(block: bytes) -> object:
    """The data of a control event."""
    kind, data, _ = parsed(block)
    assert kind == "control"
    return json.loads(data)


class FormTests(SynchronousTestCase):
    """Messages on their way to a reader."""

    @given(
        st.lists(
            st.tuples(
                st.integers(0, 2**53 - 1), st.sampled_from(["data", "end"]), st.binary(max_size=300)
            )
        )
    )
    def test_joined(self, said: list[tuple[int, str, bytes]]) -> None:
        """Joined, they come apart as they were."""
        blob = b"".join(FORM.encode(Message(TOPIC, *one)) for one in said)
        self.assertEqual(list(messages(blob)), said)

    def test_marks(self) -> None:
        """Readers are not told what stands behind the kind of a message."""
        message = Message(TOPIC, 7, 'data [["p",0,1],null]', b"x")
        self.assertEqual(list(messages(FORM.encode(message))), [(7, "data", b"x")])


class DataTests(SynchronousTestCase):
    """Chunks."""

    @given(st.text(st.sampled_from("a \n\r:ä\u2028\x00")))
    def test_text(self, text: str) -> None:
        """Text arrives as it was, but that every end of a line is one kind of end."""
        kind, data, _ = parsed(data_event(TEXT, [text.encode()], 7))
        lines = text.replace("\r\n", "\n").replace("\r", "\n")
        self.assertEqual((kind, data), ("data", lines))

    def test_chunks(self) -> None:
        """Several are one event: text joined, values of JSON in a list, bytes in base64."""
        self.assertEqual(parsed(data_event(TEXT, [b"a", b"b"], 7))[1], "ab")
        values = parsed(data_event(JSON, [b'{"a":1}', b"[2]"], 7))[1]
        self.assertEqual(json.loads(values), [{"a": 1}, [2]])
        binary = parsed(data_event(BINARY, [b"\x00\n", b"\xff"], 7))[1]
        self.assertEqual(b64decode(binary), b"\x00\n\xff")

    def test_cut_character(self) -> None:
        """A chunk that ends within a character does not break the event stream."""
        half = "ä".encode()[:1]
        self.assertEqual(parsed(data_event(TEXT, [b"a", half], 7))[1], "a\ufffd")
        self.assertEqual(parsed(data_event(TEXT, ["ä".encode()[:1], "ä".encode()[1:]], 7))[1], "ä")

    def test_id(self) -> None:
        """A browser is told where it is of streamed messages alone."""
        self.assertIsNone(parsed(data_event(JSON, [b"1"], 7))[2])
        self.assertEqual(parsed(data_event(OF_MESSAGE, [b"1"], 7))[2], "0000000000000007")


class ControlTests(SynchronousTestCase):
    """Where the reader is."""

    def test_fields(self) -> None:
        """What does not hold is left out."""
        offset = "0000000000000007"
        event = control_event(JSON, 7, "12", up_to_date=False, ended=False)
        self.assertEqual(said(event), {"streamNextOffset": offset, "streamCursor": "12"})
        event = control_event(JSON, 7, "12", up_to_date=True, ended=False)
        self.assertEqual(
            said(event), {"streamNextOffset": offset, "streamCursor": "12", "upToDate": True}
        )
        event = control_event(JSON, 7, None, up_to_date=True, ended=True)
        self.assertEqual(
            said(event), {"streamNextOffset": offset, "upToDate": True, "streamClosed": True}
        )

    def test_end(self) -> None:
        """How it ended, and the word of a failure; what its writer says to people is not here."""
        for end, expected in (
            (End("ended"), {"streamEnd": "ended"}),
            (
                End("failed", "quota", "Too many."),
                {"streamEnd": "failed", "streamEndReason": "quota"},
            ),
        ):
            event = control_event(OF_MESSAGE, 7, None, up_to_date=True, ended=True, end=end)
            told = said(event)
            assert isinstance(told, dict)
            more = {key: told[key] for key in told if key.startswith("streamEnd")}
            self.assertEqual(more, expected)

    def test_id(self) -> None:
        """As of data."""
        for spec, id in ((JSON, None), (OF_MESSAGE, "0000000000000007")):
            event = control_event(spec, 7, None, up_to_date=True, ended=False)
            self.assertEqual(parsed(event)[2], id)

    def test_one_line(self) -> None:
        """Whatever a word of the writer's holds, it is one line of data."""
        end = End("failed", "a\n\ndata: b")
        event = control_event(OF_MESSAGE, 7, None, up_to_date=True, ended=True, end=end)
        self.assertEqual(event.count(b"\n"), 4)
        self.assertEqual(msgspec.json.decode(parsed(event)[1])["streamEndReason"], end.reason)
