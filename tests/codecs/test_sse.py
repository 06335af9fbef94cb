from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.codecs.sse import LAST_CHUNK, SseEvent, chunk, encode
from tests.codecs.event_source_parser import parse

texts = st.text(
    st.one_of(st.sampled_from("\r\n\x00: \ufeffid\u2028\x0b\x0c\x85"), st.characters(codec="utf-8"))
)


def _one_line(text: str) -> str:
    return text.replace("\r", " ").replace("\n", " ").replace("\x00", "")


def _lines(text: str) -> str:
    return re.sub("\r\n|\r|\n", "\n", text)


class EncodeTests(SynchronousTestCase):
    """An event on the wire is that event in a browser, whatever its text."""

    def test_all_fields_in_order(self) -> None:
        """Comment, event, id, retry, data, and a blank line."""
        event = SseEvent(data="x", event="tick", id="7", retry=1500, comment="hello")
        self.assertEqual(encode(event), b": hello\nevent: tick\nid: 7\nretry: 1500\ndata: x\n\n")

    def test_no_block_for_what_is_no_event(self) -> None:
        """A comment and a retry end no block: clients that count blank lines see no event."""
        for event, lines in [
            (SseEvent(comment="keepalive"), b": keepalive\n"),
            (SseEvent(retry=1500), b"retry: 1500\n"),
            (SseEvent(comment="a\n\nb", retry=1), b": a\n: \n: b\nretry: 1\n"),
            (SseEvent(comment="x", id="7"), b": x\nid: 7\n\n"),
            (SseEvent(retry=1, event="x"), b"event: x\nretry: 1\n\n"),
        ]:
            self.assertEqual(encode(event), lines)

    def test_nothing(self) -> None:
        """An event without a field is a blank line, which a browser ignores."""
        self.assertEqual(encode(SseEvent()), b"\n")

    def test_line_ends_in_data(self) -> None:
        """S3: LF, CRLF and a lone CR are line ends, and an end at the end is kept."""
        for text, seen in [
            ("a\nb", "a\nb"),
            ("a\r\nb", "a\nb"),
            ("a\rb", "a\nb"),
            ("", ""),
            ("x\n", "x\n"),
            ("\n\n", "\n\n"),
        ]:
            with self.subTest(text=text):
                events = parse(encode(SseEvent(data=text))).events
                self.assertEqual(events, [("message", seen, "")])

    def test_empty_data_is_a_line(self) -> None:
        """S3: empty data is an event without text; no data is no event."""
        self.assertEqual(encode(SseEvent(data="")), b"data: \n\n")
        self.assertEqual(parse(encode(SseEvent(data=""))).events, [("message", "", "")])
        self.assertEqual(parse(encode(SseEvent(event="x"))).events, [])

    def test_hostile_names(self) -> None:
        """S4: an event's name, id or data cannot smuggle in a field or a second event."""
        stream = encode(
            SseEvent(event="legit\nid: hostile", id="a\r\nb", data="one\n\nevent: x\ndata: two")
        )
        parsed = parse(stream)
        self.assertEqual(
            parsed.events, [("legit id: hostile", "one\n\nevent: x\ndata: two", "a  b")]
        )

    def test_null_in_an_id(self) -> None:
        """A NUL is taken out of an id; with it a browser would ignore the whole id."""
        self.assertEqual(parse(encode(SseEvent(data="x", id="a\x00b"))).last_event_id, "ab")

    def test_empty_id(self) -> None:
        """An empty id makes the browser forget the last one; an absent one does not."""
        stream = encode(SseEvent(id="5", data="x"))
        self.assertEqual(parse(stream + encode(SseEvent(data="y"))).last_event_id, "5")
        self.assertEqual(parse(stream + encode(SseEvent(id="", data="y"))).last_event_id, "")

    def test_non_ascii(self) -> None:
        """S10: text is UTF-8, given as text or as bytes."""
        for data in ("grüße ☃ \U0001f419", "grüße ☃ \U0001f419".encode()):
            self.assertEqual(
                parse(encode(SseEvent(data=data))).events,
                [("message", "grüße ☃ \U0001f419", "")],
            )

    def test_what_is_no_text(self) -> None:
        """Bytes that are no UTF-8, and surrogates, become something that is."""
        self.assertEqual(encode(SseEvent(data=b"a\xffb")), "data: a\ufffdb\n\n".encode())
        self.assertEqual(encode(SseEvent(data="a\ud800b")), b"data: a?b\n\n")

    def test_retry_is_a_number(self) -> None:
        """A retry that is no number of milliseconds is refused, by name."""
        for retry in (-1, 1.5, True, "5"):
            error = self.assertRaises(ValueError, SseEvent, retry=retry)
            self.assertIn("retry", str(error))

    def test_a_stream_never_begins_with_a_byte_order_mark(self) -> None:
        """U+FEFF at the start of the data is data, and not the start of the stream."""
        block = encode(SseEvent(data="\ufeffx"))
        self.assertFalse(block.startswith("\ufeff".encode()))
        self.assertEqual(parse(block).events, [("message", "\ufeffx", "")])

    @given(
        st.lists(
            st.builds(
                SseEvent,
                data=st.none() | texts,
                event=st.none() | texts,
                id=st.none() | texts,
                retry=st.none() | st.integers(0, 10**9),
                comment=st.none() | texts,
            ),
            max_size=5,
        )
    )
    def test_any_events(self, events: list[SseEvent]) -> None:
        """Whatever the fields, a browser sees exactly these events, retries and comments."""
        expected, retries, comments, last_id = [], [], [], ""
        for event in events:
            if event.id is not None:
                last_id = _one_line(str(event.id))
            if event.data is not None:
                name = _one_line(str(event.event or "")) or "message"
                expected.append((name, _lines(str(event.data)), last_id))
            if event.retry is not None:
                retries.append(event.retry)
            if event.comment is not None:
                comments += [" " + line for line in _lines(str(event.comment)).split("\n")]
        parsed = parse(b"".join(map(encode, events)))
        self.assertEqual(parsed.events, expected)
        self.assertEqual(parsed.retries, retries)
        self.assertEqual(parsed.comments, comments)
        self.assertEqual(parsed.last_event_id, last_id)


class ChunkTests(SynchronousTestCase):
    """A block as a chunk of HTTP/1.1."""

    @given(st.lists(st.binary(max_size=300), max_size=6))
    def test_chunks_are_read_back(self, blocks: list[bytes]) -> None:
        """Chunks joined in any number carry the blocks, and only the last one ends the body."""
        rest = b"".join(map(chunk, blocks)) + LAST_CHUNK
        read = b""
        while True:
            size, rest = rest.split(b"\r\n", 1)
            if int(size, 16) == 0:
                break
            read, rest = read + rest[: int(size, 16)], rest[int(size, 16) :]
            self.assertTrue(rest.startswith(b"\r\n"))
            rest = rest[2:]
        self.assertEqual((read, rest), (b"".join(blocks), b"\r\n"))
