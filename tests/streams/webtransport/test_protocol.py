"""Twisted protocols on streams.

The coroutines of a session.
"""

from __future__ import annotations

from typing import Any

from aioquic.quic.events import StopSendingReceived, StreamReset
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from takotwist.streams.webtransport import run_protocol
from takotwist.streams.webtransport.errors import SessionClosed
from takotwist.streams.webtransport.protocol import Work
from tests.streams.http3.resources import PushProducer
from tests.streams.webtransport.test_stream import StreamCase


class Lines(LineOnlyReceiver):
    """Answers each line with its length."""

    delimiter = b"\n"

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.lost: list[Any] = []

    def lineReceived(self, line: bytes) -> None:
        self.lines.append(line)
        self.sendLine(b"%d" % len(line))

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.lost.append(reason and reason.type)


@implementer(IHalfCloseableProtocol)
class HalfClosing(Protocol):
    """Answers when its client has said everything."""

    def readConnectionLost(self) -> None:
        assert self.transport is not None
        self.transport.write(b"all heard")
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Not used by streams."""


class ProtocolTests(StreamCase):
    """`run_protocol`."""

    def test_lines(self) -> None:
        """A line protocol works on a stream, and ends when the client does."""
        protocol = Lines()
        over: list[bool] = []
        run_protocol(self.incoming(b"one\nthr"), protocol, on_lost=lambda: over.append(True))
        self.client.quic.send_stream_data(self.stream_id, b"ee\n")
        self.client.net.pump()
        self.assertEqual(protocol.lines, [b"one", b"three"])
        self.assertEqual(self.client.raw[self.stream_id], b"3\n5\n")
        self.client.quic.send_stream_data(self.stream_id, b"", end_stream=True)
        self.client.net.pump()
        self.assertEqual((protocol.lost, over), ([ConnectionDone], [True]))

    def test_addresses(self) -> None:
        """A protocol knows who is there."""
        transport = run_protocol(self.incoming(b"x"), Lines())
        self.assertEqual(transport.getPeer().host, "192.0.2.7")
        self.assertEqual(transport.getHost().port, 443)

    def test_half_close(self) -> None:
        """A protocol that knows half-closes may answer after the client's end."""
        run_protocol(self.incoming(b"x", end=True), HalfClosing())
        self.client.net.pump()
        self.assertEqual(self.client.raw[self.stream_id], b"all heard")

    def test_abort(self) -> None:
        """An abort resets both directions."""
        protocol = Lines()
        transport = run_protocol(self.incoming(b"x"), protocol)
        transport.abortConnection()
        transport.write(b"too late")
        self.client.net.pump()
        self.assertIsNotNone(self.client.quic_event(StreamReset, self.stream_id))
        self.assertIsNotNone(self.client.quic_event(StopSendingReceived, self.stream_id))
        self.assertEqual(protocol.lost, [ConnectionAborted])

    def test_session_closes(self) -> None:
        """The end of the session is the loss of the connection."""
        protocol = Lines()
        run_protocol(self.incoming(b"x"), protocol)
        self.session.close()
        self.assertEqual(protocol.lost, [ConnectionLost])

    def test_producer(self) -> None:
        """A producer is paused, resumed, and stopped when the connection is lost."""
        transport = run_protocol(self.incoming(b"x"), Lines())
        producer = PushProducer(transport, b"y" * 8192)
        written = producer.fill(1000)
        self.assertEqual(written, 9)
        self.client.net.pump(2)
        self.assertEqual(producer.told, ["pause", "resume"])
        transport.loseConnection()
        self.assertEqual(producer.told[-1], "stop")
        with self.assertRaises(ValueError):
            transport.registerProducer(producer, False)

    def test_pause(self) -> None:
        """A protocol that pauses its transport gets nothing until it resumes it."""
        protocol = Lines()
        transport = run_protocol(self.incoming(), protocol)
        transport.pauseProducing()
        self.client.quic.send_stream_data(self.stream_id, b"one\n")
        self.client.net.pump()
        self.assertEqual(protocol.lines, [])
        transport.resumeProducing()
        self.assertEqual(protocol.lines, [b"one"])

    def test_peer_that_never_reads(self) -> None:
        """A protocol that writes on to a peer that reads nothing loses it, not our memory."""
        protocol = Lines()
        transport = run_protocol(self.incoming(), protocol)
        self.client.net.drop = lambda _: True
        for _ in range(200):
            transport.write(b"x" * 16384)
        self.assertEqual(protocol.lost, [ConnectionAborted])


class WorkTests(SynchronousTestCase):
    """`Work`."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.told: list[str] = []
        self.work = Work(
            self.clock, 5.0, lambda: self.told.append("failed"), lambda: self.told.append("idle")
        )

    async def wait(self, until: Deferred[None]) -> None:
        """A coroutine in the test's hand."""
        await until

    def test_idle_after_the_end(self) -> None:
        """Idleness is told once the session is over and the last coroutine has returned."""
        one: Deferred[None] = Deferred()
        two: Deferred[None] = Deferred()
        self.work.start(self.wait(one))
        self.work.start(self.wait(two))
        one.callback(None)
        self.work.end()
        self.assertEqual(self.told, [])
        two.callback(None)
        self.assertEqual(self.told, ["idle"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_grace(self) -> None:
        """What has not come to its end in time is cancelled."""
        until: Deferred[None] = Deferred()
        self.work.start(self.wait(until))
        self.work.end()
        self.clock.advance(4.9)
        self.assertTrue(self.work)
        self.clock.advance(0.2)
        self.assertFalse(self.work)
        self.assertEqual(self.told, ["idle"])

    def test_started_after_the_end(self) -> None:
        """What is started after the end has the same time."""
        self.work.end()
        self.work.start(self.wait(Deferred()))
        self.clock.advance(5)
        self.assertFalse(self.work)

    def test_failure(self) -> None:
        """A failure is logged and told; one that the end has caused is neither."""
        first: Deferred[None] = Deferred()
        self.work.start(self.wait(first))
        first.errback(RuntimeError("on purpose"))
        self.assertEqual(self.told, ["failed"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        for error in (SessionClosed(), CancelledError()):
            later: Deferred[None] = Deferred()
            self.work.start(self.wait(later))
            self.work.end()
            later.errback(error)
        self.assertEqual(self.told, ["failed", "idle", "idle"])
