"""A client of aioquic's over a real UDP port of the reactor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import HandshakeCompleted, QuicEvent
from twisted.internet.defer import Deferred
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import deferLater


class Http3Client(DatagramProtocol):
    """One connection to `address`.

    :param cadata: the certificate to trust, PEM.
    """

    noisy = False

    def __init__(self, reactor: Any, address: tuple[str, int], cadata: bytes) -> None:
        configuration = QuicConfiguration(
            is_client=True, alpn_protocols=["h3"], server_name="localhost"
        )
        configuration.load_verify_locations(cadata=cadata)
        self._reactor, self._address = reactor, address
        self._configure(configuration)
        self._quic = QuicConnection(configuration=configuration)
        self._h3 = self._framing()
        self._timer: Any = None
        self._closed = False
        self._answers: dict[int, tuple[Deferred[tuple[int, bytes]], list[bytes]]] = {}
        self._status: dict[int, int] = {}
        self._readers: dict[int, Callable[[bytes], None]] = {}
        #: The fields of the last response.
        self.fields: dict[bytes, bytes] = {}
        self.connected: Deferred[None] = Deferred()
        #: Fires with a stateless reset, which aioquic does not look for (RFC 9000, section 10.3.1).
        self.reset: Deferred[None] = Deferred()

    def _configure(self, configuration: QuicConfiguration) -> None:
        """What a kind of client has of its own."""

    def _framing(self) -> H3Connection:
        return H3Connection(self._quic)

    def startProtocol(self) -> None:
        self._quic.connect(self._address, now=self._reactor.seconds())
        self._flush()

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        token = self._quic._peer_cid.stateless_reset_token
        if token and datagram[-16:] == token and not self.reset.called:
            self.reset.callback(None)
            return
        self._quic.receive_datagram(datagram, self._address, now=self._reactor.seconds())
        self._take()
        self._flush()

    def request(
        self,
        path: str,
        body: bytes = b"",
        *,
        fields: dict[str, str] | None = None,
        on_data: Callable[[bytes], None] = lambda data: None,
    ) -> Deferred[tuple[int, bytes]]:
        """Ask; fires with the status and the body.

        :param fields: further header fields.
        :param on_data: called with the body as it comes.
        """
        stream_id = self._quic.get_next_available_stream_id()
        answer: Deferred[tuple[int, bytes]] = Deferred()
        self._answers[stream_id] = (answer, [])
        self._readers[stream_id] = on_data
        self._h3.send_headers(
            stream_id,
            [
                (b":method", b"POST" if body else b"GET"),
                (b":scheme", b"https"),
                (b":authority", b"localhost"),
                (b":path", path.encode()),
                *((name.encode(), value.encode()) for name, value in (fields or {}).items()),
            ],
        )
        self._h3.send_data(stream_id, body, end_stream=True)
        self._flush()
        return answer

    def ping(self) -> None:
        """Send something that the server has to acknowledge."""
        self._quic.send_ping(1)
        self._flush()

    async def settled(self) -> None:
        """Wait until the server has acknowledged all that was sent: it is silent from then on."""
        while self._quic._loss.bytes_in_flight:
            await deferLater(self._reactor, 0.01)

    def close(self) -> Any:
        """Close the connection and the port.  Harmless when repeated."""
        if self._closed:
            return None
        self._quic.close()
        self._flush()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._closed = True
        assert self.transport is not None
        return self.transport.stopListening()

    def _flush(self) -> None:
        assert self.transport is not None
        now = self._reactor.seconds()
        for data, _ in self._quic.datagrams_to_send(now=now):
            self.transport.write(data, self._address)
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        due = self._quic.get_timer()
        if due is not None and not self._closed:
            self._timer = self._reactor.callLater(max(0, due - now), self._tick)

    def _tick(self) -> None:
        self._quic.handle_timer(now=max(self._reactor.seconds(), self._quic.get_timer() or 0))
        self._take()
        self._flush()

    def _take(self) -> None:
        while (event := self._quic.next_event()) is not None:
            if isinstance(event, HandshakeCompleted):
                self.connected.callback(None)
            for each in self._framed(event):
                if isinstance(each, HeadersReceived):
                    self.fields = dict(each.headers)
                    self._status[each.stream_id] = int(self.fields[b":status"])
                    if each.stream_ended:
                        self._answered(each.stream_id)
                elif isinstance(each, DataReceived) and each.stream_id in self._answers:
                    self._answers[each.stream_id][1].append(each.data)
                    self._readers[each.stream_id](each.data)
                    if each.stream_ended:
                        self._answered(each.stream_id)

    def _framed(self, event: QuicEvent) -> list[H3Event]:
        return self._h3.handle_event(event)

    def _answered(self, stream_id: int) -> None:
        answer, parts = self._answers.pop(stream_id, (None, []))
        if answer is not None:
            answer.callback((self._status[stream_id], b"".join(parts)))
