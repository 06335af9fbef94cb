"""The codec of live frames: what is written is read again, and what is wrong is named.

The bytes themselves stand in `tests/vectors/live.json`, which every client reads.
"""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.live.machine.codec import (
    MAX_ID,
    Unreadable,
    read_binary,
    read_text,
    read_trouble,
    trouble_json,
    write,
    write_binary,
)
from takotwist.live.machine.frames import Do, Frame, Info, Position, Trouble

IDS = st.text("abcXYZ019_-", min_size=1, max_size=MAX_ID)
SEQS = st.integers(1, 2**32 - 1)
JSON = st.recursive(
    st.none() | st.booleans() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
).map(lambda value: json.dumps(value).encode())
NUMBERS = st.integers(0, 2**53 - 1)
INFOS = st.builds(Info, SEQS, NUMBERS, NUMBERS, st.none() | NUMBERS)
TROUBLES = st.builds(Trouble, st.text(min_size=1), st.none() | JSON, st.none() | st.text())
TEXTS = st.one_of(
    st.builds(Frame, st.sampled_from(["send", "publish"]), SEQS, JSON, ack=st.booleans()),
    st.builds(Frame, st.just("published"), SEQS, JSON, info=INFOS),
    st.builds(Frame, st.just("ack"), SEQS, JSON, of=SEQS),
    st.builds(Frame, st.just("ack"), SEQS, of=SEQS, error=TROUBLES),
    st.builds(
        Frame,
        st.just("subscribe"),
        SEQS,
        kind=st.sampled_from(["text", "binary"]),
        cursor=st.none() | NUMBERS,
        reset=st.booleans(),
    ),
    st.builds(Frame, st.just("close"), SEQS, timeout=st.integers(0, 10**6).map(float)),
    st.builds(Frame, st.just("credit"), position=st.builds(Position, NUMBERS, NUMBERS, NUMBERS)),
    st.builds(Frame, st.just("end"), error=st.none() | TROUBLES),
)
BINARIES = st.one_of(
    st.builds(Frame, st.just("send"), SEQS, st.binary(), binary=st.just(True), ack=st.booleans()),
    st.builds(Frame, st.just("publish"), SEQS, st.binary(), binary=st.just(True)),
    st.builds(Frame, st.just("published"), SEQS, st.binary(), binary=st.just(True), info=INFOS),
)


class CodecTests(SynchronousTestCase):
    """Frames as text and as binary."""

    @given(IDS, TEXTS)
    def test_text(self, id: str, frame: Frame) -> None:
        """A text frame is read as it was written."""
        self.assertEqual(read_text(write(id, frame)), (id, frame))

    @given(IDS, BINARIES)
    def test_binary(self, id: str, frame: Frame) -> None:
        """A binary frame is read as it was written."""
        self.assertEqual(read_binary(write(id, frame)), (id, frame))

    @given(st.binary(max_size=60))
    def test_anything(self, payload: bytes) -> None:
        """Whatever a client sends is a frame or `Unreadable`, and nothing else."""
        for read in (read_binary, read_text):
            try:
                _, frame = read(payload)
            except Unreadable:
                continue
            self.assertIsInstance(frame, Frame)

    @given(IDS, BINARIES, st.data())
    def test_cut_short(self, id: str, frame: Frame, data: st.DataObject) -> None:
        """A binary frame whose head is cut off is named as such."""
        payload = write_binary(id, frame)
        head = payload[: len(payload) - len(frame.data)]
        cut = data.draw(st.integers(2, len(head) - 1))
        with self.assertRaises(Unreadable) as caught:
            read_binary(head[:cut])
        self.assertIn("cut short", str(caught.exception))

    def test_data_last(self) -> None:
        """The text of `data` is found without parsing: it stands last, unchanged."""
        text = write("x", Frame("send", 1, b'{"a":  1}', ack=True, values=b"[]"))
        self.assertTrue(text.endswith(b',"data":{"a":  1}}'))

    def test_errors_name_the_field(self) -> None:
        """Each wrong field is named in the sentence."""
        said: list[tuple[Do, dict[str, object], str]] = [
            ("send", {"seq": 0, "data": 1}, "seq"),
            ("send", {"seq": 2**32, "data": 1}, "seq"),
            ("send", {"seq": 1}, "data"),
            ("ack", {"seq": 1, "of": 1}, "data or error"),
            ("subscribe", {"seq": 1, "kind": "both"}, "kind"),
            ("subscribe", {"seq": 1, "kind": "text", "stale": "no"}, "stale"),
            ("subscribe", {"seq": 1, "kind": "text", "cursor": "1x"}, "cursor"),
            ("subscribe", {"seq": 1, "kind": "text", "cursor": -1}, "cursor"),
            ("close", {"seq": 1, "timeoutMs": -1}, "timeoutMs"),
            ("credit", {"at": 1, "bytes": 1}, "messages"),
        ]
        for do, fields, name in said:
            text = json.dumps({"op": "live", "id": "x", "do": do, **fields}).encode()
            with self.assertRaises(Unreadable) as caught:
                read_text(text)
            self.assertIn(name, str(caught.exception))

    def test_one_line(self) -> None:
        """Data with a line break is refused: it could not pass on where frames are lines."""
        text = b'{"op":"live","id":"x","do":"send","seq":1,"data":[1,\n2]}'
        self.assertRaises(Unreadable, read_text, text)

    @given(st.none() | TROUBLES)
    def test_trouble(self, trouble: Trouble | None) -> None:
        """An error is read as it was written, and what is none is refused."""
        self.assertEqual(read_trouble(trouble_json(trouble)), trouble)
        self.assertRaises(Unreadable, read_trouble, {"message": "no code"})
