from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.http import head as request_head
from takotwist.streams.http.head import RequestHead, read_head
from takotwist.streams.http.limits import HttpLimits
from tests.streams.exchange import Http1Exchange

LIMITS = HttpLimits(max_line=200, max_head=200, max_headers=6)


def _read(data: bytes) -> RequestHead | None:
    return read_head(data, LIMITS.max_head, LIMITS.max_headers)


def _fields(headers: Any) -> dict[bytes, list[bytes]]:
    return {name.lower(): list(values) for name, values in headers.getAllRawHeaders()}


class HeadTests(SynchronousTestCase):
    """What is read, and what is left to twisted.web."""

    def test_read(self) -> None:
        """A plain GET: its target, its fields whatever their spelling, and where it ends."""
        data = b"GET /a%20b?x=1 HTTP/1.1\r\nHost: x\r\nX-TWO:\t one \r\nx-two:two\r\n\r\n"
        head = _read(data + b"behind")
        assert head is not None
        self.assertEqual(head.target, b"/a%20b?x=1")
        self.assertEqual(head.fields.getRawHeaders(b"X-Two"), [b"one", b"two"])
        self.assertTrue(head.fields.hasHeader(b"Host"))
        self.assertIsNone(head.fields.getRawHeaders(b"origin"))
        self.assertEqual(head.length, len(data))

    def test_declined(self) -> None:
        """Whatever is bad, ambiguous or merely unusual is declined, and nothing is refused."""
        for data in (
            b"GET / HTTP/1.1\r\nHost: x\r\n",
            b"GET / HTTP/1.1\nHost: x\n\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.0\r\nHost: x\r\n\r\n",
            b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"get / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET / / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /\t HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
            b"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nhOST: y\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\n\tfolded: y\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a b<script>\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x/y\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nName : y\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nname\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\na: b\x00\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\na: b\rc: d\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\na: b\nc: d\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\na: b\r c\n\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\ntransfer-encoding: identity\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Close\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 6 + b"\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\na: " + b"b" * 200 + b"\r\n\r\n",
        ):
            self.assertIsNone(_read(data), data)

    def test_names_are_bounded(self) -> None:
        """However many names of fields clients make up, few are remembered."""
        for number in range(request_head._MAX_NAMES + 50):
            head = _read(b"GET / HTTP/1.1\r\nHost: x\r\nX-%d: y\r\n\r\n" % number)
            assert head is not None
            self.assertEqual(head.fields.getRawHeaders(b"x-%d" % number), [b"y"])
        self.assertLessEqual(len(request_head._names), request_head._MAX_NAMES)


_PIECES = st.sampled_from(
    [
        b"GET ", b"POST ", b"/", b"/a?b=c", b"*", b"http://x/", b" HTTP/1.1", b" HTTP/1.0",
        b"\r\n", b"\r\n", b"\r\n", b"\r\n\r\n", b"\r", b"\n", b" ", b"\t", b"\x00", b":", b"\xff",
        b"Host: x", b"host:x", b"Connection: Upgrade", b"Connection: close", b"Connection: x close",
        b"Content-Length: 0", b"Content-Length: 3", b"Content-Length: +3",
        b"Transfer-Encoding: chunked", b"Transfer-Encoding : chunked", b"X: y", b"x:", b"X y: z",
        b"Host: a b<", b"Host: x/y", b"Host:", b"Transfer-Encoding: identity",
        b"Cookie: a=b; c", b"Expect: 100-continue", b"q" * 210,
    ]
)  # fmt: skip

_LINE = st.one_of(_PIECES, st.binary(max_size=6), st.lists(_PIECES, max_size=3).map(b"".join))

#: Heads that are nearly good, and bytes of every kind.
_HEADS = st.one_of(
    st.lists(_PIECES, max_size=14).map(b"".join),
    st.lists(_LINE, max_size=7).map(
        lambda lines: b"\r\n".join([b"GET /a HTTP/1.1", b"Host: x", *lines, b"", b""])
    ),
    st.binary(max_size=60),
)


class AgreementTests(SynchronousTestCase):
    """There is one reading of a request, and it is twisted.web's."""

    @settings(max_examples=500)
    @given(_HEADS)
    def test_agreement(self, data: bytes) -> None:
        """A head that is read here is read by twisted.web as the same request, with nothing
        of a body, nothing left over, and a connection that goes on."""
        head = _read(data)
        if head is None:
            return
        seen: list[tuple[Any, ...]] = []

        def answer(request: Any) -> bytes:
            seen.append(
                (request.method, request.uri, request.clientproto, _fields(request.requestHeaders))
            )
            seen.append((request.content.read(), dict(request.received_cookies)))
            return b"hello"

        exchange = Http1Exchange(answer, LIMITS)
        exchange.transport.deliver(data[: head.length])
        self.assertEqual(seen[0], (b"GET", head.target, b"HTTP/1.1", _fields(head.fields)))
        self.assertEqual(seen[1][0], b"")
        self.assertEqual(len(seen), 2)
        self.assertTrue(exchange.transport.connected)
        self.assertFalse(exchange.transport.disconnecting)
        self.assertEqual(exchange.answer()[0], 200)

    @settings(max_examples=300)
    @given(_HEADS)
    def test_length(self, data: bytes) -> None:
        """A head ends where twisted.web says that it does: a byte less is no request yet."""
        head = _read(data)
        if head is None:
            return
        seen: list[bytes] = []

        def answer(request: Any) -> bytes:
            seen.append(request.uri)
            return b""

        exchange = Http1Exchange(answer, LIMITS)
        exchange.transport.deliver(data[: head.length - 1])
        self.assertEqual(seen, [])
        exchange.transport.deliver(data[head.length - 1 : head.length])
        self.assertEqual(seen, [head.target])
