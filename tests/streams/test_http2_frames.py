"""Frames of HTTP/2 in any order, beside answers in any order: no failure is left unhandled."""

from __future__ import annotations

import struct
from typing import Any

from hpack import Encoder
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.http.limits import HttpLimits
from tests.streams.exchange import Http2Exchange, run_due
from tests.streams.held_requests import HeldRequests, body_rule

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4
PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 6, 7, 8, 9
END_HEADERS = 4

_STREAMS = st.sampled_from([1, 3, 5, 7, 9, 11])

#: Of a stream, or of the connection; some that cannot be.
_ANY_STREAM = st.one_of(_STREAMS, st.sampled_from([0, 2, 2**31 - 1]))

_TARGETS = st.sampled_from(["/now", "/later", "/body", "/large", "/fails"])

_FIELDS = st.lists(
    st.sampled_from(
        [
            ("x", "y"), ("cookie", "a=b"), ("content-length", "3"), ("content-length", "x"),
            ("x-large", "~" * 700), ("X", "y"), ("connection", "close"), ("host", "other"),
            (":path", "/"), ("te", "gzip"), ("expect", "100-continue"), ("", "x"),
        ]
    ),
    max_size=3,
)  # fmt: skip


class _Server(HeldRequests):
    """A client's connection, and a server whose answers come when the test says so."""

    turns = 5

    def __init__(self) -> None:
        super().__init__()
        limits = HttpLimits(max_head=1000, max_streams=4, linger_bytes=50, max_body=20)
        self.exchange = Http2Exchange(self.answer, limits, body_rule=body_rule)
        self.encoder = Encoder()

    def answer(self, request: Any) -> Any:
        if request.path == b"/now":
            return b"now"
        if request.path == b"/fails":
            return 5
        if request.path == b"/large":
            return b"x" * 200_000
        return super().answer(request)

    def do(self, act: tuple[Any, ...]) -> None:
        """One step of either side."""
        name, *rest = act
        getattr(self, name)(*rest)
        self.exchange.transport.take()

    def frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        """Any frame, also one that no library would write."""
        head = struct.pack("!HBBBL", len(payload) >> 8, len(payload) & 255, kind, flags, stream)
        self.send(head + payload)

    def head(self, stream: int, target: str, method: str, fields: Any, end: bool, cut: int) -> None:
        head = [(":method", method), (":path", target), (":scheme", "https"), (":authority", "a")]
        block = self.encoder.encode([*head, *fields])
        if not 0 < cut < len(block):
            self.frame(HEADERS, END_HEADERS | end, stream, block)
            return
        self.frame(HEADERS, end, stream, block[:cut])
        self.frame(CONTINUATION, END_HEADERS, stream, block[cut:])

    def data(self, stream: int, size: int, end: bool) -> None:
        self.frame(DATA, end, stream, b"x" * size)

    def reset(self, stream: int) -> None:
        self.frame(RST_STREAM, 0, stream, struct.pack("!L", 8))

    def window(self, stream: int, size: int) -> None:
        self.frame(WINDOW_UPDATE, 0, stream, struct.pack("!L", size))

    def priority(self, stream: int, on: int, exclusive: bool, times: int) -> None:
        for number in range(times):
            other = on + 2001 * number & 2**31 - 1
            dependency = struct.pack("!LB", other | exclusive << 31, 7)
            self.frame(PRIORITY, 0, stream + 2 * number & 2**31 - 1, dependency)

    def settings(self, which: int, value: int, ack: bool) -> None:
        self.frame(SETTINGS, ack, 0, b"" if ack else struct.pack("!HL", which, value))

    def ping(self) -> None:
        self.frame(PING, 0, 0, b"12345678")

    def goaway(self) -> None:
        self.frame(GOAWAY, 0, 0, bytes(8))

    def stop(self) -> None:
        self.exchange.site.leave()


_ACTS = st.one_of(
    st.tuples(
        st.just("head"), _STREAMS, _TARGETS, st.sampled_from(["GET", "POST", "HEAD", "CONNECT"]),
        _FIELDS, st.booleans(), st.integers(0, 40),
    ),
    st.tuples(st.just("head"), _STREAMS, _TARGETS, st.just("POST"), st.just([]), st.just(False),
              st.just(0)),
    st.tuples(st.just("data"), _ANY_STREAM, st.sampled_from([0, 3, 30, 16384]), st.booleans()),
    st.tuples(st.just("reset"), _ANY_STREAM),
    st.tuples(st.just("window"), _ANY_STREAM, st.sampled_from([1, 30_000, 2**31 - 1])),
    st.tuples(st.just("priority"), _ANY_STREAM, _ANY_STREAM, st.booleans(),
              st.sampled_from([1, 3, 900])),
    st.tuples(st.just("settings"), st.integers(1, 9),
              st.sampled_from([0, 1, 100, 16384, 65536, 2**31 - 1, 2**32 - 1]), st.booleans()),
    st.sampled_from([("ping",), ("goaway",), ("block",), ("unblock",), ("leave",), ("stop",)]),
    st.tuples(st.just("send"), st.binary(max_size=20)),
    st.tuples(st.just("write"), st.integers(0, 5), st.sampled_from([0, 1, 70_000])),
    st.tuples(st.just("finish"), st.integers(0, 5)),
    st.tuples(st.just("turn"), st.sampled_from([0, 0, 0, 1, 11, 61])),
)  # fmt: skip


class FramesTests(SynchronousTestCase):
    """Whatever a client sends, and whenever its requests are answered."""

    @settings(max_examples=300, deadline=None)
    @given(st.lists(_ACTS, max_size=25))
    def test_any_order(self, acts: list[tuple[Any, ...]]) -> None:
        """Nothing is raised into the reactor, nothing is left in a Deferred, and a connection
        that has ended leaves no timer."""
        server = _Server()
        for act in acts:
            server.do(act)
        for kept in range(len(server.kept)):
            server.do(("finish", kept))
        server.do(("unblock",))
        server.do(("turn", 0))
        server.do(("leave",))
        failures = [
            failure
            for failure in self.flushLoggedErrors()
            if "not bytes" not in failure.getErrorMessage()
        ]
        self.assertEqual(failures, [])
        run_due(server.exchange.clock)
        self.assertEqual(server.exchange.clock.getDelayedCalls(), [])
