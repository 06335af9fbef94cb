"""Which heads are alike, and that twisted.web reads such heads line for line."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.http.known_heads import HeadShape
from tests.streams.exchange import Http1Exchange

READ = HeadShape(["X-Read"])
ALL = HeadShape()


def fields(*lines: bytes) -> bytes:
    """A head after its first line."""
    return b"".join(b"\r\n" + line for line in lines) + b"\r\n\r\n"


class HeadShapeTests(SynchronousTestCase):
    """One value is read, ``X-Read``."""

    def test_values(self) -> None:
        """Values that are not read do not count; those that are do, to the last space."""
        shape = READ.of(fields(b"Host: a", b"X-Read: one", b"Trace: 1"))
        self.assertEqual(shape, b"Host: a\nX-Read: one\nTrace:")
        self.assertEqual(shape, READ.of(fields(b"Host: a", b"X-Read: one", b"Trace:")))
        for lines in (
            (b"Host: b", b"X-Read: one", b"Trace: 1"),
            (b"Host: a", b"X-Read: one ", b"Trace: 1"),
            (b"Host: a", b"X-Read: two", b"Trace: 1"),
            (b"Host: a", b"x-reaD: one", b"Trace: 1"),
            (b"Host: a", b"X-Read: one", b"TRACE: 1"),
            (b"Host: a", b"Trace: 1", b"X-Read: one"),
            (b"Host: a", b"X-Read: one"),
            (b"Host: a", b"X-Read: one", b"Trace: 1", b"Trace: 1"),
        ):
            other = READ.of(fields(*lines))
            self.assertNotIn(other, (None, shape), lines)

    def test_spelling(self) -> None:
        """A value that is read counts however the name is spelled, and only for that name."""
        for name in (b"x-read", b"X-READ", b"hOST", b"Connection"):
            self.assertEqual(READ.of(fields(name + b": one")), name + b": one")
        for name in (b"X-Reads", b"X-Rea", b"XX-Read", b"X_Read", b"Hosts"):
            self.assertEqual(READ.of(fields(name + b": one")), name + b":")

    def test_all(self) -> None:
        """Without names every value counts."""
        self.assertEqual(ALL.of(fields(b"Host: a", b"Trace: 1")), b"Host: a\nTrace: 1")

    def test_odd(self) -> None:
        """What is no line of plain text with a name has no shape."""
        for odd in (
            b" folded",
            b"\tfolded: x",
            b"Name : x",
            b": x",
            b"x",
            b"",
            b"a: b\x00",
            b"a: b\xff",
            b"a: b\x7f",
            b"a: b\rc: d",
            b"a: b\nc: d",
            b"a: b\n\rc: d",
            b"a: b\r c\n",
            b"n\xc3\xa4me: x",
            b"a(b: x",
        ):
            for shape in (READ, ALL):
                self.assertIsNone(shape.of(fields(b"Host: a", odd, b"Trace: 1")), odd)
                self.assertIsNone(shape.of(fields(odd)), odd)


_PIECES = st.sampled_from(
    [
        b"\r\n", b"\r\n", b"\r", b"\n", b" ", b"\t", b"\x00", b":", b": ", b"\xff", b"\x7f", b"(",
        b"X-Read", b"x-read: 1", b"Trace", b"Trace: 1", b"a", b"b: c", b"Cookie: a=b; c", b"9: 9",
    ]
)  # fmt: skip

_LINE = st.one_of(_PIECES, st.binary(max_size=4), st.lists(_PIECES, max_size=4).map(b"".join))


class AgreementTests(SynchronousTestCase):
    """There is one reading of a head, and it is twisted.web's."""

    @settings(max_examples=500)
    @given(st.lists(_LINE, max_size=6))
    def test_agreement(self, lines: list[bytes]) -> None:
        """A head that has a shape is taken by twisted.web, and has the fields of the shape."""
        head = fields(b"Host: x", *lines)
        shape, read = ALL.of(head), READ.of(head)
        self.assertEqual(shape is None, read is None)
        if shape is None or read is None:
            return
        expected: list[tuple[bytes, bytes]] = []
        for whole, kept in zip(shape.split(b"\n"), read.split(b"\n"), strict=True):
            name, _, value = whole.partition(b":")
            expected.append((name.lower(), value.strip(b" \t")))
            counts = name.lower() in (b"host", b"x-read")
            self.assertEqual(kept, whole if counts else name + b":")
        seen: list[Any] = []

        def answer(request: Any) -> bytes:
            seen.append(request.requestHeaders)
            return b"hello"

        exchange = Http1Exchange(answer)
        exchange.transport.deliver(b"GET / HTTP/1.1" + head)
        self.assertEqual(exchange.answer()[0], 200)
        (headers,) = seen
        names = dict.fromkeys(name for name, _ in expected)
        self.assertEqual([name.lower() for name, _ in headers.getAllRawHeaders()], list(names))
        for one in names:
            values = [value for name, value in expected if name == one]
            self.assertEqual(list(headers.getRawHeaders(one)), values)
