"""Who gets in by the UDP port: T7 of the WebTransport checklist, and the bounds."""

from __future__ import annotations

from aioquic.buffer import Buffer
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted
from aioquic.quic.packet import QuicErrorCode, QuicPacketType, pull_quic_header
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.http3 import AddressCheck, Http3Config
from tests.settings import change_limits, limited
from tests.streams.http3.resources import Recorder
from tests.streams.http3.wire import Client, Net

OTHER = ("198.51.100.9", 40000)


def first(client: Client) -> bytes:
    """The client's first datagram."""
    [(data, _), *_] = client.quic.datagrams_to_send(now=client.clock.seconds())
    return data


def packet(data: bytes) -> QuicPacketType:
    """What kind of packet a datagram begins with."""
    return pull_quic_header(Buffer(data=data), host_cid_length=8).packet_type


def connected(client: Client) -> bool:
    """Whether the handshake was completed."""
    return any(isinstance(event, HandshakeCompleted) for event in client.quic_events)


def refused(client: Client) -> int | None:
    """The code of the close, where there was one."""
    for event in client.quic_events:
        if isinstance(event, ConnectionTerminated):
            return event.error_code
    return None


class AdmissionTests(SynchronousTestCase):
    """`Http3Endpoint`, before there is a connection."""

    def test_t7_small_initial_is_dropped(self) -> None:
        """T7: an Initial of less than 1200 bytes is dropped without an answer."""
        net = Net()
        self.assertEqual(net.inject(first(net.stranger())[:1199]), [])
        self.assertEqual(net.server.connections, 0)

    def test_t7_version_negotiation(self) -> None:
        """T7: a version that we do not speak is answered by those that we do."""
        net = Net()
        data = first(net.stranger())
        unknown = data[:1] + b"\x1a\x2a\x3a\x4a" + data[5:]
        [answer] = net.inject(unknown)
        header = pull_quic_header(Buffer(data=answer), host_cid_length=8)
        self.assertEqual(header.packet_type, QuicPacketType.VERSION_NEGOTIATION)
        self.assertIn(1, header.supported_versions)
        self.assertEqual(net.server.connections, 0)

    def test_t7_version_negotiation_is_no_amplifier(self) -> None:
        """T7: a short packet of an unknown version gets no answer; nor does a negotiation."""
        net = Net()
        data = first(net.stranger())
        self.assertEqual(net.inject((data[:1] + b"\x1a\x2a\x3a\x4a" + data[5:])[:600]), [])
        self.assertEqual(net.inject(data[:1] + b"\0\0\0\0" + data[5:]), [])

    def test_t7_retry(self) -> None:
        """T7: where addresses are checked, a client must answer a Retry, and then gets in."""
        net = Net(Recorder(), config=Http3Config(address_check=AddressCheck.ALWAYS))
        [answer] = net.inject(first(net.stranger()))
        self.assertEqual(packet(answer), QuicPacketType.RETRY)
        self.assertEqual(net.server.connections, 0)
        net.clients.clear()
        client = net.client()
        self.assertTrue(connected(client))
        stream = client.request()
        net.pump()
        self.assertEqual(client.status(stream), 200)

    def test_t7_stolen_token(self) -> None:
        """T7: a Retry token that came from another address is refused, and costs no connection."""
        net = Net(config=Http3Config(address_check=AddressCheck.ALWAYS))
        client = net.stranger()
        [answer] = net.inject(first(client))
        client.receive(answer)
        [refusal] = net.inject(first(client), OTHER)
        self.assertEqual(net.server.connections, 0)
        client.receive(refusal)
        net.pump(1)
        self.assertEqual(refused(client), QuicErrorCode.INVALID_TOKEN)

    def test_t7_old_token(self) -> None:
        """T7: a Retry token is good for half a minute."""
        net = Net(config=Http3Config(address_check=AddressCheck.ALWAYS))
        client = net.stranger()
        [answer] = net.inject(first(client))
        client.receive(answer)
        net.clock.advance(31)
        net.inject(first(client))
        self.assertEqual(net.server.connections, 0)

    def test_foreign_token(self) -> None:
        """A token of some other server is as good as none, and no reason to refuse."""
        self.assertTrue(connected(Net().client(token=b"from elsewhere")))
        net = Net(config=Http3Config(address_check=AddressCheck.ALWAYS))
        self.assertTrue(connected(net.client(token=b"from elsewhere")))

    def test_under_load(self) -> None:
        """When many handshakes are under way, new clients must prove their address, and get in."""
        net = Net(config=Http3Config(max_handshakes=2))
        for port in (1, 2):
            data = first(net.stranger(("203.0.113.5", port)))
            self.assertNotEqual(packet(net.inject(data, ("203.0.113.5", port))[0]), "RETRY")
        [answer] = net.inject(first(net.stranger(OTHER)), OTHER)
        self.assertEqual(packet(answer), QuicPacketType.RETRY)
        net.clients.clear()
        self.assertTrue(connected(net.client()))

    def test_too_many(self) -> None:
        """Past the bound a client is refused at once, and those there are served on."""
        net = Net(Recorder(), config=Http3Config(max_connections=1))
        client = net.client()
        late = net.client(OTHER)
        net.pump(1)
        self.assertEqual(refused(late), QuicErrorCode.CONNECTION_REFUSED)
        stream = client.request()
        net.pump()
        self.assertEqual(client.status(stream), 200)

    def test_bounds_that_change(self) -> None:
        """Where bounds may change, those of the moment hold, and nobody who is there leaves."""
        settings = limited(max_connections=1, max_connections_per_address=0)
        net = Net(Recorder(), bounds=lambda: settings.limits)
        there = net.client()
        late = net.client(OTHER)
        net.pump(1)
        self.assertEqual(refused(late), QuicErrorCode.CONNECTION_REFUSED)
        change_limits(settings, max_connections=3)
        self.assertTrue(connected(net.client((OTHER[0], 4))))
        change_limits(settings, max_connections_per_address=1)
        late = net.client((OTHER[0], 5))
        net.pump(1)
        self.assertEqual(refused(late), QuicErrorCode.CONNECTION_REFUSED)
        self.assertTrue(connected(there))

    def test_too_many_of_one_address(self) -> None:
        """Past the bound of one address it is refused, another is not; who has gone makes room."""
        net = Net(Recorder(), config=Http3Config(max_connections_per_address=2))
        first, _ = net.client((OTHER[0], 1)), net.client((OTHER[0], 2))
        late = net.client((OTHER[0], 3))
        net.pump(1)
        self.assertEqual(refused(late), QuicErrorCode.CONNECTION_REFUSED)
        self.assertTrue(connected(net.client(("203.0.113.5", 1))))
        first.quic.close()
        net.pump(5)
        self.assertTrue(connected(net.client((OTHER[0], 4))))
        net.server.stop()
        net.pump(60)
        self.assertEqual(net.server.protocol._networks, {})

    def test_noise(self) -> None:
        """Bytes that are no packet are dropped."""
        net = Net()
        for noise in (b"", b"\x00", b"\xc0\x00", b"\xff" * 1300):
            self.assertEqual(net.inject(noise), [])
        self.assertEqual(net.server.connections, 0)

    def test_handshake_that_stops(self) -> None:
        """A client that never finishes its handshake is forgotten, timers and all."""
        net = Net(config=Http3Config(handshake_timeout=5.0))
        net.inject(first(net.stranger()))
        net.clients.clear()
        self.assertEqual(net.server.connections, 1)
        net.pump(10, step=0.1)
        self.assertEqual(net.server.connections, 0)
        self.assertEqual(net.clock.getDelayedCalls(), [])


class ConnectionIdTests(SynchronousTestCase):
    """The table of ids."""

    def test_issued_and_retired(self) -> None:
        """A client may change to another id of ours, and the old one is forgotten."""
        net = Net(Recorder())
        client = net.client()
        table = net.server.protocol._ids
        for _ in range(3):
            before = set(table)
            client.quic.change_connection_id()
            stream = client.request()
            net.pump()
            self.assertEqual(client.status(stream), 200)
            self.assertNotEqual(set(table), before)
        self.assertLessEqual(len(table), 10)

    def test_known_when_given_out(self) -> None:
        """An id is known as soon as it is given out: a client may use it in its next packet."""
        net = Net(Recorder())
        net.stranger()
        unknown: list[bytes] = []
        write, table = net.wire.write, net.server.protocol

        def look(data: bytes, address: object) -> None:
            for connection in table.connections:
                given = [each.cid for each in connection._quic._host_cids if each.was_sent]
                unknown.extend(each for each in given if each not in table._ids)
            write(data, address)

        self.patch(net.wire, "write", look)
        net.pump()
        self.assertGreater(len(table._ids), 2)
        self.assertEqual(unknown, [])

    def test_migration(self) -> None:
        """A client whose address changes, as a phone's does, keeps its connection."""
        net = Net(Recorder())
        client = net.client()
        client.address = OTHER
        stream = client.request()
        net.pump(1)
        self.assertEqual(client.status(stream), 200)
        self.assertEqual(net.server.connections, 1)

    def test_nothing_stays(self) -> None:
        """When a client closes, ids, timers and handshakes are gone after the closing period."""
        net = Net()
        clients = [net.client(("192.0.2.7", 1000 + number)) for number in range(3)]
        self.assertEqual(net.server.connections, 3)
        for client in clients:
            client.quic.close()
        net.pump(3)
        self.assertEqual(net.server.connections, 0)
        self.assertEqual(net.server.protocol._ids, {})
        self.assertEqual(net.server.protocol._handshakes, 0)
        self.assertEqual(net.clock.getDelayedCalls(), [])

    def test_defect_costs_one_connection(self) -> None:
        """An exception out of QUIC drops the connection it came from, and no other."""
        net = Net(Recorder())
        one, other = net.client(), net.client(OTHER)
        broken = net.server.protocol.connections[0]

        def fail(*args: object, **fields: object) -> None:
            raise AssertionError("on purpose")

        self.patch(broken._quic, "receive_datagram", fail)
        one.request()
        stream = other.request()
        net.pump()
        self.assertEqual(other.status(stream), 200)
        self.assertEqual(net.server.connections, 1)
        self.assertEqual(len(self.flushLoggedErrors(AssertionError)), 1)

    def test_send_errors(self) -> None:
        """A socket that takes nothing for a while loses datagrams, and QUIC sends them again."""
        net = Net(Recorder())
        client = net.client()
        write, failures = net.wire.write, [0]

        def full(data: bytes, address: object) -> None:
            if failures[0] < 5:
                failures[0] += 1
                raise BlockingIOError("the buffer is full")
            write(data, address)

        self.patch(net.wire, "write", full)
        stream = client.request()
        net.pump(3)
        self.assertEqual(failures, [5])
        self.assertEqual(client.status(stream), 200)
