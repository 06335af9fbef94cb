"""Capsules, however the bytes are cut.

Datagrams, both ways, bounded by dropping.
"""

from __future__ import annotations

from aioquic.buffer import encode_uint_var
from aioquic.h3.events import DatagramReceived
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.webtransport import DatagramTooLarge, SessionClosed
from takotwist.streams.webtransport.capsules import (
    Capsule,
    CapsuleError,
    CapsuleParser,
    CloseSession,
    DrainSession,
    encode_close,
    encode_drain,
)
from tests.streams.webtransport.test_stream import StreamCase


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


class DatagramTests(StreamCase):
    """`Datagrams`."""

    def came(self) -> list[bytes]:
        """What the client got."""
        return [event.data for event in self.client.events if isinstance(event, DatagramReceived)]

    def test_both_ways(self) -> None:
        """A datagram reaches the other side whole."""
        waiting = Deferred.fromCoroutine(self.session.datagrams.receive())
        self.client.h3.send_datagram(self.session_id, b"ping")
        self.client.net.pump()
        self.assertEqual(self.successResultOf(waiting), b"ping")
        self.assertTrue(self.session.datagrams.send(b"pong"))
        self.assertTrue(self.session.datagrams.send(b""))
        self.client.net.pump()
        self.assertEqual(self.came(), [b"pong", b""])

    def test_largest(self) -> None:
        """The largest size that is promised fits; one byte more is refused, not stuck."""
        largest = self.session.datagrams.max_size
        self.assertGreater(largest, 1100)
        self.session.datagrams.send(b"x" * largest)
        error = self.assertRaises(
            DatagramTooLarge, self.session.datagrams.send, b"x" * (largest + 1)
        )
        self.assertEqual(error.limit, largest)
        self.client.net.pump()
        self.assertEqual(self.came(), [b"x" * largest])

    def test_too_many_in(self) -> None:
        """When a handler is too slow the oldest are dropped, and counted."""
        for number in range(70):
            self.client.h3.send_datagram(self.session_id, b"%d" % number)
        self.client.net.pump(1)
        self.assertEqual(self.session.datagrams.dropped, 6)
        self.assertEqual(self.run_now(self.session.datagrams.receive()), b"6")

    def test_too_many_out(self) -> None:
        """When the wire is too slow the newest are dropped, and the caller is told."""
        sent = [self.session.datagrams.send(b"x" * 1000) for _ in range(70)]
        self.assertEqual(sent, [True] * 64 + [False] * 6)
        self.client.net.pump(1)
        self.assertEqual(len(self.came()), 64)
        self.assertTrue(self.session.datagrams.send(b"again"))

    def test_end(self) -> None:
        """The end of the session ends the waiting, and the sending."""
        waiting = Deferred.fromCoroutine(self.session.datagrams.receive())
        self.session.close(5)
        self.assertEqual(self.failureResultOf(waiting, SessionClosed).value.code, 5)
        self.assertRaises(SessionClosed, self.session.datagrams.send, b"x")
        self.session.datagrams.received(b"late")
        self.failureResultOf(
            Deferred.fromCoroutine(self.session.datagrams.receive()), SessionClosed
        )
