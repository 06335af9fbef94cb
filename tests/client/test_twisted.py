"""The Twisted client in memory: what it asks, when it gives up, what it leaves behind."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from takotwist.client.events import Message
from takotwist.client.machine.link import State
from takotwist.client.twisted import subscribe

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(text: str) -> bytes:
    """A piece of a chunked response."""
    return b"%x\r\n%b\r\n" % (len(text.encode()), text.encode())


class Connection:
    """The server's side of a connection that the client made."""

    def __init__(self, reactor: MemoryReactorClock) -> None:
        factory = reactor.tcpClients.pop(0)[2]
        self.protocol: Any = factory.buildProtocol(None)
        self.transport = StringTransport()
        self.lost = False
        self.transport.abortConnection = self._aborted
        self.transport.loseConnection = lambda: self.lose(ConnectionDone())
        self.protocol.makeConnection(self.transport)

    def _aborted(self) -> None:
        self.lose(ConnectionAborted())

    def lose(self, why: Exception) -> None:
        """The connection is gone."""
        if not self.lost:
            self.lost = True
            self.protocol.connectionLost(Failure(why))

    def give(self, data: bytes) -> None:
        """The server says `data`."""
        self.protocol.dataReceived(data)

    def asked(self) -> str:
        """What the client has said."""
        return self.transport.value().decode()


class TwistedTests(SynchronousTestCase):
    """`takotwist.client.twisted` on a clock that is turned by hand."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()

    def subscribe(self, **more: Any) -> Any:
        """A subscription of ``chat`` over SSE, whose delays have no jitter."""
        chat = subscribe(
            self.reactor,
            "http://x.example",
            "chat",
            transport="sse",
            endpoint=TCP4ClientEndpoint(self.reactor, "192.0.2.1", 80),
            random=lambda: 0.5,
            **more,
        )
        chat.start()
        return chat

    def close(self, chat: Any) -> None:
        """Close it, and look for what was left."""
        self.successResultOf(Deferred.fromCoroutine(chat.close()))
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(self.reactor.tcpClients, [])

    def test_resumes(self) -> None:
        """After a cut it waits, comes back with its cursor, and goes on."""
        chat = self.subscribe(credentials="Bearer t")
        first = Connection(self.reactor)
        self.assertIn("GET /_tako/channels/chat?stale=reset HTTP/1.1", first.asked())
        self.assertIn("Bearer t", first.asked())
        self.assertNotIn("Last-Event-ID", first.asked().title())
        first.give(OK + chunk("retry: 1000\n\nid: 41\n\n"))
        self.assertEqual((chat.state, chat.cursor), (State.OPEN, "41"))
        first.lose(ConnectionAborted())
        self.assertIs(chat.state, State.WAITING)
        self.reactor.advance(0.49)
        self.assertEqual(self.reactor.tcpClients, [])
        self.reactor.advance(0.01)
        second = Connection(self.reactor)
        self.assertIn("last-event-id: 41", second.asked().lower())
        waiting = Deferred.fromCoroutine(chat.__anext__())
        self.assertNoResult(waiting)
        message = {"id": "42", "channel": "chat", "type": "msg", "data": 1}
        second.give(OK + chunk(f"id: 42\ndata: {json.dumps(message)}\n\n"))
        self.assertEqual(self.successResultOf(waiting), Message("42", "chat", "msg", 1))
        self.assertEqual(chat.cursor, "42")
        self.close(chat)
        self.assertTrue(second.lost)

    def test_silent(self) -> None:
        """A connection that is silent for two keepalives is aborted, and another made."""
        chat = self.subscribe()
        first = Connection(self.reactor)
        first.give(OK + chunk("id: 41\n\n"))
        self.reactor.advance(49)
        first.give(chunk(": keepalive\n\n"))
        self.reactor.advance(49.5)
        self.assertFalse(first.lost)
        self.reactor.advance(0.5)
        self.assertTrue(first.lost)
        self.reactor.advance(0.5)
        self.assertIn("last-event-id: 41", Connection(self.reactor).asked().lower())
        self.close(chat)

    def test_server_without_answer(self) -> None:
        """A server that accepts and says nothing is given up too."""
        chat = self.subscribe()
        first = Connection(self.reactor)
        self.reactor.advance(50)
        self.assertTrue(first.lost)
        self.close(chat)

    def test_close_while_connecting(self) -> None:
        """Closing before there is a connection leaves nothing."""
        chat = self.subscribe()
        connector = self.reactor.tcpClients.pop(0)
        self.assertIsNotNone(connector)
        self.close(chat)
        self.assertIs(chat.state, State.CLOSED)

    def test_credentials_later(self) -> None:
        """Credentials may take their time; a login service that is away is asked again."""
        answers: list[Deferred[str]] = []

        def ask() -> Deferred[str]:
            answers.append(Deferred())
            return answers[-1]

        chat = self.subscribe(credentials=ask)
        self.assertEqual(self.reactor.tcpClients, [])
        answers[0].errback(RuntimeError("login service away"))
        self.reactor.advance(0.25)
        answers[1].callback("Bearer late")
        self.assertIn("Bearer late", Connection(self.reactor).asked())
        self.close(chat)
