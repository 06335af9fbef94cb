"""When bytes may go straight to the socket.

Bodies into HTTP/2 streams, in memory; also holds what we assume of Twisted's own HTTP/2.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from h2.config import H2Configuration
from h2.connection import H2Connection as ClientConnection
from h2.errors import ErrorCodes
from h2.events import DataReceived, StreamEnded, StreamReset
from h2.settings import SettingCodes, Settings
from twisted.internet.address import IPv4Address
from twisted.internet.base import DelayedCall
from twisted.internet.task import Clock
from twisted.internet.tcp import Connection as TcpConnection
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.trial.unittest import SynchronousTestCase
from twisted.web._http2 import H2Connection
from twisted.web.http import HTTPChannel
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from takotwist.streams.files.sinks import FRAME, QUEUE, plain_socket
from tests.streams.files.exchange import NOW, Serving, SlowTransport


class Connected(TcpConnection):
    """A connection that has addresses, and nothing to switch."""

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 1)

    getHost = getPeer

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Not on this socket."""


class PlainSocket(SynchronousTestCase):
    """The direct way is taken only where nothing stands between."""

    def request(self, transport: object) -> Request:
        """A request on an HTTP/1.1 channel over `transport`."""
        channel = HTTPChannel()
        channel.site = Site(Resource(), reactor=MemoryReactorClock())
        channel.timeOut = None
        channel.makeConnection(transport)
        return Request(channel)

    def connection(self) -> TcpConnection:
        """A connection of Twisted's own on a real socket that nobody serves."""
        here, there = socket.socketpair()
        self.addCleanup(there.close)
        self.addCleanup(here.close)
        connection = Connected(here, HTTPChannel(), MemoryReactorClock())
        connection.connected = 1
        return connection

    def test_plain(self) -> None:
        """A plain connection is used directly."""
        connection = self.connection()
        self.assertIs(plain_socket(self.request(connection)), connection)

    def test_not_over_tls(self) -> None:
        """TLS, from the start or by STARTTLS, has to see the bytes."""
        connection = self.connection()
        request = self.request(connection)
        connection.TLS = True
        self.assertIsNone(plain_socket(request))
        tls = TLSMemoryBIOProtocol.__new__(TLSMemoryBIOProtocol)
        request.channel.transport = tls
        self.assertIsNone(plain_socket(request))

    def test_not_through_wrappers(self) -> None:
        """Another transport, another producer on it, or a wrapped request: the layers decide."""
        self.assertIsNone(plain_socket(self.request(StringTransport())))
        connection = self.connection()
        request = self.request(connection)
        connection.producer = None
        self.assertIsNone(plain_socket(request))
        self.assertIsNone(plain_socket(object()))  # type: ignore[arg-type]

    def test_not_past_an_encoder(self) -> None:
        """An encoder of twisted.web has to see the bytes."""
        request = self.request(self.connection())
        request._encoder = object()
        self.assertIsNone(plain_socket(request))


SIZE = 4_000_000
CONTENT = os.urandom(SIZE)
WIDE = 32 * 1_048_576


class Streams(SynchronousTestCase):
    """One HTTP/2 connection, its client in our hands."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.path.write_bytes(CONTENT)
        self.resource = Serving(self.path)
        self.clock = Clock()
        self.clock.advance(NOW)
        site = Site(self.resource, reactor=self.clock)
        self.transport = SlowTransport()
        self.server = H2Connection(reactor=self.clock)
        self.server.requestFactory = site.requestFactory
        self.server.site = self.server.factory = site
        self.server.callLater = self.clock.callLater
        self.server.timeOut = None
        self.client = ClientConnection(H2Configuration(client_side=True, header_encoding=None))
        self.body: dict[int, bytes] = {}
        self.ended: list[int] = []
        self.reset: list[tuple[int, int]] = []

    def connect(self, window: int, connection_window: int = WIDE) -> None:
        """Open the connection with these windows."""
        wanted = {SettingCodes.INITIAL_WINDOW_SIZE: window}
        self.client.local_settings = Settings(client=True, initial_values=wanted)
        self.client.initiate_connection()
        if connection_window > 65535:
            self.client.increment_flow_control_window(connection_window - 65535)
        self.server.makeConnection(self.transport)
        self.transport.registerProducer(self.server, True)
        self.flush()

    def ask(self, stream: int = 1) -> None:
        """GET the file."""
        self.client.send_headers(
            stream,
            [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"x"), (b":path", b"/")],
            end_stream=True,
        )
        self.flush()

    def flush(self) -> None:
        """What the client has to say reaches the server."""
        self.server.dataReceived(self.client.data_to_send())

    def turn(self, times: int = 1, *, read: bool = True) -> None:
        """Turns of the reactor; the client reads what the transport has, or does not."""
        for _ in range(times):
            # Not advance(0), which goes on for as long as calls make new ones.
            for call in self.due():
                self.clock.calls.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)
            if read:
                self.read()

    def read(self) -> None:
        """The client reads; its windows stay as they are."""
        for event in self.client.receive_data(self.transport.read()):
            if isinstance(event, DataReceived):
                self.body[event.stream_id] = self.body.get(event.stream_id, b"") + event.data
            elif isinstance(event, StreamEnded):
                self.ended.append(event.stream_id)
            elif isinstance(event, StreamReset):
                self.reset.append((event.stream_id, event.error_code))

    def queued(self, stream: int = 1) -> int:
        """Bytes that wait inside Twisted."""
        return sum(len(chunk) for chunk in self.server._outboundStreamQueues[stream])

    def due(self) -> list[DelayedCall]:
        """Calls that the next turn makes."""
        now = self.clock.seconds()
        return [call for call in self.clock.calls if call.getTime() <= now]


class Queue(Streams):
    """Back-pressure of our own."""

    def test_whole(self) -> None:
        """A body arrives whole, and the stream ends."""
        self.connect(WIDE)
        self.ask()
        self.turn(SIZE // FRAME + 20)
        self.assertTrue(self.body[1] == CONTENT)
        self.assertEqual((self.ended, self.resource.results), ([1], [True]))

    def test_bounded(self) -> None:
        """F12: a window of 32 MiB does not make us queue more than our bound."""
        self.connect(WIDE)
        self.ask()
        self.turn(100, read=False)
        self.assertLessEqual(self.queued(), QUEUE + FRAME)
        self.assertGreater(self.queued(), 0)

    def test_no_busy_loop(self) -> None:
        """While the socket is full, nothing is called again and again."""
        self.connect(WIDE)
        self.ask()
        self.turn(100, read=False)
        self.assertEqual(self.due(), [])
        self.turn(SIZE // FRAME + 20)
        self.assertTrue(self.body[1] == CONTENT)

    def test_window(self) -> None:
        """Not a byte more than the peer's window is queued, and an update goes on."""
        self.connect(100_000)
        self.ask()
        self.turn(100)
        self.assertEqual((len(self.body[1]), self.queued()), (100_000, 0))
        self.assertEqual(self.due(), [])
        while not self.ended:
            self.client.increment_flow_control_window(99_999, 1)
            self.flush()
            self.turn(20)
        self.assertTrue(self.body[1] == CONTENT)

    def test_no_window_at_all(self) -> None:
        """A peer that begins without a window gets the body when it opens one."""
        self.connect(0)
        self.ask()
        self.turn(10)
        self.assertNotIn(1, self.body)
        self.client.increment_flow_control_window(WIDE, 1)
        self.flush()
        self.turn(SIZE // FRAME + 20)
        self.assertTrue(self.body[1] == CONTENT)

    def test_shared_window(self) -> None:
        """Streams that share the connection's window end all, and wait for it without spinning."""
        self.connect(WIDE, connection_window=300_000)
        for stream in (1, 3, 5):
            self.ask(stream)
        self.turn(100)
        self.assertEqual(sum(map(len, self.body.values())), 300_000)
        self.assertEqual(self.due(), [])
        for _ in range(400):
            self.turn(20)
            self.client.increment_flow_control_window(300_000)
            self.flush()
            if len(self.ended) == 3:
                break
        self.assertEqual(sorted(self.ended), [1, 3, 5])
        self.assertTrue(all(body == CONTENT for body in self.body.values()))


class Ends(Streams):
    """Streams that end early."""

    def test_reader_resets(self) -> None:
        """A reader that resets its stream leaves nothing behind, and the connection goes on."""
        self.connect(100_000)
        self.ask()
        self.turn(20)
        self.client.reset_stream(1)
        self.flush()
        self.assertEqual(self.resource.results, [False])
        self.path.write_bytes(b"short")
        self.ask(3)
        self.turn(20)
        self.assertEqual(self.body[3], b"short")

    def test_connection_lost(self) -> None:
        """A connection that is lost leaves no timer."""
        self.connect(100_000)
        self.ask()
        self.turn(20)
        self.transport.producer.stopProducing()
        self.assertEqual(self.resource.results, [False])
        self.turn(3, read=False)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stall(self) -> None:
        """A stream whose window stays shut is reset, and the connection goes on."""
        self.connect(100_000)
        self.ask()
        self.turn(20)
        self.clock.advance(61)
        self.read()
        self.assertEqual(self.reset, [(1, ErrorCodes.INTERNAL_ERROR)])
        self.assertEqual(self.resource.results, [False])
        self.path.write_bytes(b"short")
        self.ask(3)
        self.turn(20)
        self.assertEqual(self.body[3], b"short")

    def test_changed(self) -> None:
        """F13: a file that shrinks resets its stream before the promised length is reached."""
        self.connect(100_000)
        self.ask()
        self.turn(20)
        os.truncate(self.path, 1000)
        self.client.increment_flow_control_window(WIDE, 1)
        self.flush()
        self.turn(20)
        self.assertEqual((self.reset, self.ended), ([(1, ErrorCodes.INTERNAL_ERROR)], []))
        self.assertEqual(self.resource.results, [False])
