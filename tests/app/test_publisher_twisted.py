"""Publishing from a Twisted program elsewhere."""

from __future__ import annotations

from typing import Any

from twisted.internet import error
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from takotwist import Published, Publisher, define_channel
from takotwist.app.awaited_exchange import MAX_IN_FLIGHT
from takotwist.app.publisher_twisted import DeferredPublisher
from takotwist.errors import BodyInvalid, ChannelUnknown, Unreachable

STORED = b'[{"id":"1","channel":"chat","type":"msg","data":1}]'


def http(body: bytes, status: int = 200) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


class Transport(StringTransport):
    """Tells its protocol of its end, as a real one does."""

    def abortConnection(self) -> None:
        self.lose()

    def loseConnection(self) -> None:
        self.lose()

    def lose(self) -> None:
        if not self.disconnecting:
            self.disconnecting = True
            self.protocol.connectionLost(Failure(error.ConnectionDone()))


@implementer(IStreamClientEndpoint)
class Endpoint:
    """Connections in memory; refused while it is `away`, never made while it is `silent`."""

    def __init__(self) -> None:
        self.away = self.silent = False
        self.made: list[Any] = []
        self.tried = 0

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        self.tried += 1
        if self.silent:
            # As a real one, which does not fail with CancelledError.
            return Deferred(lambda one: one.errback(error.ConnectingCancelledError(None)))
        if self.away:
            return fail(error.ConnectionRefusedError(111))
        transport = Transport()
        transport.protocol = protocolFactory.buildProtocol(None)
        transport.protocol.makeConnection(transport)
        self.made.append(transport)
        return succeed(transport.protocol)


class TestDeferredPublisher(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.endpoint = Endpoint()
        publisher = Publisher("http://live.example", "k1", jitter=lambda: 0.5)
        self.publisher = DeferredPublisher(self.clock, publisher, self.endpoint)

    def answer(self, data: bytes, connection: int = -1) -> None:
        self.endpoint.made[connection].protocol.dataReceived(data)

    def test_published(self) -> None:
        """One request on one connection, which is kept for the next."""
        first = self.publisher.publish("chat", {"room": "a"}, "msg", 1)
        self.assertNoResult(first)
        sent = self.endpoint.made[0].value()
        self.assertTrue(sent.startswith(b"POST /_tako/channels/chat?room=a HTTP/1.1\r\n"), sent)
        self.assertIn(b"\r\nAuthorization: Bearer k1\r\n", sent)
        self.answer(http(STORED)[:30])
        self.answer(http(STORED)[30:])
        self.assertEqual(self.successResultOf(first), Published("1", "chat", "msg", 1))
        second = self.publisher.publish_many("chat", None, [("msg", 1)])
        self.answer(http(STORED))
        self.assertEqual(self.successResultOf(second), [Published("1", "chat", "msg", 1)])
        self.assertEqual(len(self.endpoint.made), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.publisher.close()
        self.assertTrue(self.endpoint.made[0].disconnecting)

    def test_idle_connection_was_closed(self) -> None:
        """A kept connection that the server closed, or said something on, is not used again."""
        for end in (
            lambda transport: transport.lose(),
            lambda transport: transport.protocol.dataReceived(b"HTTP/1.1 408 Timeout\r\n\r\n"),
        ):
            before = len(self.endpoint.made)
            for _ in range(2):
                waiting = self.publisher.publish("chat", None, "msg", 1)
                self.answer(http(STORED))
                self.successResultOf(waiting)
                end(self.endpoint.made[-1])
            self.assertEqual(len(self.endpoint.made), before + 2)

    def test_refusal(self) -> None:
        """A refusal fails the Deferred, and so does what cannot be sent."""
        waiting = self.publisher.publish("chat", None, "msg", 1)
        self.answer(http(b'{"error":"none","code":"channel-unknown"}', 404))
        self.failureResultOf(waiting, ChannelUnknown)
        self.failureResultOf(self.publisher.publish("chat", None, "msg", {1}), BodyInvalid)
        self.assertEqual(self.successResultOf(self.publisher.publish_many("chat", None, [])), [])

    def test_cut_and_tried_again(self) -> None:
        """A connection that is cut within the answer costs another attempt, with the same key."""
        waiting = self.publisher.publish("chat", None, "msg", 1, idempotency_key="k")
        self.answer(b"HTTP/1.1 200 OK\r\nContent-Le")
        self.endpoint.made[0].lose()
        self.clock.advance(0.1)
        self.assertIn(b"Idempotency-Key: k\r\n", self.endpoint.made[1].value())
        self.answer(http(STORED))
        self.successResultOf(waiting)

    def test_away(self) -> None:
        """While the server is away no thread is held, publishes under way are bounded, each fails
        after its own patience, and the wait is said once."""
        self.endpoint.away = True
        with self.assertLogs("takotwist.publisher") as logged:
            waiting = [self.publisher.publish("chat", None, "msg", n) for n in range(40)]
            self.assertEqual(self.endpoint.tried, MAX_IN_FLIGHT)
            self.clock.pump([0.1] * 101)
        self.assertEqual(len(logged.records), 1)
        for one in waiting:
            failed = self.failureResultOf(one, Unreachable)
            self.assertIn("refused", str(failed.value))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_turns(self) -> None:
        """Publishes beyond the bound come when others are done, in order."""
        waiting = [self.publisher.publish("chat", None, "msg", n) for n in range(MAX_IN_FLIGHT + 2)]
        self.assertEqual(len(self.endpoint.made), MAX_IN_FLIGHT)
        self.answer(http(STORED), 0)
        self.successResultOf(waiting[0])
        self.assertTrue(self.endpoint.made[0].value().endswith(b'"data":%d}]' % MAX_IN_FLIGHT))
        for number in range(MAX_IN_FLIGHT):
            self.answer(http(STORED), number)
        self.answer(http(STORED), 0)
        for one in waiting:
            if one.called:
                self.successResultOf(one)
        self.assertTrue(all(one.called for one in waiting))

    def test_silent(self) -> None:
        """A server that cannot be connected to, or does not answer, is given up in time."""
        self.endpoint.silent = True
        waiting = self.publisher.publish("chat", None, "msg", 1)
        with self.assertLogs("takotwist.publisher"):
            self.clock.pump([0.5] * 21)
        self.failureResultOf(waiting, Unreachable)
        self.endpoint.silent = False
        waiting = self.publisher.publish("chat", None, "msg", 1)
        self.clock.pump([0.5] * 21)
        self.failureResultOf(waiting, Unreachable)
        self.assertTrue(all(one.disconnecting for one in self.endpoint.made))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancelled(self) -> None:
        """A Deferred that is cancelled closes its connection and gives its turn back."""
        for _ in range(MAX_IN_FLIGHT + 1):
            waiting = self.publisher.publish("chat", None, "msg", 1)
            waiting.cancel()
            self.failureResultOf(waiting)
        self.assertTrue(all(one.disconnecting for one in self.endpoint.made))
        waiting = self.publisher.publish("chat", None, "msg", 1)
        self.answer(http(STORED))
        self.successResultOf(waiting)

    def test_cancelled_while_connecting(self) -> None:
        """A publish that is cancelled before it has a connection is not tried again."""
        self.endpoint.silent = True
        waiting = self.publisher.publish("chat", None, "msg", 1)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertEqual(self.endpoint.tried, 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_bound(self) -> None:
        """A channel bound to it is awaited under any reactor."""
        chat = define_channel("chat")
        chat.bind(self.publisher)
        answer = Deferred.fromCoroutine(chat().publish("msg", 1))
        self.answer(http(STORED))
        self.assertEqual(self.successResultOf(answer).id, "1")
