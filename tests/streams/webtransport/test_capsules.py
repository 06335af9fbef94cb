"""Capsules, however the bytes are cut."""

from __future__ import annotations

from aioquic.buffer import encode_uint_var
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.webtransport.capsules import (
    Capsule,
    CapsuleError,
    CapsuleParser,
    CloseSession,
    DrainSession,
    encode_close,
    encode_drain,
)


def unknown(kind: int, value: bytes) -> bytes:
    """A capsule that nobody knows."""
    return encode_uint_var(kind) + encode_uint_var(len(value)) + value


class CapsuleTests(SynchronousTestCase):
    """`CapsuleParser`, `encode_close` and `encode_drain`."""

    @given(
        st.lists(st.integers(1, 40), max_size=30),
        st.binary(max_size=200),
        st.integers(0, 2**32 - 1),
        st.text(max_size=80),
    )
    def test_any_cut(self, cuts: list[int], junk: bytes, code: int, reason: str) -> None:
        """However the stream is cut, unknown capsules are skipped and the others read."""
        data = unknown(0x1234, junk) + encode_drain() + unknown(0, b"") + encode_close(code, reason)
        parser, found = CapsuleParser(), list[Capsule]()
        for cut in cuts:
            found += parser.feed(data[:cut])
            data = data[cut:]
        found += parser.feed(data)
        parser.finish()
        self.assertEqual(found, [DrainSession(), CloseSession(code, reason)])

    def test_endless_unknown(self) -> None:
        """An unknown capsule of any length is skipped without being kept."""
        parser = CapsuleParser()
        parser.feed(encode_uint_var(0x99) + encode_uint_var(2**40))
        for _ in range(100):
            parser.feed(bytes(10_000))
        self.assertEqual(parser._buffer, b"")
        self.assertRaises(CapsuleError, parser.finish)

    def test_long_reason(self) -> None:
        """A reason that is too long is cut between two characters."""
        [capsule] = CapsuleParser().feed(encode_close(1, "é" * 600))
        self.assertEqual(capsule, CloseSession(1, "é" * 512))
        [capsule] = CapsuleParser().feed(encode_close(1, "a" + "é" * 600))
        self.assertEqual(capsule, CloseSession(1, "a" + "é" * 511))

    def test_malformed(self) -> None:
        """A close without a code, too long, or not in UTF-8 is an error."""
        for value in (b"abc", bytes(1029), b"\0\0\0\0\xff"):
            self.assertRaises(CapsuleError, CapsuleParser().feed, unknown(0x2843, value))
