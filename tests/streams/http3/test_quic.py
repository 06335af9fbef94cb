"""Credit follows the reader: what aioquic grants, and what we grant instead.

Time and a connection: idleness, keepalive, clocks that step.
"""

from __future__ import annotations

from aioquic.tls import Epoch
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.http3 import Http3Config
from takotwist.streams.webtransport import WebTransportSession, WebTransportStream, webtransport
from tests.streams.http3.resources import Open, Recorder
from tests.streams.http3.wire import Net

CONFIG = Http3Config(stream_window=65536, connection_window=131072, max_body_bytes=2**30)


class CreditTests(SynchronousTestCase):
    """`BoundedQuic`, which overrides private methods of aioquic: this is their pin."""

    def setUp(self) -> None:
        self.streams: list[WebTransportStream] = []
        self.go: Deferred[None] = Deferred()
        self.read, self.wanted = 0, True

        async def slow(session: WebTransportSession) -> None:
            self.streams.append(await session.incoming_uni.next())
            self.streams.append(await session.incoming_uni.next())
            await self.go
            if not self.wanted:
                session.close()
            for stream in self.streams if self.wanted else []:
                async for data in stream:
                    self.read += len(data)
            await session.wait_closed()

        self.net = Net(Recorder(), routes=[webtransport("/wt", slow)], config=CONFIG)
        self.client = self.net.client()
        self.session = self.client.connect()
        self.net.pump()

    def test_unread_stream_is_bounded(self) -> None:
        """A handler that does not read holds up its client at the window; nothing is lost."""
        self.client.open(self.session, b"x" * 1_000_000, one_way=True, end=True)
        self.client.open(self.session, b"", one_way=True, end=True)
        self.net.pump(2)
        [connection] = self.net.server.protocol.connections
        self.assertLessEqual(connection._quic.unread, 65536)
        self.assertGreater(connection._quic.unread, 32768)
        self.go.callback(None)
        self.net.pump(5)
        self.assertEqual(self.read, 1_000_000)
        self.assertEqual(connection._quic.unread, 0)

    def test_unread_connection_is_bounded(self) -> None:
        """Many unread streams together are held up at the connection's window."""
        for _ in range(10):
            self.client.open(self.session, b"x" * 65000, one_way=True)
        self.net.pump(2)
        [connection] = self.net.server.protocol.connections
        self.assertLessEqual(connection._quic.unread, 131072)
        self.assertGreater(connection._quic.unread, 65536)

    def test_long_transfer(self) -> None:
        """A request body many windows long goes through: credit is renewed as it is read."""
        stream = self.client.request("/", "POST", b"y" * 3_000_000)
        self.net.pump(10)
        self.assertIn(b"|3000000|", self.client.body(stream))

    def test_lost_credit_is_granted_again(self) -> None:
        """A grant that was lost on the way is sent again."""
        count = 0

        def every_third(_: bytes) -> bool:
            nonlocal count
            count += 1
            return count % 3 == 0

        self.net.drop = every_third
        self.go.callback(None)
        self.client.open(self.session, b"x" * 600_000, one_way=True, end=True)
        self.client.open(self.session, b"", one_way=True, end=True)
        self.net.pump(20)
        self.assertEqual(self.read, 600_000)

    def test_dropped_bytes_are_released(self) -> None:
        """What a closed session never read burdens the connection no longer."""
        for _ in range(10):
            self.client.open(self.session, b"x" * 65000, one_way=True)
        self.net.pump(1)
        self.wanted = False
        self.go.callback(None)
        self.net.pump(1)
        [connection] = self.net.server.protocol.connections
        self.assertEqual(connection._quic.unread, 0)

    def test_memory_of_the_handshake(self) -> None:
        """What only the handshake needed is given back, and a key update still works."""
        [connection] = self.net.server.protocol.connections
        room = sum(each.capacity for each in connection._quic._crypto_buffers.values())
        self.assertLess(room, 1024)
        self.client.quic.request_key_update()
        stream = self.client.request()
        self.net.pump()
        self.assertEqual(self.client.status(stream), 200)

    def test_stray_handshake_message(self) -> None:
        """A handshake message after the handshake closes the connection, as it must."""
        crypto = self.client.quic._crypto_streams[Epoch.ONE_RTT]
        crypto.sender.write(b"\x04\x00\x00\x04abcd" * 40)
        self.net.pump(3)
        self.assertEqual(self.net.server.connections, 0)

    def test_stream_limit(self) -> None:
        """A client can have no more streams open than the bound, and can open more as they end."""
        client = Net(Recorder(), config=Http3Config(max_streams=8)).client()
        streams = [client.request() for _ in range(30)]
        client.net.pump(2)
        self.assertEqual([client.status(stream) for stream in streams], [200] * 30)
        [connection] = client.net.server.protocol.connections
        self.assertLess(connection._quic._local_max_streams_bidi.value, 8 + 31)


class TimeTests(SynchronousTestCase):
    """`QuicDriver`."""

    def test_idle_connection_ends(self) -> None:
        """A connection with nothing under way is dropped after the idle timeout."""
        net = Net(config=Http3Config(idle_timeout=10, keepalive=4))
        net.client()
        net.pump(9, step=0.1)
        self.assertEqual(net.server.connections, 1)
        net.pump(2, step=0.1)
        self.assertEqual(net.server.connections, 0)

    def test_quiet_request_is_kept_alive(self) -> None:
        """A response that is silent for long does not meet the idle timeout."""
        resource = Open()
        net = Net(resource, config=Http3Config(idle_timeout=10, keepalive=4))
        client = net.client()
        stream = client.request()
        net.pump(60, step=0.1)
        self.assertEqual(resource.ended, [])
        resource.request.finish()
        net.pump()
        self.assertEqual(client.status(stream), 200)

    def test_dead_client_is_noticed(self) -> None:
        """A client that vanished without a word is given up, in spite of its open request."""
        resource = Open()
        net = Net(resource, config=Http3Config(idle_timeout=10, keepalive=4))
        client = net.client()
        client.request()
        net.pump()
        net.clients.clear()
        net.pump(15, step=0.1)
        self.assertEqual(len(resource.ended), 1)
        self.assertEqual(net.server.connections, 0)

    def test_one_timer(self) -> None:
        """A connection has one timer, however much goes on."""
        net = Net(Recorder())
        client = net.client()
        for _ in range(20):
            client.request()
        net.pump()
        self.assertEqual(len(net.clock.getDelayedCalls()), 1)

    def test_clock_that_steps_back(self) -> None:
        """A wall clock that is set back stops nothing."""
        net = Net(Recorder())
        client = net.client()
        now = net.clock.rightNow
        seconds = net.clock.seconds
        self.patch(net.server.protocol._clock, "seconds", lambda: seconds() - 3600)
        self.assertLess(net.clock.seconds(), now)
        self.patch(client, "clock", type("Own", (), {"seconds": staticmethod(seconds)}))
        stream = client.request()
        for data, _ in client.quic.datagrams_to_send(now=seconds()):
            net.server.protocol.datagramReceived(data, client.address)
        net.clock.advance(0)
        for data, _ in net.wire.sent:
            client.receive(data)
        self.assertEqual(client.status(stream), 200)
