"""Endpoint of many HTTP/3 connections on one UDP port: demultiplexing and admission.

A datagram goes to the connection that its id names; of nobody's, only an
Initial packet may start one, and only within the bounds (`Http3Config`).
Everything else is answered statelessly or dropped without a word.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
from aioquic.buffer import Buffer
from aioquic.quic.configuration import SMALLEST_MAX_DATAGRAM_SIZE, QuicConfiguration
from aioquic.quic.packet import QuicErrorCode, QuicHeader, QuicPacketType, pull_quic_header
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import MessageLengthError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import Logger

from takotwist.streams.http3 import stateless
from takotwist.streams.http3.admission import Application
from takotwist.streams.http3.config import AddressCheck, ConnectionBounds, Http3Config
from takotwist.streams.http3.connection import Http3Connection
from takotwist.streams.http3.quic import BoundedQuic
from takotwist.streams.http3.roster import Roster
from takotwist.streams.http3.siblings import Siblings
from takotwist.streams.http3.stateless import Address, ResetTokens, RetryTokens
from takotwist.streams.unfinished import Unfinished

#: Of the ids that we give out; aioquic's default.
CONNECTION_ID_LENGTH = 8
#: Bytes of a UDP packet that are read; Twisted's default.
MAX_PACKET = 8192

#: Stateless resets a second, and at once: enough for all clients of a server that was killed.
RESETS_A_SECOND, RESETS_AT_ONCE = 2000.0, 20_000.0

#: Of them unasked, so many at once, and how long until the next.
FAREWELLS, FAREWELL_SECONDS = 100, 0.01

#: How often the roster is told that we are alive.
ALIVE_SECONDS = 10.0


@attrs.define(slots=True)
class Known:
    """Entry of one connection.

    :ivar network: name that its client is counted under, wherever it has moved since.
    :ivar ids: by which its datagrams come.
    """

    network: str
    ids: set[bytes] = attrs.field(factory=set)


class Http3Endpoint(DatagramProtocol):
    """The protocol for `reactor.listenUDP`, or for an adopted datagram socket.

    :param configuration: gives QUIC's configuration, certificate included, for
        each new connection, so that a new certificate needs no restart.
    :param unfinished: counts what has begun on connections and is not whole.
    :param reset_tokens: by which clients of a server that was killed know it at once.
    :param roster: of who is there, for the process after this one.
    :param network: what a client's address is counted under.
    :param bounds: of connections, at this moment; those of `config` where absent.
    :param siblings: other processes on the same UDP port.
    """

    log = Logger()
    noisy = False

    def __init__(
        self,
        clock: IReactorTime,
        configuration: Callable[[], QuicConfiguration],
        application: Application,
        config: Http3Config,
        unfinished: Unfinished,
        reset_tokens: ResetTokens,
        roster: Roster | None = None,
        network: Callable[[str], str] = str,
        bounds: Callable[[], ConnectionBounds] | None = None,
        siblings: Siblings | None = None,
    ) -> None:
        self._siblings = siblings
        self._clock, self._configuration = clock, configuration
        self._unfinished = unfinished
        self._application, self._config = application, config
        self._bounds = bounds or (lambda: config)
        self._ids: dict[bytes, Http3Connection] = {}
        self._connections: dict[Http3Connection, Known] = {}
        self._handshakes = 0
        self._serving = 0
        self._idle: list[Deferred[None]] = []
        self._tokens = RetryTokens()
        self._reset_tokens = reset_tokens
        self._roster = roster
        self._network = network
        #: How many there are of each.
        self._networks: dict[str, int] = {}
        self._resets_left, self._reset_at = RESETS_AT_ONCE, clock.seconds()
        self._timer: IDelayedCall | None = None
        self.accepting = True

    @property
    def connections(self) -> list[Http3Connection]:
        """Those that are there, in their closing period or not."""
        return list(self._connections)

    def drain(self) -> Deferred[None]:
        """Take no more connections, and ask those there to come to their end.

        :return: fires when none is served any more.  Cancel it to wait no longer.
        """
        self.accepting = False
        done: Deferred[None] = Deferred()
        self._idle.append(done)
        for connection in self.connections:
            connection.drain()
        self._fire_if_idle()
        return done

    def datagramReceived(self, datagram: bytes, addr: Address, passed_on: bool = False) -> None:
        """See `DatagramProtocol`.

        :param passed_on: by another process, which found that it is for this one.
        """
        try:
            header = pull_quic_header(Buffer(data=datagram), host_cid_length=CONNECTION_ID_LENGTH)
        except ValueError:
            return
        connection = self._ids.get(header.destination_cid)
        try:
            if connection is None:
                siblings = None if passed_on else self._siblings
                if siblings and siblings.pass_on(header.destination_cid, datagram, addr):
                    return
                connection = self._admit(header, datagram, addr)
            if connection is not None:
                if self._roster is not None and header.packet_type == QuicPacketType.ONE_RTT:
                    self._roster.note(connection, header.destination_cid, addr)
                connection.datagram_received(datagram, addr)
        except Exception:
            # aioquic reports what a peer does wrong by closing; an exception is
            # a defect, and costs the peer that found it its connection only.
            self.log.failure("HTTP/3 connection failed on a datagram")
            if connection is not None:
                connection.discard()
                self.terminated(connection)

    def farewell(self) -> None:
        """Tell those who were connected to the process before that they are not."""
        left = self._roster.left if self._roster is not None else []
        now, then = left[:FAREWELLS], left[FAREWELLS:]
        for connection_id, address in now:
            reset = self._reset_tokens.reset(connection_id)
            assert reset is not None
            self._send(reset, address)
        if self._roster is not None:
            self._roster.left = then
            self._roster.alive()
            self._timer = self._clock.callLater(
                FAREWELL_SECONDS if then else ALIVE_SECONDS, self.farewell
            )

    def stop(self) -> None:
        """The port is left."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._roster is not None:
            self._roster.close()
            self._roster = None

    def _reset(self, header: QuicHeader, datagram: bytes, addr: Address) -> None:
        """Tell the sender that we know nothing of its connection (RFC 9000 section 10.3)."""
        now = self._clock.seconds()
        earned = max(0.0, now - self._reset_at) * RESETS_A_SECOND
        self._resets_left = min(RESETS_AT_ONCE, self._resets_left + earned)
        self._reset_at = now
        reset = self._reset_tokens.reset(header.destination_cid, len(datagram) - 1)
        if reset is not None and self._resets_left >= 1:
            self._resets_left -= 1
            self._send(reset, addr)

    def _admit(self, header: QuicHeader, datagram: bytes, addr: Address) -> Http3Connection | None:
        if header.packet_type == QuicPacketType.ONE_RTT:
            self._reset(header, datagram, addr)
            return None
        # Smaller ones are dropped: RFC 9000 section 14.1.
        if len(datagram) < SMALLEST_MAX_DATAGRAM_SIZE or header.version is None:
            return None
        versions = self._configuration().supported_versions
        if header.packet_type == QuicPacketType.VERSION_NEGOTIATION:
            return None  # answering these would let two servers answer each other for ever
        if header.version not in versions:
            self._send(stateless.negotiate_version(header, versions), addr)
            return None
        if header.packet_type != QuicPacketType.INITIAL:
            return None
        original_id, retry_id = header.destination_cid, None
        if self._tokens.is_ours(header.token):
            proven = self._tokens.original_id(header, addr, self._clock.seconds())
            if proven is None:
                self._send(stateless.refuse(header, QuicErrorCode.INVALID_TOKEN), addr)
                return None
            original_id, retry_id = proven, header.destination_cid
        elif self._must_prove_address():
            chosen = self._siblings.new_id() if self._siblings is not None else None
            self._send(self._tokens.retry(header, addr, self._clock.seconds(), chosen), addr)
            return None
        if not self.accepting or self._full(addr):
            self._send(stateless.refuse(header, QuicErrorCode.CONNECTION_REFUSED), addr)
            return None
        return self._connect(header, original_id, retry_id, addr)

    def _full(self, addr: Address) -> bool:
        bounds = self._bounds()
        each = bounds.max_connections_per_address
        return len(self._connections) >= bounds.max_connections or bool(
            each and self._networks.get(self._network(addr[0]), 0) >= each
        )

    def _must_prove_address(self) -> bool:
        return (
            self._config.address_check is AddressCheck.ALWAYS
            or self._handshakes >= self._config.max_handshakes
        )

    def _connect(
        self, header: QuicHeader, original_id: bytes, retry_id: bytes | None, addr: Address
    ) -> Http3Connection:
        quic = BoundedQuic(
            configuration=self._configuration(),
            original_destination_connection_id=original_id,
            retry_source_connection_id=retry_id,
            max_streams=self._config.max_streams,
            reset_token=self._reset_tokens.token,
            new_id=None if self._siblings is None else self._siblings.new_id,
        )
        address = IPv6Address if ":" in addr[0] else IPv4Address
        assert self.transport is not None
        connection = Http3Connection(
            quic_connection=quic,
            peer=address("UDP", *addr),
            host=self.transport.getHost(),
            clock=self._clock,
            transmit=self._send,
            table=self,
            application=self._application,
            config=self._config,
            unfinished=self._unfinished,
        )
        self._handshakes += 1
        self._serving += 1
        network = self._network(addr[0])
        self._networks[network] = self._networks.get(network, 0) + 1
        self._connections[connection] = Known(network)
        self.id_issued(header.destination_cid, connection)
        self.id_issued(quic.host_cid, connection)
        return connection

    def _send(self, datagram: bytes, addr: Address) -> None:
        if self.transport is None:
            return
        try:
            self.transport.write(datagram, addr)
        except (OSError, MessageLengthError):
            # A full socket buffer, a route that is gone: a lost datagram like
            # any other, and QUIC sends again.
            self.log.debug("a datagram could not be sent")

    # ConnectionTable

    def id_issued(self, connection_id: bytes, connection: Http3Connection) -> None:
        """Datagrams with this id are the connection's as well."""
        known = self._connections.get(connection)
        if known is not None:
            known.ids.add(connection_id)
            self._ids[connection_id] = connection

    def id_retired(self, connection_id: bytes) -> None:
        """They are not any more."""
        connection = self._ids.pop(connection_id, None)
        if connection is not None:
            self._connections[connection].ids.discard(connection_id)

    def handshake_ended(self) -> None:
        """One handshake fewer is under way."""
        self._handshakes -= 1

    def ended(self, connection: Http3Connection) -> None:
        """One connection fewer is served."""
        self._serving -= 1
        self._fire_if_idle()

    def _fire_if_idle(self) -> None:
        if not self._serving:
            waiting, self._idle = self._idle, []
            for done in waiting:
                if not done.called:
                    done.callback(None)

    def terminated(self, connection: Http3Connection) -> None:
        """Drop all that is known of the connection."""
        if self._roster is not None:
            self._roster.forget(connection)
        known = self._connections.pop(connection, None)
        if known is None:
            return
        for connection_id in known.ids:
            self._ids.pop(connection_id, None)
        left = self._networks[known.network] - 1
        if left:
            self._networks[known.network] = left
        else:
            del self._networks[known.network]
