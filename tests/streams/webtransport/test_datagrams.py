"""Datagrams, both ways, bounded by dropping."""

from __future__ import annotations

from aioquic.h3.events import DatagramReceived
from twisted.internet.defer import Deferred

from takotwist.streams.webtransport import DatagramTooLarge, SessionClosed
from tests.streams.webtransport.test_stream import StreamCase


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
