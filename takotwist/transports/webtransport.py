"""Multiplexed connections over WebTransport (protocol, section 5).

A session at ``/_tako/connect`` carries one two-way stream, which its client opens;
each frame on it is one JSON text and a line feed.  Admission is asked before the
200, so that a refusal has a status.
Rule: a slot that is taken at the request belongs to the session that follows it.

Admission and credentials are read from a `twisted.web` request; an extended CONNECT has the
same in it (`ConnectRequest`, which has only what those readers use).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.web.http_headers import Headers

from takotwist.errors import Refusal
from takotwist.streams.unfinished import Unfinished
from takotwist.streams.webtransport import (
    SessionClosed,
    SessionRequest,
    WebTransportConfig,
    WebTransportError,
    WebTransportRoute,
    WebTransportSession,
    WebTransportStream,
    webtransport,
)
from takotwist.transports.admission import Admission, ConnectionSlot
from takotwist.transports.mux.mux import Mux
from takotwist.transports.request import read_all_presented
from takotwist.transports.webtransport_wire import WebTransportWire

#: Where sessions are opened: the path of the WebSocket that carries many topics.
CONNECT = "/_tako/connect"

#: The application protocol, where the client can name one.
EXPLICIT = "tako.v1"

#: How much longer than a message's data its line may be; a message that is only
#: somewhat too large then gets an answer and not a close.
LINE_FACTOR = 4

#: Bytes that may wait for a client where there are live objects.  What each object may have
#: under way is what bounds it; past that a client that came back would be cut off again.
LIVE_BUFFERED = 2**31

#: Seconds for a client to take what was written before a close.
CLOSE_SECONDS = 2.0


class ConnectRequest:
    """An extended CONNECT with the reading part of `twisted.web.iweb.IRequest`.

    :ivar uri: path and query.
    :ivar client: the address of the peer.
    :ivar requestHeaders: its fields, with the authority as ``Host``.
    """

    def __init__(self, request: SessionRequest) -> None:
        self.uri = f"{request.path}?{request.query}".encode("latin-1")
        self.client: IAddress = request.peer
        self.requestHeaders = Headers(dict(request.headers.getAllRawHeaders()))
        self.requestHeaders.setRawHeaders(b"host", [request.authority.encode("latin-1")])

    def getHeader(self, name: str) -> str | None:
        """The last field of this name."""
        values = self.requestHeaders.getRawHeaders(name)
        return values[-1] if values else None

    def getHost(self) -> None:
        """A UDP port does not say by which address it was reached."""

    def isSecure(self) -> bool:
        """QUIC is TLS, always."""
        return True


@attrs.define(slots=True)
class WebTransportTransport:
    """Answers requests for a session.

    :ivar clock: for the time that a close may take.
    :ivar unfinished: counts frames that are not whole.
    :ivar max_live_line_bytes: most bytes of one frame of a live object; 0 where there are none.
    :ivar check_access: raises a `Refusal` for a request that the listener does not take at all.
    """

    admission: Admission
    clock: IReactorTime
    unfinished: Unfinished
    max_live_line_bytes: int = 0
    check_access: Callable[[ConnectRequest], None] = lambda request: None
    #: Slots between the answer 200 and the handler, which is called in the same turn.
    _entered: dict[int, tuple[ConnectionSlot, ConnectRequest]] = attrs.field(
        factory=dict, init=False
    )

    def route(self) -> WebTransportRoute:
        """The route of `CONNECT`."""
        admission = self.admission
        most = admission.outbox_bytes + LINE_FACTOR * admission.settings.limits.max_message_bytes
        buffered = WebTransportConfig().high_water + 2 * most
        return webtransport(
            CONNECT,
            self._serve,
            admit=self._admit,
            config=WebTransportConfig(
                # Admission asks for the origin and counts connections, as on every transport.
                allowed_origins=["*"],
                max_sessions=2**31,
                protocols=[EXPLICIT],
                max_streams=1,
                max_datagrams=1,
                max_buffered=LIVE_BUFFERED if self.max_live_line_bytes else buffered,
            ),
        )

    def _admit(self, request: SessionRequest) -> int:
        """200 with a slot taken, or the status of a refusal."""
        connect = ConnectRequest(request)
        admission = self.admission
        try:
            self.check_access(connect)
            read_all_presented(connect)
            admission.check_origin(connect)
            with admission.enter(connect) as slot:
                slot.used = True
                self._entered[id(request)] = (slot, connect)
        except Refusal as refusal:
            admission.answers.count(refusal)
            return refusal.http_status
        return 200

    async def _serve(self, session: WebTransportSession) -> None:
        slot, connect = self._entered.pop(id(session.request))
        admission = self.admission
        longest = max(
            LINE_FACTOR * admission.settings.limits.max_message_bytes, self.max_live_line_bytes
        )
        wire = WebTransportWire(admission, session, slot, longest, self.unfinished)
        try:
            stream = await session.incoming_bidi.next()
        except SessionClosed:
            wire.gone("no stream was opened")
            return
        presented = read_all_presented(connect)
        wire.open(stream, lambda wire: Mux(wire, admission, presented))
        closing = await wire.ended
        if closing is not None:
            await self._deliver(stream)
            session.close(*closing)

    async def _deliver(self, stream: WebTransportStream) -> None:
        """Wait a moment for what was written: closing a session resets its streams."""
        delivered: Deferred[None] = Deferred.fromCoroutine(stream.delivered())
        with suppress(DeferredTimeout, WebTransportError):
            await delivered.addTimeout(CLOSE_SECONDS, self.clock)
