"""One HTTP/3 connection: QUIC events in, requests and sessions out.

It owns the connection's streams; when the connection is over they are all
told, once, in the turn in which it was closed, and nothing stays of it but
QUIC's closing period.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from aioquic.h3.connection import ErrorCode
from aioquic.h3.events import (
    DatagramReceived,
    DataReceived,
    H3Event,
    HeadersReceived,
    WebTransportStreamDataReceived,
)
from aioquic.quic import events as quic
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.logger import Logger

from takotwist.streams.http3.admission import HEAD_TOO_LARGE, Application, begin_request
from takotwist.streams.http3.config import Http3Config
from takotwist.streams.http3.link import Header, Sessions
from takotwist.streams.http3.quic import ROUNDING, BoundedQuic, QuicDriver
from takotwist.streams.http3.stateless import Address
from takotwist.streams.http3.streams import HeadTooLarge, Http3Framing, StreamTable
from takotwist.streams.http3.unfinished_heads import UnfinishedHeads
from takotwist.streams.unfinished import Cut, Unfinished

#: Seconds for a handshake that is under way when its server leaves, and for the first request after
#: it; many handshakes do not come to an end at all, and the stop waits for them.
NEWCOMER_SECONDS = 3.0

_StreamEvent = quic.StreamDataReceived | quic.StreamReset | quic.StopSendingReceived


class ConnectionTable(Protocol):
    """The connections by their ids, as each of them sees it."""

    def id_issued(self, connection_id: bytes, connection: Http3Connection) -> None:
        """Datagrams with this id are the connection's as well."""

    def id_retired(self, connection_id: bytes) -> None:
        """They are not any more."""

    def handshake_ended(self) -> None:
        """One handshake fewer is under way."""

    def ended(self, connection: Http3Connection) -> None:
        """Nothing is served on this connection any more."""

    def terminated(self, connection: Http3Connection) -> None:
        """Nothing will come for this connection any more."""


class Http3Connection:
    """One connection.

    :param transmit: sends one datagram to an address.
    :param unfinished: counts what has begun and is not whole.
    """

    log = Logger()

    def __init__(
        self,
        *,
        quic_connection: BoundedQuic,
        peer: IAddress,
        host: IAddress,
        clock: IReactorTime,
        transmit: Callable[[bytes, Address], None],
        table: ConnectionTable,
        application: Application,
        config: Http3Config,
        unfinished: Unfinished,
    ) -> None:
        self._quic, self._table = quic_connection, table
        self._heads = UnfinishedHeads(quic_connection, unfinished, self._cut_off)
        self._application, self._config = application, config
        self._driver = QuicDriver(
            quic_connection,
            clock,
            transmit,
            config,
            on_event=self._event,
            on_flushed=self._flushed,
            is_busy=lambda: self.busy,
        )
        self._streams = StreamTable(
            quic_connection,
            clock=clock,
            peer=peer,
            host=host,
            flush_soon=self._driver.flush_soon,
            max_datagrams=config.max_datagrams,
        )
        self._sessions: Sessions | None = None
        self._next_request = 0
        self._over = False
        self._leaving = self._draining = False
        #: When the first request is late.
        self._first_by = 0.0

    @property
    def busy(self) -> bool:
        """True while any request or session is under way."""
        sessions = self._sessions is not None and self._sessions.busy
        return not self._over and (self._streams.busy or sessions)

    def datagram_received(self, data: bytes, address: Address) -> None:
        """One UDP datagram for this connection."""
        self._driver.datagram_received(data, address)
        self._lose_if_closed()
        if not self._over:
            self._heads.count()

    def drain(self) -> None:
        """Take no new requests, and close once those under way are done (GOAWAY).

        Who has just come is served first: its handshake is finished, and its first request has a
        round trip to come.  A close in the handshake is a failure to a client, and no GOAWAY.
        """
        if self._leaving or self._over:
            return
        self._leaving = True
        self._driver.hasten_handshake(NEWCOMER_SECONDS)
        self._go_away()
        self._driver.flush()

    def close(self, code: int, reason: str) -> None:
        """Close at once, sessions first, so that their close codes are on the wire."""
        if self._sessions is not None and not self._over:
            self._sessions.stop()
            self._driver.flush()
        if self._driver.in_handshake:
            self._quic.refuse(reason)
        else:
            self._quic.close(error_code=code, reason_phrase=reason)
        self._lose(reason)
        self._driver.flush()

    def discard(self) -> None:
        """Forget the closing period too: the socket is about to go."""
        self._lose("shut down")
        self._driver.discard()

    # Events

    def _event(self, event: quic.QuicEvent) -> None:
        try:
            self._dispatch(event)
        except Exception:
            self.log.failure("HTTP/3 connection failed; closing it")
            self._streams.abort(ErrorCode.H3_INTERNAL_ERROR, "internal error")

    def _dispatch(self, event: quic.QuicEvent) -> None:
        match event:
            case quic.ConnectionIdIssued():
                self._table.id_issued(event.connection_id, self)
            case quic.ConnectionIdRetired():
                self._table.id_retired(event.connection_id)
            case quic.ConnectionTerminated():
                self._lose(event.reason_phrase or "connection closed")
                self._driver.discard()
                self._table.terminated(self)
            case _ if self._over:
                pass
            case quic.HandshakeCompleted():
                self._quic.forget_handshake()
                self._first_by = self._driver.now + min(self._quic.round_trip, NEWCOMER_SECONDS)
                if self._driver.handshake_ended():
                    self._table.handshake_ended()
            case quic.ProtocolNegotiated():
                self._sessions = self._application.sessions(self._streams)
                self._streams.framing = Http3Framing(
                    self._quic,
                    max_header_bytes=self._config.max_header_bytes,
                    webtransport=self._sessions is not None,
                )
            case quic.StreamDataReceived() | quic.StreamReset() | quic.StopSendingReceived():
                self._stream_event(event)
            case quic.DatagramFrameReceived():
                self._frame(event)

    def _stream_event(self, event: _StreamEvent) -> None:
        self._stream_event_of(event)
        if isinstance(event, quic.StreamDataReceived):
            self._heads.delivered(event.stream_id, len(event.data), self._streams.framing)
        elif isinstance(event, quic.StreamReset):
            self._heads.reset(event.stream_id)

    def _stream_event_of(self, event: _StreamEvent) -> None:
        receiver = self._streams.raw.get(event.stream_id)
        if receiver is not None:
            if isinstance(event, quic.StreamDataReceived):
                receiver.data_received(event.data, event.end_stream)
                return
        elif event.stream_id & 3 == 1:
            # What comes back on a bidirectional stream that we opened is no
            # HTTP/3: aioquic would take it for frames and close the connection.
            return
        else:
            self._frame(event)
            receiver = self._streams.requests.get(event.stream_id)
        if receiver is not None and isinstance(event, quic.StreamReset):
            receiver.reset_received(event.error_code)
        elif receiver is not None and isinstance(event, quic.StopSendingReceived):
            receiver.stop_received(event.error_code)

    def _frame(self, event: quic.QuicEvent) -> None:
        if self._streams.framing is not None:
            for framed in self._streams.framing.handle_event(event):
                self._http_event(framed)

    def _http_event(self, event: H3Event) -> None:
        match event:
            case HeadersReceived():
                self._headers_received(event.stream_id, event.headers, event.stream_ended)
            case HeadTooLarge():
                self._next_request = max(self._next_request, event.stream_id + 4)
                self._application.refuse(self._streams, event.stream_id, 431, HEAD_TOO_LARGE)
            case DataReceived():
                receiver = self._streams.requests.get(event.stream_id)
                if receiver is not None:
                    receiver.data_received(event.data, event.stream_ended)
            case WebTransportStreamDataReceived():
                self._webtransport_stream(event)
            case DatagramReceived() if self._sessions is not None:
                self._sessions.datagram_received(event.stream_id, event.data)

    def _headers_received(self, stream_id: int, headers: list[Header], ended: bool) -> None:
        requests = self._streams.requests
        receiver = requests.get(stream_id)
        if receiver is None:
            if not any(name == b":method" for name, _ in headers):
                return  # trailers of a request answered early
            self._next_request = max(self._next_request, stream_id + 4)
            begin_request(
                self._streams,
                stream_id,
                headers,
                application=self._application,
                sessions=self._sessions,
                max_header_bytes=self._config.max_header_bytes,
                draining=self._draining,
            )
            receiver = requests.get(stream_id)
        if ended and receiver is not None:
            receiver.data_received(b"", True)

    def _webtransport_stream(self, event: WebTransportStreamDataReceived) -> None:
        streams = self._streams
        assert streams.framing is not None
        if event.stream_id in streams.requests:
            # 0x41 is a signal at the start of a stream, no frame within one.
            streams.abort(ErrorCode.H3_FRAME_ERROR, "WebTransport signal within a request")
        elif event.session_id & 3:
            streams.abort(ErrorCode.H3_ID_ERROR, "session id is no request stream")
        elif self._sessions is not None:
            streams.framing.forget(event.stream_id)
            self._sessions.stream_arrived(
                event.session_id, event.stream_id, event.data, event.stream_ended
            )

    def _cut_off(self, why: Cut) -> None:
        self._streams.abort(ErrorCode.H3_EXCESSIVE_LOAD, why.value)

    # The end

    def _flushed(self) -> None:
        self._lose_if_closed()
        self._streams.flushed()
        if self._draining and not self.busy and not self._over:
            self._quic.close(error_code=ErrorCode.H3_NO_ERROR, reason_phrase="shutting down")
            self._lose("shutting down")
            self._driver.flush_soon()
        else:
            self._go_away()

    def _go_away(self) -> None:
        if not self._leaving or self._draining or self._over or self._driver.in_handshake:
            return
        if not self._next_request and self._driver.now + ROUNDING < self._first_by:
            self._driver.wake_at(self._first_by)
            return
        self._draining = True
        if self._streams.framing is not None:
            self._streams.framing.send_goaway(self._next_request)
        if self._sessions is not None:
            self._sessions.drain()
        self._driver.flush_soon()

    def _lose_if_closed(self) -> None:
        if self._quic.is_over:
            self._lose("connection closed")

    def _lose(self, reason: str) -> None:
        if self._over:
            return
        self._over = True
        self._heads.end()
        if self._driver.handshake_ended():
            self._table.handshake_ended()
        listeners = [receiver.connection_lost for receiver in self._streams.end()]
        if self._sessions is not None:
            listeners.append(self._sessions.connection_lost)
        for listener in listeners:
            try:
                listener(reason)
            except Exception:
                self.log.failure("a stream failed when its connection was lost")
        self._table.ended(self)
