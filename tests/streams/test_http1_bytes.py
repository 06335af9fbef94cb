"""Bytes of HTTP/1.1 in any order, beside answers in any order: no failure is left unhandled."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.http.limits import HttpLimits
from tests.streams.exchange import DirectExchange, Http1Exchange, run_due
from tests.streams.held_requests import HeldRequests, body_rule

LIMITS = HttpLimits(max_line=300, max_head=300, max_headers=8, max_body=20, linger_bytes=50)

#: What clients send, whole and in part.
_PIECES = st.sampled_from(
    [
        b"GET /now HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /later HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /now HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        b"POST /later HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab",
        b"POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /body HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
        b"POST /now HTTP/1.1\r\nHost: a\r\n",
        b"GET /fails HTTP/1.1\r\nHost: a\r\n\r\n",
        b"HEAD /now HTTP/1.0\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http://b/later HTTP/1.1\r\nHost: a\r\n\r\n",
        b"Content-Length: " + b"9" * 5000 + b"\r\n", b"Content-Length: 12\r\n",
        b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: identity\r\n",
        b"Host: a b\r\n", b"Cookie: ;=;a\r\n", b"Connection: close\r\n", b" folded\r\n",
        b"\r\n", b"\r\n\r\n", b"3\r\nabc\r\n", b"0\r\n\r\n", b"zz\r\n", b"f" * 21 + b"\r\n",
        b"0\r\nTrailer: x\r\n\r\n", b"x" * 400, b"\x00\xff", b"\r", b"\n",
    ]
)  # fmt: skip

_ACTS = st.one_of(
    st.tuples(st.just("send"), _PIECES),
    st.tuples(st.just("send"), st.lists(_PIECES, min_size=2, max_size=3).map(b"".join)),
    st.tuples(st.just("send"), st.binary(max_size=8)),
    st.tuples(st.just("write"), st.integers(0, 3), st.sampled_from([0, 5, 100_000])),
    st.tuples(st.just("finish"), st.integers(0, 3)),
    st.tuples(st.just("turn"), st.sampled_from([0.0, 3.0, 11.0, 31.0, 61.0])),
    st.sampled_from([("block",), ("unblock",), ("leave",)]),
)


class _Server(HeldRequests):
    """A client's connection, and a server whose answers come when the test says so."""

    def __init__(self, exchange: type[Http1Exchange]) -> None:
        super().__init__()
        self.exchange = exchange(self.answer, LIMITS, body_rule=body_rule)

    def answer(self, request: Any) -> Any:
        if request.path == b"/now":
            return b"now" if hasattr(request, "content") else False
        if request.path == b"/fails":
            raise ValueError("as it should")
        return super().answer(request)


class BytesTests(SynchronousTestCase):
    """Whatever a client sends, and whenever its requests are answered."""

    @settings(max_examples=300, deadline=None)
    @given(st.sampled_from([Http1Exchange, DirectExchange]), st.lists(_ACTS, max_size=20))
    def test_any_order(self, exchange: type[Http1Exchange], acts: list[tuple[Any, ...]]) -> None:
        """Nothing is raised into the reactor, nothing is left in a Deferred, and a connection
        that has ended leaves no timer."""
        server = _Server(exchange)
        for name, *rest in acts:
            getattr(server, name)(*rest)
        server.unblock()
        server.leave()
        self.flushLoggedErrors(ValueError)
        self.assertEqual(self.flushLoggedErrors(), [])
        run_due(server.exchange.clock)
        self.assertEqual(server.exchange.clock.getDelayedCalls(), [])
