"""Several processes on one UDP port: two servers in memory, and the sockets between them."""

from __future__ import annotations

import socket
from typing import Any

from aioquic.buffer import Buffer
from aioquic.quic.packet import QuicPacketType, pull_quic_header
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.http3 import AddressCheck, Http3Config
from takotwist.streams.http3.siblings import ConnectionIds, Relay, Siblings
from takotwist.streams.http3.stateless import ResetTokens
from tests.streams.http3.resources import Recorder
from tests.streams.http3.wire import Client, Net, UdpClock

KEY = bytes(range(32))
MOVED = ("198.51.100.9", 40000)


class ConnectionIdsTests(SynchronousTestCase):
    """Ids and whose they are."""

    def test_process(self) -> None:
        """Every process that has the key reads the number of the one that made it."""
        for process in (0, 1, 127, 255):
            made = ConnectionIds(process, KEY).new()
            self.assertEqual(len(made), 8)
            self.assertEqual(ConnectionIds(3, KEY).process(made), process)

    def test_different(self) -> None:
        """No two are the same."""
        ids = ConnectionIds(1, KEY)
        self.assertEqual(len({ids.new() for _ in range(1000)}), 1000)

    def test_of_others(self) -> None:
        """What clients choose hardly ever looks like ours, whatever its first byte; nor does an
        id of another key, or of another length."""
        ids = ConnectionIds(1, KEY)
        strange = ConnectionIds(1, bytes(32))
        taken = [
            one for one in (strange.new() for _ in range(2000)) if ids.process(one) is not None
        ]
        self.assertLess(len(taken), 40)
        self.assertIs(ids.process(ids.new()[:7]), None)
        self.assertIs(ids.process(b""), None)


class Pair:
    """Two processes on one port, and who of them is there.

    :ivar passed: what was passed on, to whom.
    """

    def __init__(self, config: Http3Config | None = None) -> None:
        self.clock = UdpClock()
        self.lives = [True, True]
        self.passed: list[tuple[int, QuicPacketType]] = []
        self.nets = [
            Net(
                Recorder(),
                clock=self.clock,
                config=config,
                reset_key=KEY,
                siblings=Siblings(
                    process,
                    ConnectionIds(process, KEY),
                    self,  # type: ignore[arg-type]
                    self._is_there,
                    0,
                ),
            )
            for process in (0, 1)
        ]
        self.servers = [net.server for net in self.nets]
        self.net = self.nets[0]

    def _is_there(self, process: int) -> bool:
        """One in 256 of the ids that clients choose has a mark, and may name any process."""
        return process < len(self.lives) and self.lives[process]

    def pass_on(self, port: int, process: int, datagram: bytes, source: Any) -> None:
        """See `Relay`."""
        header = pull_quic_header(Buffer(data=datagram), host_cid_length=8)
        self.passed.append((process, header.packet_type))
        self.servers[process].protocol.datagramReceived(datagram, source, True)

    def read_by(self, process: int) -> None:
        """From now on the kernel gives datagrams to this one."""
        self.net.server = self.servers[process]

    def ask(self, client: Client) -> int | None:
        """The status of a request."""
        stream = client.request()
        self.net.pump()
        return client.status(stream)


class SiblingsTests(SynchronousTestCase):
    """Endpoints that share a port."""

    def setUp(self) -> None:
        self.pair = Pair()

    def _connections(self) -> list[int]:
        return [server.connections for server in self.pair.servers]

    def test_moved(self) -> None:
        """A connection goes on in its process after its address has led elsewhere."""
        client = self.pair.net.client()
        self.assertEqual(self.pair.ask(client), 200)
        self.assertEqual(self.pair.passed, [])
        self.pair.read_by(1)
        client.address = MOVED
        self.assertEqual(self.pair.ask(client), 200)
        self.assertEqual(self._connections(), [1, 0])
        self.assertEqual({process for process, _ in self.pair.passed}, {0})
        # And by another of its ids.
        client.quic.change_connection_id()
        self.assertEqual(self.pair.ask(client), 200)
        self.assertEqual(self._connections(), [1, 0])

    def test_in_a_handshake(self) -> None:
        """The process that began a handshake ends it, whoever reads the port by then."""
        client = self.pair.net.stranger()
        now = self.pair.clock.seconds()
        for data, _ in client.quic.datagrams_to_send(now=now):
            self.pair.servers[0].protocol.datagramReceived(data, client.address)
        self.pair.read_by(1)
        self.assertEqual(self.pair.ask(client), 200)
        self.assertEqual(self._connections(), [1, 0])

    def test_retry(self) -> None:
        """Who asked for a proof of the address is the one that gets it."""
        self.pair = Pair(Http3Config(address_check=AddressCheck.ALWAYS))
        client = self.pair.net.stranger()
        now = self.pair.clock.seconds()
        for data, _ in client.quic.datagrams_to_send(now=now):
            self.pair.servers[0].protocol.datagramReceived(data, client.address)
        self.pair.read_by(1)
        self.assertEqual(self.pair.ask(client), 200)
        self.assertEqual(self._connections(), [1, 0])

    def test_gone(self) -> None:
        """Of a process that is not there, whoever reads says that the connection is lost."""
        client = self.pair.net.client()
        self.pair.read_by(1)
        self.pair.lives[0] = False
        client.quic.send_ping(1)
        [(data, _)] = client.quic.datagrams_to_send(now=self.pair.clock.seconds())
        self.assertEqual(self.pair.passed, [])
        [answer] = self.pair.net.inject(data + bytes(30))
        connection_id = pull_quic_header(Buffer(data=data), host_cid_length=8).destination_cid
        self.assertEqual(answer[-16:], ResetTokens(KEY).token(connection_id))

    def test_unknown_there(self) -> None:
        """What was passed on is answered there, and not passed on again."""
        strange = b"\x40" + ConnectionIds(1, KEY).new() + bytes(60)
        answers = self.pair.net.inject(strange)
        self.assertEqual(len(answers), 1)
        self.assertEqual(len(self.pair.passed), 1)


class RelayTests(SynchronousTestCase):
    """Datagrams over local sockets."""

    def setUp(self) -> None:
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2)]
        for pair in pairs:
            for one in pair:
                one.setblocking(False)
                self.addCleanup(one.close)
        self.readers: list[object] = []
        others = [pair[1] for pair in pairs]
        self.relays = [Relay(self, others, pair[0]) for pair in pairs]  # type: ignore[arg-type]
        self.seen: list[tuple[int, bytes, Any]] = []
        for relay in self.relays:
            relay.start()
        for port in (0, 1):
            self.relays[1].serve(port, lambda data, addr, port=port: self._came(port, data, addr))

    def addReader(self, reader: object) -> None:
        """See `IReactorFDSet`."""
        self.readers.append(reader)

    def removeReader(self, reader: object) -> None:
        """The same."""
        self.readers.remove(reader)

    def _came(self, port: int, data: bytes, addr: Any) -> None:
        self.seen.append((port, data, addr))

    def test_passed_on(self) -> None:
        """With its port and its source, IPv4 or IPv6, a whole one at a time."""
        self.relays[0].pass_on(0, 1, b"one", ("192.0.2.7", 5000))
        self.relays[0].pass_on(1, 1, b"t" * 8192, ("2001:db8::7", 65535))
        self.relays[0].pass_on(1, 1, b"", ("fe80::1%lo", 1))
        self.relays[0].pass_on(7, 1, b"no such port", ("192.0.2.7", 5000))
        self.relays[1].doRead()
        self.assertEqual(
            self.seen,
            [
                (0, b"one", ("192.0.2.7", 5000)),
                (1, b"t" * 8192, ("2001:db8::7", 65535)),
                (1, b"", ("fe80::1", 1)),
            ],
        )

    def test_full(self) -> None:
        """Who takes nothing loses what there is no room for; nobody waits."""
        for _ in range(500):
            self.relays[0].pass_on(0, 1, bytes(1200), ("192.0.2.7", 5000))
        for _ in range(10):
            self.relays[1].doRead()
        self.assertGreater(len(self.seen), 50)
        self.assertLess(len(self.seen), 500)

    def test_stop(self) -> None:
        """Nothing is read any more."""
        self.relays[1].stop()
        self.relays[1].stop()
        self.assertEqual(self.readers, [self.relays[0]])
