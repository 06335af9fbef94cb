"""Bytes cut into frames, and the preamble before them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.shared.frame_reader import (
    LENGTH,
    MAX_FRAME,
    VERSION,
    FrameReader,
    OtherVersion,
    preamble,
)


def framed(*bodies: bytes) -> bytes:
    """Bodies, each with its length."""
    return b"".join(LENGTH.pack(len(body)) + body for body in bodies)


class FrameReaderTests(SynchronousTestCase):
    """What comes, however it was cut."""

    def test_cut_anywhere(self) -> None:
        bodies = [b"", b"a", b"x" * 70_000, b"b"]
        data = preamble(VERSION) + framed(*bodies)
        self.assertEqual(list(FrameReader().feed(data)), bodies)
        for size in (1, 3, 4, 5, 1000):
            reader = FrameReader()
            found = [
                body
                for at in range(0, len(data), size)
                for body in reader.feed(data[at : at + size])
            ]
            self.assertEqual(found, bodies, size)

    def test_not_whole(self) -> None:
        """A frame is given when all of it is there, and once."""
        reader = FrameReader()
        data = preamble(VERSION) + framed(b"abc")
        self.assertEqual(list(reader.feed(data[:-1])), [])
        self.assertEqual(list(reader.feed(data[-1:])), [b"abc"])
        self.assertEqual(list(reader.feed(b"")), [])

    def test_left_in_between(self) -> None:
        """Who stops at one frame is given the rest with what comes next, none of it again."""
        reader = FrameReader()
        frames = reader.feed(preamble(VERSION) + framed(b"a", b"b"))
        self.assertEqual(next(frames), b"a")
        frames.close()
        self.assertEqual(list(reader.feed(framed(b"c"))), [b"b", b"c"])

    def test_other_version(self) -> None:
        """Not one frame is given of another version, and what it said is told."""
        reader = FrameReader(2)
        with self.assertRaises(OtherVersion) as other:
            list(reader.feed(preamble(3) + framed(b"abc")))
        self.assertEqual(other.exception.version, 3)

    def test_no_preamble(self) -> None:
        """What began otherwise speaks no version at all."""
        for data in (b"GET / HTTP/1.1\r\n", framed(b"abcdefgh")):
            with self.assertRaises(OtherVersion) as none:
                list(FrameReader().feed(data))
            self.assertEqual(none.exception.version, 0)

    def test_begins_later(self) -> None:
        """Less than a preamble is no reason to judge."""
        reader = FrameReader()
        begin = preamble(VERSION)
        self.assertEqual(list(reader.feed(begin[:-1])), [])
        self.assertEqual(list(reader.feed(begin[-1:] + framed(b"a"))), [b"a"])

    def test_too_long(self) -> None:
        """A length past the bound is refused before its bytes are waited for."""
        reader = FrameReader()
        list(reader.feed(preamble(VERSION)))
        self.assertEqual(list(reader.feed(LENGTH.pack(MAX_FRAME))), [])
        reader = FrameReader()
        list(reader.feed(preamble(VERSION)))
        with self.assertRaises(ValueError):
            list(reader.feed(LENGTH.pack(MAX_FRAME + 1)))
