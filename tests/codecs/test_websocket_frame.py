from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.codecs.websocket_frame import (
    binary_frame,
    check_close_code,
    close_frame,
    close_reason,
    ping_frame,
    pong_frame,
    text_frame,
)
from tests.codecs.websocket_reader import read_frames


class FrameTests(SynchronousTestCase):
    """Frames as RFC 6455, section 5.2 has them from a server."""

    def test_lengths(self) -> None:
        """Each length has the shortest of the three forms."""
        for length, head in [
            (0, b"\x82\x00"),
            (125, b"\x82\x7d"),
            (126, b"\x82\x7e\x00\x7e"),
            (65535, b"\x82\x7e\xff\xff"),
            (65536, b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
        ]:
            with self.subTest(length=length):
                frame = binary_frame(b"x" * length)
                self.assertEqual(frame[: len(head)], head)
                self.assertEqual(len(frame), len(head) + length)

    @given(st.lists(st.tuples(st.sampled_from([text_frame, binary_frame]), st.binary())))
    def test_joined_frames_are_read_back(self, messages: list[tuple[object, bytes]]) -> None:
        """Frames joined in one write are the messages, in order."""
        joined = b"".join(make(payload) for make, payload in messages)  # type: ignore[operator]
        frames, rest = read_frames(joined)
        self.assertEqual(rest, b"")
        self.assertEqual(
            [(frame.opcode, frame.payload, frame.fin, frame.rsv) for frame in frames],
            [(1 if make is text_frame else 2, payload, True, 0) for make, payload in messages],
        )

    def test_control_frames(self) -> None:
        """Ping and pong carry up to 125 bytes and refuse more."""
        self.assertEqual(ping_frame(b"hi"), b"\x89\x02hi")
        self.assertEqual(pong_frame(), b"\x8a\x00")
        self.assertEqual(len(ping_frame(b"x" * 125)), 127)
        self.assertRaises(ValueError, ping_frame, b"x" * 126)
        self.assertRaises(ValueError, pong_frame, b"x" * 126)

    def test_close(self) -> None:
        """A close carries its code and reason, or nothing."""
        self.assertEqual(close_frame(), b"\x88\x00")
        self.assertEqual(close_frame(1001, "bye"), b"\x88\x05" + struct.pack("!H", 1001) + b"bye")

    def test_close_codes(self) -> None:
        """Codes that are only ever local, and those out of range, are refused."""
        for code in (999, 1004, 1005, 1006, 1015, 5000, -1):
            self.assertRaises(ValueError, close_frame, code)
        for code in (1000, 1013, 3000, 4999):
            check_close_code(code)

    @given(st.text(max_size=200))
    def test_reason_is_cut_at_a_character(self, reason: str) -> None:
        """A reason that is too long loses whole characters."""
        cut = close_reason(reason)
        self.assertLessEqual(len(cut), 123)
        self.assertTrue(reason.startswith(cut.decode()))
        if len(reason.encode()) <= 123:
            self.assertEqual(cut.decode(), reason)
        else:
            self.assertGreater(len(cut), 119)
        self.assertLessEqual(len(close_frame(1000, reason)), 127)
