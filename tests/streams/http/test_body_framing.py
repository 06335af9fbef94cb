"""How long a body is: only what everybody between us and the client reads alike."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import _MalformedChunkedDataError

from takotwist.streams.http.body_framing import (
    MAX_BODY_LENGTH,
    Chunks,
    bounded_length,
    is_transfer_coding,
)


class TransferCodingTests(SynchronousTestCase):
    """`is_transfer_coding`."""

    def test_chunked(self) -> None:
        """Chunked, however it is spelled, on HTTP/1.1."""
        for value in (b"chunked", b"Chunked", b"CHUNKED"):
            self.assertTrue(is_transfer_coding(value, b"HTTP/1.1"))

    def test_anything_else(self) -> None:
        """Not another coding, not several, not with a parameter, and not on HTTP/1.0."""
        for value in (b"", b"gzip", b"gzip, chunked", b"chunked;q=1", b"chunked ", b"identity"):
            self.assertFalse(is_transfer_coding(value, b"HTTP/1.1"), value)
        self.assertFalse(is_transfer_coding(b"chunked", b"HTTP/1.0"))


class BoundedLengthTests(SynchronousTestCase):
    """`bounded_length`."""

    def test_too_long(self) -> None:
        """As large as may be or larger, also with more digits than Python reads."""
        for value in (b"%d" % MAX_BODY_LENGTH, b"%d" % (MAX_BODY_LENGTH + 1), b"9" * 10_000):
            self.assertEqual(bounded_length(value), b"%d" % MAX_BODY_LENGTH)

    def test_no_number(self) -> None:
        """What is no number stays none, for Twisted to refuse."""
        for value in (b"+5", b"-1", b"0-1", b"1 000", b"0x10", b"9" * 30 + b"x", b"1,1"):
            self.assertFalse(bounded_length(value).isdigit(), value)

    @given(st.integers(0, 2**70), st.integers(0, 30))
    def test_number(self, number: int, zeros: int) -> None:
        """A number is itself up to the bound, with leading zeros or without."""
        bounded = int(bounded_length(b"0" * zeros + b"%d" % number))
        if number < 10**18:
            self.assertEqual(bounded, number)
        self.assertEqual(min(bounded, MAX_BODY_LENGTH), bounded)
        self.assertEqual(bounded >= MAX_BODY_LENGTH, number >= 10**18)


class ChunksTests(SynchronousTestCase):
    """`Chunks`."""

    def setUp(self) -> None:
        self.data: list[bytes] = []
        self.rest: list[bytes] = []
        self.chunks = Chunks(self.data.append, self.rest.append)

    def test_body(self) -> None:
        """A body and what came behind it."""
        self.chunks.dataReceived(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nGET")
        self.assertEqual((b"".join(self.data), self.rest), (b"abcde", [b"GET"]))

    def test_bounded(self) -> None:
        """A size that no chunk has is malformed, with or without leading zeros."""
        for size in (b"7fffffffffffffff", b"00007fffffffffffffff"):
            self.setUp()
            error = self.assertRaises(
                _MalformedChunkedDataError, self.chunks.dataReceived, size + b"\r\n"
            )
            self.assertEqual((error.args, self.data), (("Chunk-size is too large.",), []))

    def test_just_within(self) -> None:
        """The largest that is one below is waited for."""
        self.chunks.dataReceived(b"7ffffffffffffffe\r\nabc")
        self.assertEqual((b"".join(self.data), self.rest), (b"abc", []))
