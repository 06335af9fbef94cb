"""A client and our server, joined in memory and moved by hand.

The client is aioquic's own QUIC and HTTP/3; the server is `Http3Server` whole,
on a `Clock`.  Nothing moves but in `pump`, so every test is the same each time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any

from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import QuicEvent, StreamDataReceived
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.web.resource import Resource
from twisted.web.server import Site

from takotwist.streams.http3 import Http3Config, Http3Server
from takotwist.streams.http3.roster import Roster
from takotwist.streams.unfinished import Unfinished
from takotwist.streams.webtransport import Routes
from takotwist.tls.certificate import (
    ShortLivedCertificate,
    short_lived_certificate,
)

SERVER = ("192.0.2.1", 443)
CLIENT = ("192.0.2.7", 50000)


@cache
def certificate() -> ShortLivedCertificate:
    """One for all tests: making a key is slow."""
    return short_lived_certificate(["localhost"], now=datetime.now(UTC))


class Wire:
    """The UDP transport of the server: keeps what it sends until it is pumped."""

    def __init__(self) -> None:
        self.sent: deque[tuple[bytes, Any]] = deque()
        self.stopped = False

    def write(self, data: bytes, address: Any) -> None:
        self.sent.append((data, address))

    def getHost(self) -> IPv4Address:
        return IPv4Address("UDP", *SERVER)

    def stopListening(self) -> None:
        self.stopped = True


class UdpClock(Clock):
    """A clock that can listen."""

    def __init__(self) -> None:
        super().__init__()
        self.wire = Wire()

    def listenUDP(
        self, port: int, protocol: Any, interface: str = "", maxPacketSize: int = 8192
    ) -> Wire:
        protocol.makeConnection(self.wire)
        return self.wire


class Client:
    """One client connection, which remembers all events."""

    def __init__(self, net: Net, address: Any = CLIENT, **quic: Any) -> None:
        configuration = QuicConfiguration(
            is_client=True,
            alpn_protocols=["h3"],
            server_name="localhost",
            max_datagram_frame_size=65536,
            **quic,
        )
        configuration.load_verify_locations(cadata=certificate().certificate)
        self.net, self.clock, self.address = net, net.clock, address
        self.quic = QuicConnection(configuration=configuration)
        self.h3 = H3Connection(self.quic, enable_webtransport=True)
        self.quic_events: list[QuicEvent] = []
        self.events: list[H3Event] = []
        #: Streams that the server opened with a way back: their bytes, unframed,
        #: because aioquic's HTTP/3 reads them wrongly on a client as well.
        self.raw: dict[int, bytes] = {}
        self.ours: set[int] = set()

    def receive(self, data: bytes) -> None:
        self.quic.receive_datagram(data, SERVER, now=self.clock.seconds())
        self.take_events()

    def take_events(self) -> None:
        while (event := self.quic.next_event()) is not None:
            self.quic_events.append(event)
            if isinstance(event, StreamDataReceived) and event.stream_id in self.ours:
                self.raw[event.stream_id] = self.raw.get(event.stream_id, b"") + event.data
            else:
                self.events.extend(self.h3.handle_event(event))

    # Requests

    def request(
        self,
        path: str = "/",
        method: str = "GET",
        body: bytes | None = None,
        authority: str = "localhost",
        end: bool = True,
        **fields: str,
    ) -> int:
        """Send a request; returns its stream.

        :param end: whether `body` is all of it.
        """
        stream_id = self.quic.get_next_available_stream_id()
        headers = [
            (b":method", method.encode()),
            (b":scheme", b"https"),
            (b":authority", authority.encode()),
            (b":path", path.encode()),
        ]
        headers += [
            (name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()
        ]
        self.h3.send_headers(stream_id, headers, end_stream=body is None)
        if body is not None:
            self.h3.send_data(stream_id, body, end_stream=end)
        return stream_id

    def connect(
        self,
        path: str = "/wt",
        protocol: str = "webtransport",
        authority: str = "localhost",
        **fields: str,
    ) -> int:
        """Ask for a WebTransport session; returns its id."""
        stream_id = self.quic.get_next_available_stream_id()
        headers = [
            (b":method", b"CONNECT"),
            (b":protocol", protocol.encode()),
            (b":scheme", b"https"),
            (b":authority", authority.encode()),
            (b":path", path.encode()),
        ]
        headers += [
            (name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()
        ]
        self.h3.send_headers(stream_id, headers)
        return stream_id

    def open(
        self, session: int, data: bytes = b"", *, one_way: bool = False, end: bool = False
    ) -> int:
        """Open a stream of a session."""
        stream_id = self.h3.create_webtransport_stream(session, is_unidirectional=one_way)
        if not one_way:
            self.ours.add(stream_id)
        self.quic.send_stream_data(stream_id, data, end_stream=end)
        return stream_id

    # What came

    def headers(self, stream_id: int) -> dict[bytes, bytes]:
        """The fields of the final response."""
        for event in reversed(self.events):
            if isinstance(event, HeadersReceived) and event.stream_id == stream_id:
                return dict(event.headers)
        return {}

    def statuses(self, stream_id: int) -> list[int]:
        """The statuses of all its responses, interim ones first."""
        return [
            int(dict(event.headers)[b":status"])
            for event in self.events
            if isinstance(event, HeadersReceived) and event.stream_id == stream_id
        ]

    def status(self, stream_id: int) -> int | None:
        """The response's status; `None` where there is none yet."""
        status = self.headers(stream_id).get(b":status")
        return None if status is None else int(status)

    def body(self, stream_id: int) -> bytes:
        """The DATA of a request or CONNECT stream so far."""
        return b"".join(
            event.data
            for event in self.events
            if isinstance(event, DataReceived) and event.stream_id == stream_id
        )

    def ended(self, stream_id: int) -> bool:
        """Whether the response is whole."""
        return any(
            event.stream_id == stream_id and event.stream_ended
            for event in self.events
            if isinstance(event, DataReceived | HeadersReceived)
        )

    def quic_event(self, kind: type, stream_id: int) -> Any:
        """The last event of a kind on a stream, or `None`."""
        return next(
            (
                event
                for event in reversed(self.quic_events)
                if isinstance(event, kind) and event.stream_id == stream_id  # type: ignore[attr-defined]
            ),
            None,
        )


class Net:
    """Our server, and what joins it to clients.

    :ivar drop: called with each datagram from the server; true loses it.
    """

    def __init__(
        self,
        resource: Resource | None = None,
        routes: Any = (),
        config: Http3Config | None = None,
        clock: UdpClock | None = None,
        site: Site | None = None,
        unfinished: Unfinished | None = None,
        reset_key: bytes | None = None,
        roster: Roster | None = None,
        bounds: Any = None,
        siblings: Any = None,
    ) -> None:
        self.clock = clock or UdpClock()
        self.site = site or Site(resource or Resource(), reactor=self.clock)
        routes = list(routes)
        self.server = Http3Server(
            self.clock,
            self.site,
            certificate=certificate().certificate,
            key=certificate().key,
            webtransport=Routes(routes) if routes else None,
            config=config,
            unfinished=unfinished,
            reset_key=reset_key,
            roster=roster,
            bounds=bounds,
            siblings=siblings,
        )
        self.server.start(443)
        self.wire = self.clock.wire
        self.clients: list[Client] = []
        self.drop: Callable[[bytes], bool] = lambda _: False

    def client(self, address: Any = CLIENT, **quic: Any) -> Client:
        """A connected client."""
        client = self.stranger(address, **quic)
        self.pump()
        return client

    def stranger(self, address: Any = CLIENT, **quic: Any) -> Client:
        """A client whose first datagram is not sent yet."""
        client = Client(self, address, **quic)
        self.clients.append(client)
        client.quic.connect(SERVER, now=self.clock.seconds())
        return client

    def inject(self, data: bytes, address: Any = CLIENT) -> list[bytes]:
        """Give the server one datagram; returns what it answers."""
        self.server.protocol.datagramReceived(data, address)
        self.clock.advance(0)
        answers = [sent for sent, _ in self.wire.sent]
        self.wire.sent.clear()
        return answers

    def pump(self, seconds: float = 0.2, step: float = 0.005) -> None:
        """Move datagrams both ways while `seconds` pass."""
        for _ in range(max(1, round(seconds / step))):
            while self._move():
                pass
            self.clock.advance(step)
            for client in self.clients:
                timer = client.quic.get_timer()
                if timer is not None and self.clock.seconds() >= timer:
                    client.quic.handle_timer(now=self.clock.seconds())
                    client.take_events()

    def _move(self) -> bool:
        moved = False
        now = self.clock.seconds()
        for client in self.clients:
            for data, _ in client.quic.datagrams_to_send(now=now):
                moved = True
                self.server.protocol.datagramReceived(data, client.address)
        self.clock.advance(0)
        while self.wire.sent:
            data, address = self.wire.sent.popleft()
            moved = True
            for client in self.clients:
                if client.address == address and not self.drop(data):
                    client.receive(data)
        self.clock.advance(0)
        return moved
