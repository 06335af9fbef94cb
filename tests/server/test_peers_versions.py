"""Two releases side by side: nodes that do not speak the same say so, and misread nothing."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from takotwist.admin.nodes import NodeInfo, read_info, this_process
from takotwist.core.node import Node
from takotwist.errors import Overloaded
from takotwist.live.peers import VERSION, Greeting, Leave, PeerStream, ask
from takotwist.server.config.endpoint_text import EndpointText
from takotwist.server.peers import KNOWN_SECONDS, NodePeers
from takotwist.transports.live.peer_connection import PeerConnection

LEAVE = Leave("me", session="s", secret="x", version=VERSION)


class Directory:
    """One other node, by what it says of itself."""

    said: NodeInfo

    def renew(self, info: bytes) -> None:
        """Nobody asks what it was."""

    def nodes(self) -> Deferred[list[Node]]:
        """See `INodeDirectory`."""
        return succeed([Node("n", 0.0, msgspec.msgpack.encode(self.said))])


class Heard:
    """Listens to a connection that was accepted."""

    gone = False

    def lost(self) -> None:
        """See `PeerListener`."""
        self.gone = True


class ConnectingTests(SynchronousTestCase):
    """A node that has something to ask of another one."""

    def setUp(self) -> None:
        self.directory = Directory()
        self.reactor = MemoryReactorClock()
        endpoint = EndpointText.parse("tcp:7070")
        peers: Any = (self.reactor, self.directory, endpoint, "tcp:127.0.0.1:7070", 1000, "me")
        self.peers = NodePeers(*peers)

    def asking(self, speaks: int) -> Deferred[Any]:
        # Who is there was found out before.
        self.reactor.advance(2 * KNOWN_SECONDS)
        info = this_process("you", peer="tcp:127.0.0.1:7071")
        self.directory.said = msgspec.structs.replace(info, speaks=speaks, version="9.9")
        return Deferred.fromCoroutine(ask(self.peers, Leave("you", session="s")))

    def test_another_version(self) -> None:
        """A newer one, or an older, is not connected to; the log says which it is, once."""
        for speaks in (VERSION + 1, VERSION - 1):
            self.setUp()
            with capturedLogs() as said:
                for _ in range(3):
                    self.failureResultOf(self.asking(speaks), Overloaded)
            told = [formatEvent(one) or "" for one in said]
            self.assertEqual(self.reactor.tcpClients, [])
            self.assertEqual(len(told), 1)
            self.assertIn("release 9.9", told[0])
            self.assertIn(f"version {speaks} ", told[0])

    def test_same_version(self) -> None:
        """It is connected to, and told the version."""
        asking = self.asking(VERSION)
        [(_, port, factory, *_)] = self.reactor.tcpClients
        self.assertEqual(port, 7071)
        connection = factory.buildProtocol(None)
        transport = StringTransport()
        connection.makeConnection(transport)
        sent = msgspec.msgpack.decode(transport.value()[4:])
        self.assertEqual((sent["version"], sent["session"]), (VERSION, "s"))
        self.assertNoResult(asking)

    def test_description_of_another_release(self) -> None:
        """What a node says of itself is read though there is more in it, or less."""
        said = msgspec.to_builtins(this_process("you"))
        newer = msgspec.msgpack.encode({**said, "speaks": 2, "more": [1]})
        info = read_info(Node("n", 0.0, newer))
        assert info is not None
        self.assertEqual((info.id, info.speaks), ("you", 2))
        del said["speaks"]
        info = read_info(Node("n", 0.0, msgspec.msgpack.encode(said)))
        assert info is not None
        self.assertEqual(info.speaks, 1)


class AcceptingTests(SynchronousTestCase):
    """A node that another one has connected to."""

    def setUp(self) -> None:
        self.accepted: list[Greeting] = []
        self.transport = StringTransport()
        self.connection = PeerConnection(Clock(), 1000, None, self.accept)
        self.connection.makeConnection(self.transport)

    def accept(self, greeting: Greeting, stream: PeerStream) -> Any:
        self.accepted.append(greeting)
        return Heard()

    def greet(self, **more: Any) -> None:
        said = {**msgspec.to_builtins(LEAVE), **more}
        greeting = msgspec.msgpack.encode({k: v for k, v in said.items() if v is not None})
        self.connection.dataReceived(len(greeting).to_bytes(4, "big") + greeting)

    def test_another_version(self) -> None:
        """Of a newer one, or an older, nothing but that is read, and the log says so."""
        for more in ({"version": VERSION + 1, "type": "Sing", "session": 7}, {"version": 0}):
            self.setUp()
            with capturedLogs() as said:
                self.greet(**more)
            [told] = [formatEvent(one) for one in said]
            self.assertIn(f"speaks version {more['version']} ", told)
            self.assertEqual((self.accepted, self.transport.value()), ([], b""))
            self.assertTrue(self.transport.disconnecting)

    def test_same_version(self) -> None:
        """It is answered, also where it says a little more; and where it names none, as the first
        version does."""
        for more in ({}, {"more": 1}, {"version": None}):
            self.setUp()
            self.greet(**more)
            self.assertEqual(self.accepted, [LEAVE])
            self.assertFalse(self.transport.disconnecting)
